"""Each guard of the load, taken out of a copy of the project, is missed: a history that exhibits it fails."""

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import pytest

from support.reference import Reference
from support.sales_files import CASES, file, row
from support.warehouse import Project, Warehouse, compare, patched_package

GUARD = "winners.{{ version }} > existing.{{ version }} as is_newer"
FIRST, SECOND = date(2024, 1, 1), date(2024, 1, 2)
A, B = f"raw/sales/{FIRST}/sales_export.csv", f"raw/sales/{SECOND}/sales_export.csv"
Files = dict[str, bytes]
early, late = f"{FIRST}T11:00:00Z", f"{SECOND}T11:00:00Z"

# States of the landing zone, loaded one after the other.
HISTORIES: dict[str, list[Files]] = {
    "an older version comes later": [
        {B: file(SECOND, row("x", SECOND, quantity="2", updated_at=late))},
        {A: file(FIRST, row("x", FIRST, quantity="3"))},
    ],
    "a tie comes later with the smaller content": [
        {B: file(SECOND, row("x", FIRST, quantity="2"))},
        {A: file(FIRST, row("x", FIRST, quantity="1"))},
    ],
    "a correction moves a sale to another day": [
        {A: file(FIRST, row("x", FIRST))},
        {B: file(SECOND, row("x", SECOND, updated_at=late))},
    ],
    "a file is restated without a sale": [
        {A: file(FIRST, row("x", FIRST)), B: file(SECOND, row("x", SECOND, updated_at=late), row("y", SECOND))},
        {B: file(SECOND)},
    ],
    "a quote is not closed": [{A: file(FIRST)}, {B: CASES["unclosed quote"].content(SECOND)}],
    "a row is rejected": [{A: file(FIRST)}, {B: file(SECOND, row("x", SECOND, quantity="0"))}],
    "a file is held": [{A: file(FIRST)}, {B: CASES["more rejected rows than the rate"].content(SECOND)}],
}


# Those in which rows meet rows that are there.
MERGES = list(HISTORIES)[:4]


@dataclass(frozen=True)
class Sabotage:
    """A guard that is taken out, the history that shows it, and what it shows: each of these texts, and no error."""

    history: str
    shows: tuple[str, ...]
    # Old and new texts by macro.
    changes: dict[str, dict[str, str]] = field(default_factory=dict)
    plugin: dict[str, str] = field(default_factory=dict)


SABOTAGES = {
    "no guard": Sabotage(
        "an older version comes later",
        (
            "prod.daily_sales has 39 rows, expected 39\n  missing: x | S | C | P | 2 |",
            "\n  surplus: x | S | C | P | 3 |",
        ),
        {"collect_changes": {GUARD: "true as is_newer"}},
    ),
    "ties by arrival": Sabotage(
        "a tie comes later with the smaller content",
        (
            "prod.daily_sales has 39 rows, expected 39\n  missing: x | S | C | P | 2 |",
            "\n  surplus: x | S | C | P | 1 |",
        ),
        {"collect_changes": {GUARD: GUARD.replace(">", ">=")}},
    ),
    "a predicate on the date": Sabotage(
        "a correction moves a sale to another day",
        ("prod.daily_sales has 40 rows, expected 39\n  surplus: x |",),
        {
            "collect_changes": {
                "    where {{ within(ranges) }}\n),": (
                    "    where sold_at >= (select min(sold_at) from {{ winners }})\n),"
                )
            }
        },
    ),
    "a restated file not undone": Sabotage(
        "a file is restated without a sale",
        ("prod.daily_sales has 40 rows, expected 39\n  missing: x |", "\n  surplus: x |", "\n  surplus: y |"),
        {"merge_plan": {"= landing_ids(arriving), landing_ids(replaced)": "= landing_ids(arriving), 'null'"}},
    ),
    "the ledger not recounted": Sabotage(
        "a correction moves a sale to another day",
        # No other table differs.
        (
            f"\nprod.load_ledger has 2 rows, expected 2\n  missing: {A} | ",
            " | 20 | 19 | 1 | 0 | 0\n",
            f"\n  surplus: {A} | ",
        ),
        {"write_ledger": {"having sum(difference) <> 0": "having false"}},
    ),
    "the quote guard off": Sabotage(
        "a quote is not closed",
        ("prod.daily_sales has 38 rows, expected 19\n  surplus: bad-", f"\n  surplus: {B} | "),
        plugin={
            "    elif problem or shape.odd or shape.mixed:": "    elif problem:",
            "if result.problem is None and shape.commas != shape.records * (len(result.columns) - 1):": "if False:",
            "elif received != seen.records - 1:": "elif False:",
            # As DuckDB reads when it has more files than threads: in sequence, dropping the end without an error.
            "auto_detect = false": "auto_detect = false, parallel = false",
        },
    ),
    "a reject dropped before the verdict": Sabotage(
        "a row is rejected",
        (
            "the build is broken: {'every_record_is_accounted_for_typed_sales_sales': 'fail', ",
            "'daily_sales': 'skipped'",
        ),
        {"type_rows": {"    from typed\n\n),": "    from typed\n    where quantity <> 0\n\n),"}},
    ),
    "a reject dropped from the ledger": Sabotage(
        "a row is rejected",
        ("the build is broken: {'ledger_adds_up': 'fail', ",),
        {"write_ledger": {"    arriving.rejected,\n    0\nfrom": "    0,\n    0\nfrom"}},
    ),
    "a reject dropped from the table": Sabotage(
        "a row is rejected",
        (f"\nstaging.rejected_sales has 0 rows, expected 1\n  missing: {B} | 21 | frozenset({{'quantity'}})",),
        {"rejected_rows": {"where typed.reject_reasons is not null": "where false"}},
    ),
    "held files merged": Sabotage(
        "a file is held",
        ("prod.daily_sales has 37 rows, expected 19\n  surplus: bad-",),
        # A held file is neither clean nor in what a merge takes.
        {
            "passed_landings": {"where {{ lets_through('verdict') }}": "where true"},
            "clean_rows": {" and {{ lets_through('verdicts.verdict') }}": ""},
        },
    ),
}


