"""Warehouses on Snowflake: an account of the local one, or a database of a real one; their stage lies over an S3."""

import hashlib
import os
import re
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from snowflake.connector.cursor import SnowflakeCursor

from bench.statements import statement_of
from orchestration.local.stand_ins.s3 import storage
from orchestration.local.stand_ins.snowflake.service import ADMINISTRATOR, Snowflake, snowflake
from support.reference import PROJECT, Tables
from support.warehouse import Built, Project, Warehouse

BUCKET = "company-data-lake"


MERGE = "model.reference_pipeline.daily_sales"


@contextmanager
def before_merge(text: str, act: Callable[[SnowflakeCursor], None]) -> Iterator[None]:
    """Acts once while builds run in this process: right before the merge of sales sends a statement."""
    execute, done = SnowflakeCursor.execute, []

    def acting(cursor: SnowflakeCursor, command: str, *arguments, **options):
        sent = statement_of(command)
        if sent.node == MERGE and sent.text.lower() == text and not done:
            done.append(True)
            act(cursor)
        return execute(cursor, command, *arguments, **options)

    SnowflakeCursor.execute = acting
    try:
        yield
    finally:
        SnowflakeCursor.execute = execute
    assert done, f"the merge has sent no {text}"


# A change of macros by which every list of landings is one that is too long for a statement.
LONG_LISTS = {"snowflake__list_of_landings": {"most=1000": "most=0"}}
LISTS_OF_LITERALS = re.compile(r"landing_id (?:not )?in \(\d[^)]*\)", re.I)


def at_once(builds: Sequence[Callable[[], Built]], apart: float, folder: Path) -> list[str]:
    """Builds, each in a process of its own, some seconds apart; what broke."""
    runs = []
    for number, build in enumerate(builds):
        run = os.fork()
        if run == 0:
            try:
                broken = build().broken
                (folder / str(number)).write_text(str(broken))
                os._exit(bool(broken))
            finally:
                os._exit(1)
        runs.append(run)
        time.sleep(apart)
    failed = [number for number, run in enumerate(runs) if os.waitstatus_to_exitcode(os.waitpid(run, 0)[1])]
    return [(folder / str(number)).read_text() for number in failed]


@contextmanager
def server(folder: Path) -> Iterator[Snowflake]:
    """The local Snowflake, and the S3 that its stages lie on."""
    with storage(BUCKET, folder / "s3") as s3, snowflake(folder / "snowflake", s3) as running:
        yield running


def snowflake_project(folder: Path, environment: Mapping[str, str], root: Path = PROJECT) -> Project:
    """The dbt project, parsed for Snowflake."""
    return Project(root, folder / "target", environment)


@dataclass
class OnSnowflake(Warehouse):
    """What the warehouses on Snowflake have in common."""

    # SHA-256 of what has landed, by the hash that a listing of a stage tells.
    hashes: dict[str, str] = field(default_factory=dict)

    @abstractmethod
    def connect(self) -> Any:
        """A connection of Snowflake's client."""

    @property
    @abstractmethod
    def zone(self) -> tuple[Any, str, str]:
        """The landing zone: boto3's client, a bucket, and a prefix that ends in a slash."""

    def land(self, files: Mapping[str, bytes], anew: bool = False) -> None:
        client, bucket, prefix = self.zone
        for path in self.landed.keys() - files.keys():
            client.delete_object(Bucket=bucket, Key=prefix + path)
        for path, data in files.items():
            if anew or self.landed.get(path) != data:
                client.put_object(Bucket=bucket, Key=prefix + path, Body=data)
                self.hashes[hashlib.md5(data).hexdigest()] = hashlib.sha256(data).hexdigest()
        self.landed = dict(files)

    def query(self, sql: str) -> list[tuple]:
        with self.connect() as connection:
            return [tuple(row) for row in connection.cursor().execute(sql).fetchall()]

    def tables(self) -> Tables:
        listed = self.query(
            "select table_name, column_name from information_schema.columns where table_schema = 'PROD'"
        )
        found: dict[str, set[str]] = {}
        for table, column in listed:
            found.setdefault(f"prod.{table.lower()}", set()).add(column.lower())
        assert {name: sorted(found.get(name, ())) for name in self.columns} == {
            name: sorted(columns) for name, columns in self.columns.items()
        }
        return {name: self._rows(name, columns) for name, columns in self.columns.items()}

    def _rows(self, name: str, columns: tuple[str, ...]) -> Counter:
        rows = self.query(f"select {', '.join(columns)} from {name}")
        if "content_hash" in columns:
            place = columns.index("content_hash")
            rows = [(*row[:place], self.hashes[row[place]], *row[place + 1 :]) for row in rows]
        return Counter(rows)


