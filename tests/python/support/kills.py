"""Builds that die by SIGKILL before one of their statements, and are run again."""

import hashlib
import json
import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from support.warehouse import DATABASE, Built, Warehouse


class Told:
    """A DuckDB connection that tells each statement before it is executed, those of one text one by one."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, tell: Callable[[str], None]):
        self.connection, self.tell = connection, tell

    def __getattr__(self, name: str):
        return getattr(self.connection, name)

    def cursor(self) -> "Told":
        return Told(self.connection.cursor(), self.tell)

    def execute(self, text: str, *values) -> "Told":
        for statement in self.connection.extract_statements(text):
            self.tell(statement.query)
            self.connection.execute(statement, *values)
        return self

    def rollback(self) -> None:
        self.tell("ROLLBACK")
        self.connection.rollback()

    def close(self) -> None:
        # The last one to close the file writes into it what stands in its log.
        self.tell("CLOSE")
        self.connection.close()


def plain(statement: str) -> str:
    """A statement without what differs from build to build."""
    text = re.sub(r"/\*.*?\*/", "", statement, flags=re.DOTALL).strip().removesuffix(";")
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=__dbt_tmp)[0-9]+", "", text).strip()


@dataclass
class Trials:
    """Builds of one warehouse, each from the same start, killed and run again."""

    warehouse: Warehouse
    # The database at the start; none before the first build.
    start: bytes | None
    # The build that is killed, and that which makes it good.
    killed: Callable[[], Built]
    again: Callable[[], Built]
    # Fails where a build has not come to what it must.
    check: Callable[[Built], None]
    # What killed builds have left that was run again already.
    tried: set[str] = field(default_factory=set)

    @property
    def database(self) -> Path:
        return self.warehouse.folder / DATABASE

    def build(self, kill_at: int | None = None, log: Path | None = None) -> tuple[int, list[str]]:
        """A build from the start in a process of its own, killed at a point; how it ended, and its statements."""
        for left in (self.database, self.database.with_name(f"{DATABASE}.wal")):
            left.unlink(missing_ok=True)
        if self.start is not None:
            self.database.write_bytes(self.start)
        told = self.warehouse.folder / "told"
        process = os.fork()
        if process == 0:
            try:
                with told.open("w") as out:
                    self._build(out, kill_at, log)
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(process, 0)
        return status, [plain(json.loads(line)) for line in told.read_text().splitlines()]

    def _build(self, out, kill_at: int | None, log: Path | None) -> None:
        connect, points = duckdb.connect, 0

        def tell(statement: str) -> None:
            nonlocal points
            out.write(json.dumps(statement) + "\n")
            out.flush()
            if points == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            points += 1

        def told(*place, **options) -> Told:
            tell("CONNECT")
            connection = connect(*place, **options)
            if log:
                connection.execute(f"call enable_logging('QueryLog', storage = 'file', storage_path = '{log}')")
            return Told(connection, tell)

        duckdb.connect = told
        built = self.killed()
        assert not built.broken, built.broken
        tell("END")

    def left(self) -> str:
        """All that the database holds, but for the names of runs."""
        if not self.database.exists():
            return ""
        with duckdb.connect(self.database, read_only=True) as connection:
            tables = connection.execute(
                "select schema_name, table_name, sql from duckdb_tables() order by all"
            ).fetchall()
            views = connection.execute("select sql from duckdb_views() where not internal order by all").fetchall()
            schemas = connection.execute("select schema_name from duckdb_schemas() order by all").fetchall()
            rows = [
                connection.execute(f'select * from "{schema}"."{table}" order by all').fetchall()
                for schema, table, _ in tables
            ]
        return hashlib.sha256(plain(repr((schemas, tables, views, rows))).encode()).hexdigest()

    def record(self, log: Path | None = None) -> list[str]:
        """The statements of a build that nobody kills, and behind them its end."""
        status, told = self.build(log=log)
        assert status == 0 and told[-1] == "END", "the build that is recorded is broken"
        return told

    def kill(self, point: int, recorded: list[str]) -> None:
        """Kills a build at a point, runs it again, and compares."""
        where = f"killed at point {point} of {len(recorded)}, before: {recorded[point]}"
        for _ in range(3):
            status, told = self.build(kill_at=point)
            assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"not {where}"
            # Once in a thousand builds dbt begins two nodes, both of which may, the other way round.
            if told == recorded[: point + 1]:
                break
        else:
            raise AssertionError(f"other statements than recorded, {where}")
        if (left := self.left()) in self.tried:
            return
        built = self.again()
        try:
            self.check(built)
        except AssertionError as problem:
            raise AssertionError(f"{where}\n{problem}") from problem
        self.tried.add(left)
