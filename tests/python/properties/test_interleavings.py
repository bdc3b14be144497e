"""Promise 2, three at a time: whatever the order of the tasks of three runs, production is what the reference says.

A run's tasks are the groups of the DAG, each run by dbt as Airflow does. One process at a time writes a DuckDB file, so
they come one by one. They see other runs through the tables that all share: a merge sees what is merged of other days
and what has landed of them, totals count the days that any merge has touched. What writes nothing that others read need
not stand everywhere: the checks write nothing and run right before their merge; metrics write one table and read what
extract and transform write, so they are tried in every order with those.

Two beginnings with the same tasks done and the same rows in all tables have the same futures, so only one of them is
followed: the orders are walked level by level, with a copy of the DuckDB file for each new state. Rows are the same but
for the numbers of landings, of which only the order within a file means anything, and the ids of merges that touched a
day. How many orders lead to a state is counted: none is left out.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import duckdb
import pytest

from support.reference import Reference
from support.three_days import BEFORE, DAYS, LANDED, ONE, THREE, TWO
from support.warehouse import DATABASE, Project, Warehouse, compare

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("interleavings")

# As the DAG: a test that reads another table than those of the task is not its own.
BUILD = ("build", "--exclude-resource-type", "unit_test", "--indirect-selection", "buildable", "--select")
CHECKS = (
    *("test", "--exclude-resource-type", "unit_test", "--indirect-selection", "cautious"),
    *("--selector", "quality_checks"),
)
COMMANDS = {
    "extract": [("run", "--selector", "registers"), ("run", "--selector", "extract_to_staging")],
    "transform": [("build", "--exclude-resource-type", "unit_test", "test", "--selector", "transform_sales")],
    "merge": [CHECKS, (*BUILD, "daily_sales")],
    "totals": [(*BUILD, "sales_by_day")],
    "metrics": [(*BUILD, "load_metrics", "files_to_mend")],
}
AFTER = {"transform": "extract", "merge": "transform", "totals": "merge", "metrics": "transform"}
Task = tuple[date, str]


def tasks(*names: str, days: Iterable[date] = DAYS) -> list[Task]:
    return [(day, name) for day in days for name in names]


ALL = tasks(*COMMANDS)

COLUMNS = """
select schema_name || '.' || table_name, list(column_name order by column_index)
from duckdb_columns()
where schema_name in ('staging', 'prod') and table_name in (select table_name from duckdb_tables())
group by all
order by all
"""
# A landing by its file and its place among those of the file.
NAMES = """
with names as (
    select landing_id, source_file || '/' || rank() over (partition by source_file order by landing_id) as name
    from staging.landed_files
)
"""
RENAMED = {
    "landing_id": "(select name from names where names.landing_id = held.landing_id)",
    # Whichever run it is.
    "counted_by": "held.counted_by is not null",
    "touched_by": "(select list_sort(list(day)) from staging.stale_days as o where o.touched_by = held.touched_by)",
}


class Runs:
    """A warehouse in which three files have landed, and the states that it comes through."""

    def __init__(self, project: Project, folder: Path):
        self.warehouse, self.expected = Warehouse(project, folder), Reference()
        for files in (*BEFORE, LANDED):
            self.warehouse.land(files)
            self.expected.load(files)
            if files is not LANDED:
                assert not self.warehouse.build().broken
        self.database, self.copies = folder / DATABASE, folder / "states"
        self.copies.mkdir()
        self.start = self.keep()

    def run(self, state: str, task: Task) -> str:
        """The state to which a task brings a state."""
        shutil.copy(self.copies / state, self.database)
        day, name = task
        for command in COMMANDS[name]:
            built = self.warehouse.dbt(*command, run_date=day)
            assert not built.broken, built.broken
            assert built.red == (name == "metrics" and bool(self.expected.to_mend(day)))
        return self.keep()

    def keep(self) -> str:
        """Keeps a copy of the warehouse under a name that says what rows it holds."""
        with duckdb.connect(self.database, read_only=True) as connection:
            rows = []
            for table, columns in connection.execute(COLUMNS).fetchall():
                values = ", ".join(RENAMED.get(column, f"held.{column}") for column in columns)
                rows += connection.execute(
                    f"{NAMES} select count(*), sum(hash({values})) from {table} as held"
                ).fetchall()
        state = str(hash(tuple(rows)))
        if not (self.copies / state).exists():
            shutil.copy(self.database, self.copies / state)
        return state

    def walk(self, first: list[Task], tasks: set[Task]) -> int:
        """Runs some tasks, then others in every order, then those that are left; the number of orders.

        Production is compared at the end of all of them.
        """
        state = self.start
        for task in first:
            state = self.run(state, task)
        level = Counter({(frozenset(), state): 1})
        for _ in tasks:
            following: Counter[tuple[frozenset[Task], str]] = Counter()
            for (done, state), orders in level.items():
                for day, name in sorted(tasks - done):
                    if (day, AFTER.get(name)) not in tasks - done:
                        following[done | {(day, name)}, self.run(state, (day, name))] += orders
            level = following
            for copy in self.copies.iterdir():
                if copy.name not in {self.start, *(state for _, state in level)}:
                    copy.unlink()
        for _, state in level:
            for task in ALL:
                if task not in tasks and task not in first:
                    state = self.run(state, task)
            shutil.copy(self.copies / state, self.database)
            compare(self.expected, self.warehouse, self.warehouse.dbt("test", "--select", "no_file_to_mend"))
        return sum(level.values())


@pytest.fixture(scope="module")
def runs(project: Project, tmp_path_factory) -> Runs:
    return Runs(project, tmp_path_factory.mktemp("interleavings") / "warehouse")


def test_the_merges_and_totals_of_two_runs(runs: Runs) -> None:
    """A third has merged and leaves its totals for later."""
    first = tasks("extract", "transform", "merge", days=[THREE]) + tasks("extract", "transform", days=[ONE, TWO])
    assert runs.walk(first, set(tasks("merge", "totals", days=[ONE, TWO]))) == math.comb(4, 2)


@pytest.mark.long
@pytest.mark.parametrize(
    "names", [("extract", "transform", "merge", "totals"), ("extract", "transform", "metrics")], ids="-".join
)
def test_three_runs_in_every_order(runs: Runs, names: tuple[str, ...]) -> None:
    count = len(names)
    assert runs.walk([], set(tasks(*names))) == math.factorial(3 * count) // math.factorial(count) ** 3