def tell(warehouse: Warehouse, expected: Reference, history: list[Files]) -> None:
    for files in history:
        warehouse.land(warehouse.landed | files)
        expected.load(warehouse.landed)
        compare(expected, warehouse, warehouse.build())


@pytest.mark.parametrize("history", HISTORIES)
def test_the_project_at_hand_tells_each_history_right(project: Project, tmp_path: Path, history: str) -> None:
    tell(Warehouse(project, tmp_path / "warehouse"), Reference(), HISTORIES[history])


def show(project: Project, folder: Path, sabotage: Sabotage) -> None:
    """Fails unless a copy of the project without the guard shows exactly what it must."""
    copy = project.copy(folder / "project")
    for changed, changes in sabotage.changes.items():
        copy.patch_macro(changed, changes)
    warehouse = Warehouse(copy, folder / "warehouse")
    said = ""
    with patched_package("landing", sabotage.plugin) if sabotage.plugin else nullcontext():
        try:
            tell(warehouse, Reference(), HISTORIES[sabotage.history])
        except AssertionError as found:
            said = str(found)
    missing = [text for text in sabotage.shows if text not in said]
    if missing or "error" in said:
        pytest.fail(f"it does not show {missing} but: {said or 'nothing'}")


@pytest.mark.parametrize("name", SABOTAGES)
def test_sabotage_shows(project: Project, tmp_path: Path, name: str) -> None:
    show(project, tmp_path, SABOTAGES[name])


@pytest.mark.long
@pytest.mark.parametrize("instead", ["no such column as is_newer", GUARD])
def test_what_merely_breaks_or_changes_nothing_is_no_sabotage(project: Project, tmp_path: Path, instead: str) -> None:
    with pytest.raises(pytest.fail.Exception, match="it does not show"):
        show(project, tmp_path, replace(SABOTAGES["no guard"], changes={"collect_changes": {GUARD: instead}}))


def stops_at_the_gate(project: Project, folder: Path) -> None:
    """A project whose rejected rows say no reason must not merge: a test of the gate finds it."""
    project.patch_macro(
        "rejected_rows", {"    typed.reject_reasons\nfrom": "    cast(null as varchar) as reject_reasons\nfrom"}
    )
    warehouse = Warehouse(project, folder)
    warehouse.land({A: file(FIRST, row("x", FIRST, quantity="0"))})
    built = warehouse.build()
    assert built.statuses["rejected_sales_say_why"] == "fail"
    assert built.statuses["daily_sales"] == "skipped"


def test_a_failing_test_of_the_gate_stops_the_merge(project: Project, tmp_path: Path) -> None:
    stops_at_the_gate(project.copy(tmp_path / "project"), tmp_path / "warehouse")


def test_the_hole_of_the_gate_shows(project: Project, tmp_path: Path) -> None:
    """A test blocks only what descends from the model that it reads."""
    copy = project.copy(tmp_path / "project")
    copy.patch_macro("behind_the_gate", {", 'rejected_' ~ feed, ": ", "})
    with pytest.raises(AssertionError, match="success"):
        stops_at_the_gate(copy, tmp_path / "warehouse")


def test_the_merge_statement_and_its_stand_in_are_equal(project: Project, tmp_path: Path) -> None:
    """On DuckDB a delete and an insert stand for the MERGE that Snowflake gets."""
    copy = project.copy(tmp_path / "project")
    copy.patch_macro("duckdb__apply_changes", {"macro duckdb__": "macro unused__"})
    copy.patch_macro("snowflake__apply_changes", {"macro snowflake__": "macro default__"})
    for number, history in enumerate(MERGES):
        tell(Warehouse(copy, tmp_path / f"warehouse-{number}"), Reference(), HISTORIES[history])
