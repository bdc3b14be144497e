"""The warehouses of this machine, as a person is shown them."""

import time
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path

import duckdb

from orchestration.local.errors import LocalError
from orchestration.local.stand_ins.snowflake.service import Snowflake

LOADED = "select source_file, content_hash from prod.load_ledger where verdict <> 'held'"


class Warehouse(ABC):
    """What a person is shown is read from it, beside dbt and Airflow."""

    # How a person knows it, and where it is.
    name: str
    address: str

    @abstractmethod
    def query(self, sql: str) -> list[tuple]:
        """Read."""

    @abstractmethod
    def production(self) -> dict[str, object]:
        """What each table of production holds, or a fingerprint of it; it differs as soon as a row does."""

    @abstractmethod
    def content_hash(self, content: bytes) -> str:
        """What the registers know a content by."""

    def holds(self, file: str, content: bytes) -> bool:
        """Whether production has this very content of a file, whoever has loaded it."""
        return "load_ledger" in self.production() and (file, self.content_hash(content)) in self.query(LOADED)


@dataclass(frozen=True)
class DuckDBFile(Warehouse):
    """The file that `dbt build` and Airflow share; opened to read only, and never for long."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def address(self) -> str:
        return str(self.path)

    def query(self, sql: str, wait_seconds: float = 15) -> list[tuple]:
        """Read; waits for a task that is just letting go of the file."""
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                with duckdb.connect(str(self.path), read_only=True) as connection:
                    return connection.execute(sql).fetchall()
            except duckdb.IOException as problem:
                if "lock" not in str(problem) or time.monotonic() > deadline:
                    raise LocalError(
                        f"{self.path.name} is open in another program; close that and run this again."
                    ) from problem
                time.sleep(0.2)

    def production(self) -> dict[str, object]:
        if not self.path.exists():
            return {}
        tables = self.query("select table_name from information_schema.tables where table_schema = 'prod' order by 1")
        return {table: self.query(f'select count(*), sum(hash(t)) from prod."{table}" as t')[0] for (table,) in tables}

    def content_hash(self, content: bytes) -> str:
        return sha256(content).hexdigest()


@dataclass(frozen=True)
class LocalSnowflake(Warehouse):
    """The Snowflake of this machine."""

    account: Snowflake
    name = "the local Snowflake, which has ended with this command"

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.account.port}, account local"

    def query(self, sql: str) -> list[tuple]:
        with self.account.connect() as connection:
            return [tuple(row) for row in connection.cursor().execute(sql).fetchall()]

    def production(self) -> dict[str, object]:
        tables = self.query("select table_name from information_schema.tables where table_schema = 'PROD' order by 1")
        return {table.lower(): Counter(self.query(f"select * from prod.{table}")) for (table,) in tables}

    def content_hash(self, content: bytes) -> str:
        return md5(content).hexdigest()
