"""Each guard of the load, taken out, is missed: a history that exhibits it fails.

Every history has two days and keys of its own: they begin in one warehouse, and what comes second is loaded on a copy.
"""

import re
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from support.marks import often
from support.reference import Reference
from support.sales_files import CASES, file, path_of, row
from support.warehouse import DATABASE, Project, Warehouse, compare, patched_package

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("sabotage")

GUARD = "winners.{{ version }} {{ '>' if greater_wins else '<' }} existing.{{ version }} as is_newer"
Files = dict[str, bytes]


def of(day: date, *rows: str) -> Files:
    return {path_of(day): file(day, *rows)}


def late(day: date) -> str:
    return f"{day}T11:00:00Z"


# What comes first and what comes second, by the two days; x is the key.
HISTORIES: dict[str, Callable[[date, date, str], tuple[Files, Files]]] = {
    "an older version comes later": lambda first, second, x: (
        of(second, row(x, second, quantity="2", updated_at=late(second))),
        of(first, row(x, first, quantity="3")),
    ),
    "a tie comes later with the smaller content": lambda first, second, x: (
        of(second, row(x, first, quantity="2")),
        of(first, row(x, first, quantity="1")),
    ),
    "a correction moves a sale to another day": lambda first, second, x: (
        of(first, row(x, first)),
        of(second, row(x, second, updated_at=late(second))),
    ),
    "a file is restated without a sale": lambda first, second, x: (
        of(first, row(x, first)) | of(second, row(x, second, updated_at=late(second)), row("y", second)),
        of(second),
    ),
    "a quote is not closed": lambda first, second, _: (
        of(first),
        {path_of(second): CASES["unclosed quote"].content(second)},
    ),
    "a row is rejected": lambda first, second, x: (of(first), of(second, row(x, second, quantity="0"))),
    "a file is held": lambda first, second, _: (
        of(first),
        {path_of(second): CASES["more rejected rows than the rate"].content(second)},
    ),
}
# Those in which rows meet rows that are there.
MERGES = list(HISTORIES)[:4]
COUNTS = re.compile(r" has (\d+) rows, expected (\d+)")


def days(history: str) -> tuple[date, date]:
    first = date(2024, 1, 1) + timedelta(days=4 * list(HISTORIES).index(history))
    return first, first + timedelta(days=1)


def key(history: str) -> str:
    return f"x{list(HISTORIES).index(history)}"


def files(history: str) -> tuple[Files, Files]:
    return HISTORIES[history](*days(history), key(history))


@dataclass(frozen=True)
class Sabotage:
    """A guard that is taken out, the history that shows it, and what it shows: each of these texts, and no error.

    In them stand @x for the key, and @first and @second for the files.
    """

    history: str
    shows: tuple[str, ...]
    # Old and new texts by macro.
    changes: dict[str, dict[str, str]] = field(default_factory=dict)
    plugin: dict[str, str] = field(default_factory=dict)


# Shown in `make test`: one of the order of versions, one of the gate, one of what is read, one of the ledger.
OFTEN = ("ties by arrival", "held files merged", "a predicate on the date", "a reject dropped from the ledger")
SABOTAGES = {
    "no guard": Sabotage(
        "an older version comes later",
        (
            "prod.daily_sales: 0 rows more than expected\n  missing: @x | S | C | P | 2 |",
            "\n  surplus: @x | S | C | P | 3 |",
        ),
        {"collect_changes": {GUARD: "true as is_newer"}},
    ),
    "ties by arrival": Sabotage(
        "a tie comes later with the smaller content",
        (
            "prod.daily_sales: 0 rows more than expected\n  missing: @x | S | C | P | 2 |",
            "\n  surplus: @x | S | C | P | 1 |",
        ),
        {"collect_changes": {GUARD: GUARD.replace("'>'", "'>='")}},
    ),
    "a predicate on the date": Sabotage(
        "a correction moves a sale to another day",
        ("prod.daily_sales: 1 rows more than expected\n  surplus: @x |",),
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
        ("prod.daily_sales: 1 rows more than expected\n  missing: @x |", "\n  surplus: @x |", "\n  surplus: y |"),
        {"merge_plan": {"= landing_ids(arriving), landing_ids(replaced)": "= landing_ids(arriving), 'null'"}},
    ),
    "the ledger not recounted": Sabotage(
        "a correction moves a sale to another day",
        # No other table differs.
        (
            "\nprod.load_ledger: 0 rows more than expected\n  missing: @first | ",
            " | 20 | 19 | 1 | 0 | 0\n",
            "\n  surplus: @first | ",
        ),
        {"write_ledger": {"having sum(difference) <> 0": "having false"}},
    ),
    "the quote guard off": Sabotage(
        "a quote is not closed",
        ("prod.daily_sales: 19 rows more than expected\n  surplus: bad-", "\n  surplus: @second | "),
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
        ("\nstaging.rejected_sales: -1 rows more than expected\n  missing: @second | 21 | frozenset({'quantity'})",),
        {"rejected_rows": {"where typed.reject_reasons is not null": "where false"}},
    ),
    "held files merged": Sabotage(
        "a file is held",
        ("prod.daily_sales: 18 rows more than expected\n  surplus: bad-",),
        # A held file is neither clean nor in what a merge takes.
        {
            "passed_landings": {"where {{ lets_through('verdict') }}": "where true"},
            "duckdb__arriving_landings": {"{{ lets_through('passed.verdict') }} and ": ""},
            "clean_rows": {" and {{ lets_through('verdicts.verdict') }}": ""},
        },
    ),
}