@dataclass
class Account(OnSnowflake):
    """An account of its own on the local Snowflake."""

    running: Snowflake | None = None
    # What somebody has set otherwise.
    wrong: dict[str, str] = field(default_factory=dict)
    # Those that are there: the local Snowflake holds them in memory, a tenth of a gigabyte each.
    there: ClassVar[dict[str, "Account"]] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.name = "a" + hashlib.md5(str(self.folder).encode()).hexdigest()[:16]
        self.running.prepare(self.name, f"{self.name}/")
        self.there[self.name] = self

    def drop(self) -> None:
        with self.running.connect(user=ADMINISTRATOR, role="ACCOUNTADMIN", warehouse="") as connection:
            connection.cursor().execute(f"drop account {self.name} grace_period_in_days = 3")
        del self.there[self.name]
        super().drop()

    @property
    def places(self) -> dict[str, str]:
        return self.running.environment(self.name) | self.wrong

    @property
    def zone(self) -> tuple[Any, str, str]:
        return self.running.storage.client, BUCKET, f"{self.name}/"

    def connect(self) -> Any:
        return self.running.connect(self.name)

    def administrator(self) -> Any:
        """A connection of who may do everything there."""
        return self.running.connect(self.name, user=ADMINISTRATOR, role="ACCOUNTADMIN", warehouse="")


@dataclass
class Database(OnSnowflake):
    """A database in the account that the environment names; `landing` is the URL of a part of S3."""

    database: str = ""
    landing: str = ""

    @property
    def places(self) -> dict[str, str]:
        return {"DBT_TARGET": "snowflake", "SNOWFLAKE_DATABASE": self.database}

    @property
    def zone(self) -> tuple[Any, str, str]:
        import boto3

        bucket, _, prefix = self.landing.removeprefix("s3://").partition("/")
        return boto3.client("s3"), bucket, f"{prefix.rstrip('/')}/".lstrip("/")

    def connect(self) -> Any:
        """By dbt's own profile, so that there is one way to say whom and where."""
        import snowflake.connector
        from dbt.adapters.snowflake.auth import private_key_from_file, private_key_from_string
        from dbt.adapters.snowflake.connections import snowflake_private_key

        passphrase = os.environ.get("DBT_ENV_SECRET_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE")
        path = os.environ.get("SNOWFLAKE_PRIVATE_KEY_PATH")
        if path:
            key = private_key_from_file(path, passphrase)
        else:
            key = private_key_from_string(os.environ["DBT_ENV_SECRET_SNOWFLAKE_PRIVATE_KEY"], passphrase)
        where = {name: os.environ[f"SNOWFLAKE_{name.upper()}"] for name in ("host", "port") if self._set(name)}
        return snowflake.connector.connect(
            account=os.environ["SNOWFLAKE_ACCOUNT"],
            user=os.environ.get("SNOWFLAKE_USER") or "etl_user",
            private_key=snowflake_private_key(key),
            role=os.environ.get("SNOWFLAKE_ROLE") or "transformer",
            warehouse=os.environ.get("SNOWFLAKE_WAREHOUSE") or "COMPUTE_WH",
            database=self.database,
            schema="staging",
            **where,
        )

    @staticmethod
    def _set(name: str) -> bool:
        return bool(os.environ.get(f"SNOWFLAKE_{name.upper()}"))


Types = dict[tuple[str, str], str]


def types(account: Account) -> Types:
    """The type of each column of each table and view, as Snowflake calls it."""
    return {
        (table, column): f"NUMBER({precision},{scale})" if kind == "NUMBER" else kind
        for table, column, kind, precision, scale in account.query(
            "select lower(table_name), lower(column_name), data_type, numeric_precision, numeric_scale "
            "from information_schema.columns where table_schema in ('STAGING', 'PROD')"
        )
    }


CALLED = {
    "bigint": "NUMBER(38,0)",
    "integer": "NUMBER(38,0)",
    "varchar": "TEXT",
    "timestamp": "TIMESTAMP_NTZ",
    "json": "VARIANT",
}


def declared(project: Project, wanted: Callable[[Any], bool]) -> Types:
    """The same by the properties files, of some models. Where all columns are text they name the contract's types."""
    nodes = [*project.manifest.sources.values(), *project.manifest.nodes.values()]
    return {
        (node.name, name): CALLED.get(column.data_type, column.data_type.upper().replace("DECIMAL", "NUMBER"))
        for node in nodes
        if wanted(node) and not node.name.startswith(("raw_", "rejected_"))
        for name, column in node.columns.items()
        if column.data_type
    }
