"""What the warehouse says after the runs, for a person."""

import time
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path

import duckdb
from rich import box
from rich.console import Console
from rich.table import Table

from orchestration.alerts.text import release_command
from orchestration.local.errors import LocalError
from orchestration.local.snowflake import Snowflake

RECEIVED = """
select
    ledger.source_file, ledger.received_rows, ledger.current_rows, ledger.superseded_rows, ledger.rejected_rows,
    ledger.held_rows, verdicts.verdict, verdicts.failed_checks
from prod.load_ledger as ledger
left join staging.file_verdicts as verdicts
    on verdicts.source_file = ledger.source_file and verdicts.content_hash = ledger.content_hash
order by ledger.source_file, ledger.held_rows
"""
REJECTED = "select source_file, reject_reasons, count(*) from staging.rejected_sales group by 1, 2 order by 1, 2"
HELD = "select source_file from staging.files_to_mend where state = 'held' order by source_file"
REFUSED = "select source_file, source_record, reason from staging.refused_files order by source_file"
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


def show_result(console: Console, warehouse: Warehouse) -> None:
    """Print, for each file, where its rows are, and why some of them are not in production."""
    table = Table(title="Where each row is now", title_justify="left", title_style="bold", box=box.SIMPLE)
    table.add_column("file")
    for column in ("received", "current", "superseded", "rejected", "held"):
        table.add_column(column, justify="right")
    table.add_column("checks")
    for file, *counts, verdict, failed in warehouse.query(RECEIVED):
        table.add_row(file, *(f"{count:,}" for count in counts), f"{verdict}: {failed}" if failed else verdict)
    for file, record, reason in warehouse.query(REFUSED):
        where = "" if record is None else f" (record {record})"
        table.add_row(file, *"-----", f"refused: {reason}{where}")
    console.print()
    console.print(table)
    for (file,) in warehouse.query(HELD):
        if command := release_command(file):
            console.print(f"If {file} is right as it is: {command}")

    show_reasons(console, warehouse.query(REJECTED))


def show_reasons(console: Console, rejected: list[tuple]) -> None:
    """Print how often each reason rejected a row, over all files."""
    if not rejected:
        return
    reasons: Counter = Counter()
    for _, joined, count in rejected:
        reasons.update({reason: count for reason in joined.split("; ")})
    files = len({file for file, _, _ in rejected})
    table = Table(
        title=f"Rejected: {sum(count for *_, count in rejected):,} rows of {files} file{'s' if files > 1 else ''}, in "
        "staging.rejected_sales",
        title_justify="left", title_style="bold", box=box.SIMPLE,
    )  # fmt: skip
    table.add_column("reason (a row may have several)")
    table.add_column("rows", justify="right")
    for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(reason, f"{count:,}")
    console.print(table)
