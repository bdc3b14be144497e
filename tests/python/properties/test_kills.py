"""Promise 2, killed anywhere: `dbt build` dies by SIGKILL before each of its statements and commits, and is run again.

The points are not drawn: a build is recorded once, and killed at each statement that DuckDB was given in it. After one
statement is before the next, for nothing but Python stands in between. What a killed build leaves in the database
decides what comes of the next; so a point that leaves what another has left is killed and compared, but not run again.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import pytest

from support.kills import Trials, plain
from support.reference import CUSTOMERS, INVENTORY, SALES, Feed, Reference
from support.sales_files import CASES, file, row
from support.table_files import DELETED, GONE, customers, path_of, stock
from support.warehouse import DATABASE, Project, Warehouse, compare

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("kills")

FIRST, DAY, LAST = date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)
FOLDER = f"raw/sales/{DAY}"
A, B, C = (f"raw/sales/{day}/sales_export.csv" for day in (FIRST, DAY, LAST))
LATE = f"{DAY}T11:00:00Z"
HELD, REFUSED = CASES["more rejected rows than the rate"].content, CASES["unclosed quote"].content

LOADED = {
    A: file(FIRST, row("x", FIRST, quantity="0"), prefix="a"),
    B: file(DAY, row(f"a-{FIRST}-1", DAY, updated_at=LATE), prefix="b"),
    f"{FOLDER}/mended.csv": HELD(DAY),
    f"{FOLDER}/released.csv": CASES["no fresh sale"].content(DAY),
    f"{FOLDER}/vanished.csv": REFUSED(DAY),
    f"{FOLDER}/worse.csv": file(DAY, prefix="w"),
}
# Most of it in one folder, so that a run of one day has it too.
LANDED = {
    A: LOADED[A],
    # Loses sales, and with them a correction.
    B: file(DAY, prefix="b", size=15),
    f"{FOLDER}/corrections.csv": file(
        DAY, row(f"a-{FIRST}-2", FIRST, quantity="7", updated_at=LATE), row(f"a-{FIRST}-3", DAY, updated_at=LATE)
    ),
    f"{FOLDER}/held.csv": HELD(DAY),
    f"{FOLDER}/mended.csv": file(DAY, row("y", DAY, quantity="0"), prefix="m"),
    f"{FOLDER}/refused.csv": REFUSED(DAY),
    f"{FOLDER}/released.csv": LOADED[f"{FOLDER}/released.csv"],
    f"{FOLDER}/worse.csv": HELD(DAY),
    C: file(LAST, row(f"a-{FIRST}-2", LAST, quantity="8", updated_at=f"{LAST}T11:00:00Z")),
}


# The same of tables: what was deleted comes back, what was not is deleted, extracts come late, smaller and restated.
HELD_CUSTOMERS = customers(*({"customer_id": str(number), "name": ""} for number in range(9)))
TABLES_LOADED = {
    path_of(CUSTOMERS, FIRST): customers({}, {"customer_id": "y"}),
    path_of(CUSTOMERS, DAY): customers({"customer_id": "y", **DELETED}),
    path_of(INVENTORY, FIRST): stock(9, GONE),
    path_of(INVENTORY, DAY): stock(8),
    path_of(INVENTORY, LAST): stock(3),
}
TABLES_LANDED = TABLES_LOADED | {
    path_of(CUSTOMERS, DAY): customers(DELETED, {"customer_id": "z", **DELETED}),
    path_of(CUSTOMERS, LAST): HELD_CUSTOMERS,
    f"raw/customers/{LAST}/08/refused.csv": b'"',
    f"raw/customers/{LAST}/09/late.csv": customers(
        {"customer_id": "y", "name": "Zoë", "updated_at": f"{FIRST}T12:00:00Z"}
    ),
    path_of(INVENTORY, DAY): stock(9),
    f"raw/inventory/{LAST}/23/held.csv": stock(1),
    f"raw/inventory/{LAST}/22/newest.csv": stock(4, GONE),
}


@dataclass(frozen=True)
class Kind:
    """A build that is killed."""

    options: tuple[str, ...] = ()
    run_date: date | None = None
    first: bool = False
    feeds: tuple[Feed, ...] = (SALES,)
    loaded: Mapping[str, bytes] = field(default_factory=lambda: LOADED)
    landed: Mapping[str, bytes] = field(default_factory=lambda: LANDED)
    # The file that is released in between.
    released: str = f"{FOLDER}/released.csv"


TABLES = Kind(
    feeds=(CUSTOMERS, INVENTORY),
    loaded=TABLES_LOADED,
    landed=TABLES_LANDED,
    released=path_of(INVENTORY, LAST),
)
KINDS = {
    "all at once": Kind(),
    "the first build": Kind(first=True),
    "a full refresh": Kind(options=("--full-refresh",)),
    "one day": Kind(run_date=DAY),
    "tables": TABLES,
    "the first build of tables": replace(TABLES, first=True),
    "a full refresh of tables": replace(TABLES, options=("--full-refresh",)),
    "one day of tables": replace(TABLES, run_date=LAST),
}

# Statements that tear apart what must come true together, and the place that they leave to be killed at.
TORN = "select 'torn'"
TEAR = f"commit; {TORN}; begin;\n"
LEDGER, TYPED = (
    "    {{ write_ledger(feed.name, plan) }}\n",
    "update {{ landed }}\nset\n    is_typed",
)
TOTALS = "        {{ 'delete from ' ~ target"
FORGET = "delete from {{ ref('stale_days') }} where counted_by = '{{ invocation_id }}';\n"
SABOTAGES = {
    "the ledger before the rows": {"merge_versions": {LEDGER: LEDGER + TEAR}},
    # What was typed and not marked is typed again: it is not added once more, because it is deleted first.
    "typed before it is marked, and added again": {
        "judge_landing": {TYPED: TEAR + TYPED},
        "typed_landings, default": {
            "delete from {{ target }}{{ ' where landing_id in (' ~ landings ~ ')' if not anew }};": ""
        },
    },
    "stale days forgotten before they are counted": {"totals_by_day": {TOTALS: FORGET + TEAR + TOTALS}},
}


def trials(project: Project, folder: Path, name: str) -> Trials:
    """A warehouse with some days loaded, or none, and all that can come landed."""
    kind = KINDS[name]
    expected, warehouse = Reference(feeds=kind.feeds), Warehouse(project, folder, feeds=kind.feeds)
    assert project.manifest
    start = None
    if not kind.first:
        warehouse.land(kind.loaded)
        expected.load(kind.loaded)
        compare(expected, warehouse, warehouse.build())
        assert not warehouse.release(kind.released).broken
        expected.release(kind.released)
        start = (folder / DATABASE).read_bytes()
    warehouse.land(kind.landed)
    expected.load(kind.landed, kind.run_date)
    return Trials(
        warehouse,
        start,
        killed=lambda: warehouse.build(*kind.options, run_date=kind.run_date),
        again=lambda: warehouse.build(run_date=kind.run_date),
        check=lambda built: compare(expected, warehouse, built, kind.run_date),
    )


@pytest.fixture(scope="module")
def at_once(project: Project, tmp_path_factory) -> tuple[Trials, list[str], Path]:
    """The richest of the builds, recorded here and by DuckDB."""
    folder = tmp_path_factory.mktemp("kills")
    made = trials(project, folder / "warehouse", "all at once")
    return made, made.record(folder / "log"), folder / "log"


def test_no_statement_is_overlooked(at_once: tuple[Trials, list[str], Path]) -> None:
    """DuckDB's own log of the build has the same statements, in the same order."""
    _, statements, log = at_once
    with (log / "duckdb_log_entries.csv").open(newline="") as entries:
        executed = [plain(entry["message"]) for entry in csv.DictReader(entries)]
    # dbt connects beside a connection of ours, in whose log it asks for the log again.
    executed = [text for text in executed if not text.startswith("call enable_logging")]
    # Of a rollback DuckDB tells only where there was something to roll back.
    told = [text for text in statements if text not in ("CONNECT", "CLOSE", "ROLLBACK", "END")]
    assert told == [text for text in executed if text != "ROLLBACK"]
    starts = {text.split()[0].lower() for text in statements}
    assert {"begin", "commit", "create", "insert", "delete", "update", "alter", "drop"} <= starts


