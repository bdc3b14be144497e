"""A warehouse that is an account of the local Snowflake, with a stage over a part of the local S3."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reference import PROJECT, Tables
from warehouse import Project, Warehouse

from orchestration.local.snowflake import Snowflake, snowflake
from orchestration.local.storage import storage

BUCKET = "company-data-lake"


@contextmanager
def server(folder: Path) -> Iterator[Snowflake]:
    """The local Snowflake, and the S3 that its stages lie on."""
    with storage(BUCKET, folder / "s3") as s3, snowflake(folder / "snowflake", s3) as running:
        yield running


def snowflake_project(folder: Path, running: Snowflake, root: Path = PROJECT) -> Project:
    """The dbt project, parsed for Snowflake."""
    return Project(root, folder / "target", running.environment())


@dataclass
class Account(Warehouse):
    """An account of its own."""

    running: Snowflake | None = None
    # SHA-256 of what has landed, by the hash that a listing of a stage tells.
    hashes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.name = "a" + hashlib.md5(str(self.folder).encode()).hexdigest()[:16]
        self.running.prepare(self.name, f"{self.name}/")

    @property
    def places(self) -> dict[str, str]:
        return self.running.environment(self.name)

    def land(self, files: Mapping[str, bytes], anew: bool = False) -> None:
        client = self.running.storage.client
        for path in self.landed.keys() - files.keys():
            client.delete_object(Bucket=BUCKET, Key=f"{self.name}/{path}")
        for path, data in files.items():
            if anew or self.landed.get(path) != data:
                client.put_object(Bucket=BUCKET, Key=f"{self.name}/{path}", Body=data)
                self.hashes[hashlib.md5(data).hexdigest()] = hashlib.sha256(data).hexdigest()
        self.landed = dict(files)

    def query(self, sql: str) -> list[tuple]:
        with self.running.connect(self.name) as connection:
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
