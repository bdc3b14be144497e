"""Promise 2 on Snowflake: a load dies by SIGKILL before each statement of its merge, and behind its commit; the next
finishes it. What the client has left open, Snowflake rolls back.
"""

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from snowflake.connector.cursor import SnowflakeCursor

from bench.statements import Statement, recorded, statement_of
from orchestration.local.stand_ins.snowflake.service import Snowflake
from support.reference import SALES, Reference
from support.sales_files import CASES, file, row
from support.snowflake_warehouse import MERGE, Account, before_merge
from support.warehouse import Project, compare

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("snowflake")

FIRST, DAY, THIRD = date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)
READS = ("select", "describe", "show", "list", "alter session")
# One by one, so that they come in one order.
ONE_BY_ONE = ("--threads", "1")


def version(number: int) -> dict[str, bytes]:
    """Two days, restated each time: one without sales that it had, and with a correction of the other's."""
    held = CASES["more rejected rows than the rate"].content(DAY)
    correction = row(f"a-{FIRST}-1", FIRST, quantity=str(number + 2), updated_at=f"{DAY}T11:{number:02}:00Z")
    return {
        f"raw/sales/{FIRST}/sales_export.csv": file(FIRST, row("x", FIRST, quantity=str(number + 1)), prefix="a"),
        f"raw/sales/{DAY}/sales_export.csv": file(DAY, correction, size=10 + number % 2, prefix="b"),
        f"raw/sales/{DAY}/held.csv": held,
    }


class Trials:
    """Loads of an account, each of files restated since the last, killed and run again."""

    def __init__(self, account: Account):
        self.account, self.expected, self.versions = account, Reference(), 0

    def land(self) -> None:
        files = version(self.versions)
        self.versions += 1
        self.account.land(files)
        self.expected.load(files)

    def load(self) -> None:
        compare(self.expected, self.account, self.account.build(*ONE_BY_ONE))

    def record(self) -> list[Statement]:
        """The statements of a load that nobody kills."""
        self.land()
        with recorded() as statements:
            self.load()
        return [one for one in statements if one.node]

    def kill(self, point: int, statements: list[Statement]) -> None:
        """Kills a load at a point, runs it again, and compares."""
        where = f"killed before: {statements[point].text}"
        self.land()
        before = self.account.tables()["prod.daily_sales"]
        process = os.fork()
        if process == 0:
            try:
                self._die_at(point)
            finally:
                os._exit(1)
        _, status = os.waitpid(process, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"not {where}"
        committed = any(one.text.lower() == "commit" and one.node == MERGE for one in statements[:point])
        # Either all of a merge is there or nothing.
        assert (self.account.tables()["prod.daily_sales"] == before) != committed, where
        try:
            self.load()
        except AssertionError as problem:
            raise AssertionError(f"{where}\n{problem}") from problem

    def _die_at(self, point: int) -> None:
        execute, points = SnowflakeCursor.execute, 0

        def counted(cursor: SnowflakeCursor, command: str, *arguments, **options):
            nonlocal points
            if statement_of(command).node:
                if points == point:
                    os.kill(os.getpid(), signal.SIGKILL)
                points += 1
            return execute(cursor, command, *arguments, **options)

        SnowflakeCursor.execute = counted
        self.account.build(*ONE_BY_ONE)


@pytest.fixture(scope="module")
def trials(on_snowflake: Project, running: Snowflake, tmp_path_factory) -> tuple[Trials, list[Statement]]:
    folder = tmp_path_factory.mktemp("account")
    made = Trials(Account(on_snowflake, folder, feeds=(SALES,), running=running))
    made.record()
    return made, made.record()


def of_merge(statements: list[Statement]) -> list[int]:
    """The points of the merge, and the one behind it."""
    points = [place for place, one in enumerate(statements) if one.node == MERGE]
    return [*points, points[-1] + 1]


def test_a_merge_killed_before_its_commit_is_made_good_by_the_next(trials: tuple[Trials, list[Statement]]) -> None:
    made, statements = trials
    made.kill(next(place for place in of_merge(statements) if statements[place].text.lower() == "commit"), statements)


def another_run(account: Account, *command: str) -> None:
    """dbt in a process of its own: a fork would end the sessions of this one."""
    dbt = [Path(sys.executable).with_name("dbt"), *command, *account.project.options(), "--log-level", "error"]
    run = subprocess.run(dbt, env={**os.environ, **account.places}, capture_output=True, text=True)
    assert "Traceback" not in run.stderr and "Database Error" not in run.stdout, run.stdout + run.stderr


@pytest.mark.long
def test_a_merge_of_what_another_run_has_merged_meanwhile_stops(trials: tuple[Trials, list[Statement]]) -> None:
    made, _ = trials
    made.land()
    account = made.account
    with before_merge("begin", lambda _: another_run(account, "build", *account.selection("unit_test"))):
        broken = account.build(*ONE_BY_ONE).broken
    assert "another run has merged raw/sales/" in broken["daily_sales"]
    made.load()


@pytest.mark.parametrize("first", [False, pytest.param(True, marks=pytest.mark.long)], ids=["again", "first"])
@pytest.mark.parametrize("until", ["typed_sales", pytest.param("daily_sales", marks=pytest.mark.long)])
def test_what_comes_beside_a_full_refresh_is_not_lost(first: bool, until: str, trials, tmp_path) -> None:
    """A file that is new and one that is restated, typed or merged by another run between the refresh's query and its
    turn. Of what is typed alone the ledger says nothing, and the next run merges it."""
    made = trials[0]
    if first:
        made = Trials(Account(made.account.project, tmp_path / "account", feeds=(SALES,), running=made.account.running))
        made.land()
    account = made.account
    before = account.landed
    files = version(made.versions) | {f"raw/sales/{THIRD}/sales_export.csv": file(THIRD, prefix="c")}

    def beside(_: SnowflakeCursor) -> None:
        account.land(files)
        another_run(account, "build", "--select", f"+{until}", *account.selection("test", "unit_test"))

    with before_merge("begin", beside):
        built = account.build("--full-refresh", *ONE_BY_ONE)
    if until == "typed_sales":
        assert not built.broken
        made.expected.load(before)
        ledger = "select source_file, current_rows from prod.load_ledger where verdict = 'passed' order by 1"
        loaded = [(path, rows) for path, rows in account.query(ledger)]
        counted = "select source_file, count(*) from prod.daily_sales group by 1 order by 1"
        assert loaded == account.query(counted) and f"raw/sales/{THIRD}/sales_export.csv" not in dict(loaded)
    else:
        assert "another run has merged raw/sales/" in built.broken["daily_sales"]
    made.versions += 1
    made.expected.load(files)
    made.load()


@pytest.mark.long
def test_a_merge_killed_anywhere_is_made_good_by_the_next(trials: tuple[Trials, list[Statement]]) -> None:
    made, statements = trials
    for point in of_merge(statements):
        made.kill(point, statements)


@pytest.mark.long
def test_a_load_killed_at_any_statement_that_writes_is_made_good_by_the_next(
    trials: tuple[Trials, list[Statement]],
) -> None:
    made, statements = trials
    merge = of_merge(statements)
    for point, one in enumerate(statements):
        if point not in merge and one.kind not in READS:
            made.kill(point, statements)
