"""dbt on a warehouse and a landing zone of a test's own, in this process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner, dbtRunnerResult

PROJECT = Path(__file__).resolve().parents[2]
PARTS = ["models", "macros", "seeds", "packages", "dbt_project.yml", "packages.yml", "profiles.yml.example"]
QUERIES = {
    "prod.daily_sales": "select * from prod.daily_sales",
    "prod.load_ledger": "select source_file, content_hash, file_date, verdict, received_rows, current_rows, "
    "superseded_rows, rejected_rows, held_rows from prod.load_ledger",
    "prod.load_metrics": "select * from prod.load_metrics",
    "prod.sales_by_day": "select * from prod.sales_by_day",
    "staging.rejected_sales": "select source_file, source_record from staging.rejected_sales",
    "staging.refused_files": "select source_file, content_hash from staging.refused_files",
}


class Warehouse:
    """A DuckDB file, a landing zone in a folder, and the project that loads the one from the other.

    Both paths stay the same from test to test: dbt parses anew when what its profile reads changes.
    """

    def __init__(self, home: Path, project: Path = PROJECT):
        self.home, self.project = home, project
        self.path, self.landing = home / "warehouse.duckdb", home / "landing"
        self.landing.mkdir(parents=True, exist_ok=True)
        self.runner = dbtRunner()
        self.messages: list[str] = []
        parsed = self.dbt("parse")
        assert parsed.success, parsed.exception
        self.runner = dbtRunner(manifest=parsed.result, callbacks=[self._listen])

    def _listen(self, event) -> None:
        self.messages.append(event.info.msg)

    def dbt(self, *command: str, day: date | str | None = None) -> dbtRunnerResult:
        """Runs a dbt command, for one day or for all."""
        options = ["--project-dir", self.project, "--profiles-dir", self.project, "--target-path", self.home / "target"]
        self.messages.clear()
        with environment(
            WAREHOUSE_PATH=str(self.path), LANDING_ROOT=str(self.landing), RUN_DATE=str(day or ""), DBT_TARGET="duckdb"
        ):
            try:
                return self.runner.invoke([*command, "--quiet", "--log-level-file", "none", *map(str, options)])
            finally:
                # A failed run may leave the file open.
                DuckDBConnectionManager.close_all_connections()

    def build(self, *options: str, day: date | str | None = None) -> dbtRunnerResult:
        """`dbt build` as Airflow has it: without the unit tests, which test no data."""
        return self.dbt("build", "--exclude-resource-type", "unit_test", "--no-write-json", *options, day=day)

    def empty(self) -> None:
        """A new warehouse and a landing zone with nothing in it."""
        for path in self.home.glob("warehouse.duckdb*"):
            path.unlink()
        shutil.rmtree(self.landing)
        self.landing.mkdir()

    def land(self, files: dict[str, bytes | None]) -> None:
        """Lands files by path; None takes one away."""
        for path, data in files.items():
            target = self.landing / path
            if data is None:
                target.unlink(missing_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)

    def execute(self, sql: str) -> list[tuple]:
        """Runs a statement on the warehouse."""
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(sql).fetchall()

    def tables(self) -> dict[str, list[tuple]]:
        """What the reference has too; rows sorted."""
        return {name: sorted(map(plain, self.execute(query)), key=repr) for name, query in QUERIES.items()}


def plain(row: tuple) -> tuple:
    """A row in which equal decimals are written alike."""
    return tuple(value.quantize(Decimal("0.01")) if isinstance(value, Decimal) else value for value in row)


def differences(expected: dict[str, list[tuple]], found: dict[str, list[tuple]]) -> str:
    """What differs, a line a row; empty if nothing does."""
    lines = []
    for name, rows in expected.items():
        rows, others = list(map(plain, rows)), list(found[name])
        for row in rows:
            if row in others:
                others.remove(row)
            else:
                lines.append(f"{name} lacks {row}")
        lines += [f"{name} has {row}" for row in others]
    return "\n".join(lines)


def failed(result: dbtRunnerResult) -> list[str]:
    """The names of what failed in a dbt run, sorted."""
    assert result.exception is None, result.exception
    return sorted(one.node.name for one in result.result if one.status in ("fail", "error"))


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def copied_project(home: Path, changes: dict[str, tuple[str, str]]) -> Path:
    """A copy of the project with one text in each of some files replaced; the text must be there."""
    copy = home / "project"
    for name in PARTS:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("integration_tests"))
        else:
            copy.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy / name)
    shutil.copytree(PROJECT / "tests" / "dbt", copy / "tests" / "dbt")
    (copy / "profiles.yml.example").rename(copy / "profiles.yml")
    (copy / "dbt_packages").mkdir()
    (copy / "dbt_packages" / "dbt_expectations").symlink_to(copy / "packages" / "dbt_expectations")
    for name, (old, new) in changes.items():
        text = (copy / name).read_text()
        assert text.count(old) == 1, f"{name} has {text.count(old)} times: {old}"
        (copy / name).write_text(text.replace(old, new))
    return copy
