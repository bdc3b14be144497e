"""What goes wrong on Snowflake is named, production stays as it was, and the next run mends it."""

import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from threading import Thread, Timer

import pytest
from snowflake.connector.cursor import SnowflakeCursor

from orchestration.local.stand_ins.snowflake.service import Snowflake
from support.reference import SALES, Tables
from support.sales_files import file
from support.snowflake_warehouse import Account, before_merge
from support.warehouse import Project

# What the tests of this file share is made once; the last of them loads what the others could not.
pytestmark = pytest.mark.xdist_group("snowflake")

DAY = date(2024, 1, 5)
WRONG = {
    "user": ({"SNOWFLAKE_USER": "nobody"}, "JWT token is invalid"),
    "account": ({"SNOWFLAKE_ACCOUNT": "elsewhere"}, "JWT token is invalid"),
    "role": ({"SNOWFLAKE_ROLE": "nobody"}, "Role 'NOBODY' specified in the connect string does not exist"),
    "warehouse": ({"SNOWFLAKE_WAREHOUSE": "nowhere"}, "No active warehouse selected in the current session"),
    "stage": ({}, "Stage 'ANALYTICS.STAGING.NOWHERE' does not exist or not authorized"),
}


@pytest.fixture(scope="module")
def loaded(on_snowflake: Project, running: Snowflake, tmp_path_factory) -> Account:
    """An account with a day in production, and another that waits in the landing zone."""
    account = Account(on_snowflake, tmp_path_factory.mktemp("account"), feeds=(SALES,), running=running)
    account.land({f"raw/sales/{DAY}/sales_export.csv": file(DAY)})
    assert not account.build().red
    tomorrow = DAY + timedelta(days=1)
    account.land(account.landed | {f"raw/sales/{tomorrow}/sales_export.csv": file(tomorrow)})
    return account


def merged(account: Account) -> Tables:
    """What merges have made; the other tables of production tell of loads."""
    return {name: rows for name, rows in account.tables().items() if name != "prod.load_metrics"}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_and_production_is_as_it_was(name: str, loaded: Account) -> None:
    before = loaded.tables()
    loaded.wrong, says = WRONG[name]
    options = ["--vars", "{landing_stage: staging.nowhere}"] if name == "stage" else []
    try:
        built = loaded.build(*options)
    finally:
        loaded.wrong = {}
    assert any(says in str(broken) for broken in built.broken.values()), built.broken
    assert loaded.tables() == before


def test_nothing_found_where_nothing_ever_was_is_told(loaded: Account) -> None:
    """Of sales there was a file before."""
    day = date(2023, 1, 1)
    built = loaded.dbt(
        "build", "--select", "raw_sales", "raw_inventory", "--exclude-resource-type", "test", run_date=day
    )
    assert not built.red
    told = [text for text in built.warnings if "Nothing to do" in text]
    assert len(told) == 1
    assert "there is no @staging.landing_zone/raw/inventory/2023-01-01/<HH>/*.csv or *.csv.gz" in told[0]
    assert "no file of inventory was ever found" in told[0]
    assert any("no file in raw/sales/2023-01-01/ is new or restated" in text for text in built.messages)


def test_a_session_ends_in_the_middle_of_the_merge(loaded: Account) -> None:
    before = merged(loaded)
    with before_merge("commit", lambda cursor: cursor.connection.rest.delete_session()):
        broken = loaded.build().broken
    assert "User must login again to access the service" in broken["daily_sales"]
    assert merged(loaded) == before


def test_a_statement_takes_too_long(loaded: Account) -> None:
    before = merged(loaded)
    with loaded.connect() as other, loaded.administrator() as administrator:
        set_timeout = "alter warehouse compute_wh set statement_timeout_in_seconds = {}"

        def block(_: SnowflakeCursor) -> None:
            administrator.cursor().execute(set_timeout.format(3))
            for statement in ("begin", "update staging.merge_lock set turn = turn"):
                other.cursor().execute(statement)

        with before_merge("begin", block):
            broken = loaded.build().broken
        administrator.cursor().execute(set_timeout.format(3600))
    assert "warehouse timeout of 3 second(s) and was canceled" in broken["daily_sales"]
    assert merged(loaded) == before


class Line:
    """A port that leads to another one, unless it is cut."""

    def __init__(self, port: int):
        self.far_port, self.port, self.ends = port, 0, []
        self.restore()

    def restore(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        Thread(target=self._serve, args=(self.listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self.far_port))
            except OSError:
                return
            self.ends += [near, far]
            for source, target in ((near, far), (far, near)):
                Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def cut(self) -> None:
        for end in [self.listener, *self.ends]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.ends.clear()


@pytest.fixture
def line(loaded: Account) -> Iterator[Line]:
    """How the account is reached while the test runs."""
    line = Line(loaded.running.port)
    loaded.wrong = {"SNOWFLAKE_PORT": str(line.port)}
    yield line
    loaded.wrong = {}
    line.cut()


class TimeOut(BaseException):
    """As Airflow ends a task that takes longer than its `execution_timeout`."""


@pytest.mark.long
def test_snowflake_is_gone_in_the_middle_of_the_merge(loaded: Account, line: Line) -> None:
    """The client would ask for ever: the time-out of the task ends it."""
    before = merged(loaded)

    def over(*_: object) -> None:
        raise TimeOut("the task has timed out")

    def cut(_: SnowflakeCursor) -> None:
        line.cut()
        signal.alarm(5)

    kept = signal.signal(signal.SIGALRM, over)
    try:
        with before_merge("commit", cut):
            assert "the task has timed out" in loaded.build().broken["dbt"]
    finally:
        signal.signal(signal.SIGALRM, kept)
    assert merged(loaded) == before


def test_snowflake_is_gone_for_a_while_and_the_run_mends_what_was_wrong(loaded: Account, line: Line) -> None:
    def cut(_: SnowflakeCursor) -> None:
        line.cut()
        Timer(4, line.restore).start()

    with before_merge("commit", cut):
        assert not loaded.build().red
    assert loaded.query("select count(*) from prod.daily_sales") == [(38,)]