def test_a_build_killed_after_a_commit_is_made_good_by_the_next(at_once: tuple[Trials, list[str], Path]) -> None:
    """A tenth of the commits; what is killed between commits leaves nothing new."""
    made, statements, _ = at_once
    points = [point for point, text in enumerate(statements, start=1) if text.lower() == "commit"]
    for point in points[2::10]:
        made.kill(point, statements)


def test_a_build_of_tables_killed_after_a_commit_is_made_good_by_the_next(project: Project, tmp_path: Path) -> None:
    """One commit in thirty."""
    made = trials(project, tmp_path / "warehouse", "tables")
    statements = made.record()
    points = [point for point, text in enumerate(statements, start=1) if text.lower() == "commit"]
    for point in points[12::30]:
        made.kill(point, statements)


# Each takes minutes, and shares nothing with the others.
@pytest.mark.long
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.xdist_group(f"kills of {kind}")) for kind in KINDS]
)
def test_a_build_killed_anywhere_is_made_good_by_the_next(project: Project, tmp_path: Path, kind: str) -> None:
    made = trials(project, tmp_path / "warehouse", kind)
    statements = made.record()
    for point in range(len(statements)):
        made.kill(point, statements)
    assert len(made.tried) > 10, "the points all leave the same"


@pytest.mark.long
@pytest.mark.parametrize("name", SABOTAGES)
def test_what_is_torn_apart_shows(project: Project, tmp_path: Path, name: str) -> None:
    broken = project.copy(tmp_path / "project")
    for changed, changes in SABOTAGES[name].items():
        broken.patch_macro(changed, changes)
    made = trials(broken, tmp_path / "warehouse", "all at once")
    statements = made.record()
    # Rows that differ, or a test that has found some: not a statement that could not run.
    with pytest.raises(AssertionError, match=r"(?s)^killed at point.*(missing: |surplus: |: 'fail')") as found:
        made.kill(statements.index(TORN), statements)
    assert ": 'error" not in str(found.value)
