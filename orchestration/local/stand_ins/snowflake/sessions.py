"""Sessions, each with its transaction and its temporary tables, and the one lock for which writers wait."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb
from fakesnow import server
from snowflake.connector.errors import Error, ProgrammingError
from sqlglot import Expr, exp
from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestration.local.stand_ins.snowflake.accounts import Account
from orchestration.local.stand_ins.snowflake.answers import refuse, route

LOCK_SECONDS = 60
# Five minutes on Snowflake, for which nobody waits here.
IDLE_SECONDS = 10
TWO_DAYS = 172_800


@dataclass
class Session:
    """What a session has beside its DuckDB connection."""

    account: Account = field(default_factory=Account)
    user: str = ""
    role: str = ""
    warehouse: str | None = None
    owns_lock: bool = False
    in_transaction: bool = False
    # None while it executes a statement.
    idle_since: float | None = None
    last_query: str | None = None
    query_tag: str = ""
    # Of a temporary table or view, by schema and name: its kind, and what it is called here.
    temporary: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    @property
    def timeout(self) -> int:
        """Seconds after which a statement is cancelled."""
        return self.account.timeouts.get(self.warehouse, TWO_DAYS)


SESSIONS: dict[int, Session] = {}
LOCK = threading.Lock()
# Guards which session owns it.
OWNERS = threading.Lock()


def session_of(connection: object) -> Session:
    """The session of a connection of fakesnow."""
    return SESSIONS.setdefault(id(connection), Session())


def sessions_of_their_own() -> None:
    """When a session ends its transaction is rolled back and its temporary tables go (sql-reference/transactions,
    user-guide/tables-temp-transient). fakesnow forgets the session and leaves its DuckDB connection as it is.
    """
    answer = server.session

    async def session(request: Request) -> JSONResponse:
        connection = server.sessions.get(server.to_token(request)) if request.query_params.get("delete") else None
        response = await answer(request)
        if connection is not None:
            state = SESSIONS.pop(id(connection), Session())
            if state.in_transaction:
                connection._duck_conn.execute("rollback")
            for (schema, _), (kind, name) in state.temporary.items():
                connection._duck_conn.execute(f'drop {kind} if exists "{schema}"."{name.upper()}"')
            if state.owns_lock:
                LOCK.release()
            connection._duck_conn.close()
        return response

    route("/session", session)


def timed_out(seconds: int) -> ProgrammingError:
    """What a statement is answered that took too long."""
    text = f"Statement reached its statement or warehouse timeout of {seconds} second(s) and was canceled."
    return refuse(text, 630, "57014")


@contextmanager
def cancelled_in_time(connection: Any, state: Session) -> Iterator[None]:
    """A statement that takes longer than its warehouse allows is cancelled (sql-reference/parameters,
    STATEMENT_TIMEOUT_IN_SECONDS; two days if nobody says otherwise). fakesnow knows no time-out.
    """
    seconds = state.timeout
    alarm = threading.Timer(seconds, connection.interrupt)
    alarm.daemon = True
    alarm.start()
    try:
        yield
    except Error as error:
        if isinstance(error.__cause__, duckdb.InterruptException):
            raise timed_out(seconds) from error
        raise
    finally:
        alarm.cancel()


class locks:
    """DML waits for the locks of another transaction, which is rolled back if it has been idle for a while, as that of
    a client that was killed (sql-reference/transactions, "Resource locking" and "Aborting transactions": five minutes).
    DuckDB fails at once with a conflict. Here one transaction writes at a time.
    """

    def __init__(self, transformed: Expr, state: Session) -> None:
        self.transformed, self.state = transformed, state
        reads = isinstance(transformed, (exp.Select, exp.SetOperation, exp.Describe, exp.Show, exp.Use, exp.Set))
        self.writes = not reads and not isinstance(transformed, exp.Subquery)

    def __enter__(self) -> None:
        with OWNERS:
            self.state.idle_since = None
        if self.writes and not self.state.owns_lock:
            deadline, timeout = time.monotonic() + LOCK_SECONDS, self.state.timeout
            cancelled = time.monotonic() + timeout
            while not LOCK.acquire(timeout=1):
                roll_back_the_idle()
                if time.monotonic() > cancelled:
                    raise timed_out(timeout)
                if time.monotonic() > deadline:
                    raise refuse("Lock wait timeout: another session has a transaction open.", 625, "57014")
            with OWNERS:
                self.state.owns_lock = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with OWNERS:
            if isinstance(self.transformed, exp.Transaction) and kind is None:
                self.state.in_transaction = True
            elif isinstance(self.transformed, (exp.Commit, exp.Rollback)):
                self.state.in_transaction = False
            if self.state.owns_lock and not self.state.in_transaction:
                self.state.owns_lock = False
                LOCK.release()
            self.state.idle_since = time.monotonic()


def roll_back_the_idle() -> None:
    """Rolls back a transaction that holds the lock and of which nothing has been heard for a while."""
    with OWNERS:
        for connection in list(server.sessions.values()):
            state = session_of(connection)
            if state.owns_lock and state.idle_since and time.monotonic() - state.idle_since > IDLE_SECONDS:
                connection._duck_conn.execute("rollback")
                state.in_transaction = state.owns_lock = False
                LOCK.release()


def end_by_ddl(self: Any, state: Session) -> None:
    """DDL commits the transaction that is open (sql-reference/transactions, "DDL"). fakesnow's takes part in it."""
    self._duck_conn.execute("commit")
    state.in_transaction = False