@dataclass
class Begun:
    """A warehouse in which every history has begun, and what it must hold."""

    warehouse: Warehouse

    def load(self, project: Project, folder: Path, names: Iterable[str]) -> None:
        """On a copy of it, what comes second of some histories."""
        copy, expected = Warehouse(project, folder), Reference()
        (copy.folder / DATABASE).write_bytes((self.warehouse.folder / DATABASE).read_bytes())
        copy.land(self.warehouse.landed)
        expected.load(copy.landed)
        for name in names:
            copy.land(copy.landed | files(name)[1])
        expected.load(copy.landed)
        compare(expected, copy, copy.build())


@pytest.fixture(scope="module")
def begun(project: Project, tmp_path_factory) -> Begun:
    warehouse, expected = Warehouse(project, tmp_path_factory.mktemp("begun") / "warehouse"), Reference()
    warehouse.land({path: data for name in HISTORIES for path, data in files(name)[0].items()})
    expected.load(warehouse.landed)
    compare(expected, warehouse, warehouse.build())
    return Begun(warehouse)


def test_the_project_at_hand_tells_every_history_right(begun: Begun, project: Project, tmp_path: Path) -> None:
    begun.load(project, tmp_path / "warehouse", HISTORIES)


def show(begun: Begun, project: Project, folder: Path, sabotage: Sabotage) -> None:
    """Fails unless the project without the guard shows exactly what it must."""
    said = ""
    with (
        project.with_macros(sabotage.changes),
        patched_package("landing", sabotage.plugin) if sabotage.plugin else nullcontext(),
    ):
        try:
            begun.load(project, folder / "warehouse", [sabotage.history])
        except AssertionError as found:
            said = COUNTS.sub(lambda has: f": {int(has[1]) - int(has[2])} rows more than expected", str(found))
    first, second = map(path_of, days(sabotage.history))
    named = {"@x": key(sabotage.history), "@first": first, "@second": second}
    shows = [re.sub("@[a-z]+", lambda name: named[name[0]], text) for text in sabotage.shows]
    missing = [text for text in shows if text not in said]
    if missing or "error" in said:
        pytest.fail(f"it does not show {missing} but: {said or 'nothing'}")


@pytest.mark.parametrize("name", often(SABOTAGES, OFTEN))
def test_sabotage_shows(begun: Begun, project: Project, tmp_path: Path, name: str) -> None:
    show(begun, project, tmp_path, SABOTAGES[name])


@pytest.mark.long
@pytest.mark.parametrize("instead", ["no such column as is_newer", GUARD])
def test_what_merely_breaks_or_changes_nothing_is_no_sabotage(
    begun: Begun, project: Project, tmp_path: Path, instead: str
) -> None:
    with pytest.raises(pytest.fail.Exception, match="it does not show"):
        show(begun, project, tmp_path, replace(SABOTAGES["no guard"], changes={"collect_changes": {GUARD: instead}}))


def stops_at_the_gate(project: Project, folder: Path) -> None:
    """A project whose rejected rows say no reason must not merge: a test of the gate finds it."""
    day = date(2024, 1, 1)
    warehouse = Warehouse(project, folder)
    warehouse.land(of(day, row("x", day, quantity="0")))
    nothing = "    cast(null as varchar) as reject_reasons\nfrom"
    with project.with_macros({"rejected_rows": {"    typed.reject_reasons\nfrom": nothing}}):
        built = warehouse.build()
    assert built.statuses["rejected_sales_say_why"] == "fail"
    assert built.statuses["daily_sales"] == "skipped"


def test_a_failing_test_of_the_gate_stops_the_merge(project: Project, tmp_path: Path) -> None:
    stops_at_the_gate(project, tmp_path / "warehouse")


def test_the_hole_of_the_gate_shows(project: Project, tmp_path: Path) -> None:
    """A test blocks only what descends from the model that it reads."""
    copy = project.copy(tmp_path / "project")
    copy.patch_macro("behind_the_gate", {", 'rejected_' ~ feed, ": ", "})
    with pytest.raises(AssertionError, match="success"):
        stops_at_the_gate(Project(copy.root, copy.target), tmp_path / "warehouse")


def test_the_merge_statement_and_its_stand_in_are_equal(begun: Begun, project: Project, tmp_path: Path) -> None:
    """On DuckDB a delete and an insert stand for the MERGE that Snowflake gets."""
    with project.with_macros({"apply_changes": {"adapter.dispatch('apply_changes')(": "snowflake__apply_changes("}}):
        begun.load(project, tmp_path / "warehouse", MERGES)
