"""Takes the objects in which messages of topics have landed into the raw table, each whole or not at all.

An object is never written twice, so that those behind the last one that is known are the new ones, and none before it
is looked at again. Which offsets an object covers is in its metadata (orchestration/events/chain.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.events.chain import NAME, SCHEMA
from orchestration.events.objects import Objects, objects_at
from orchestration.landing.listing import MUST_HOLD_RAW
from orchestration.landing.load import Log, Tables, landing_ids
from orchestration.landing.sql import literal

# One transaction takes this many objects, and no more once they come to this size: until its end they are in memory.
OBJECTS_A_TRANSACTION, BYTES_A_TRANSACTION = 200, 64 << 20
# What is not UTF-8 is kept as hexadecimal digits.
MESSAGES = """
insert into {raw} (
    kafka_topic, kafka_generation, kafka_partition, kafka_offset, sent_at, message_key, message_value, message_bytes,
    source_file, content_hash, source_record, file_date, landing_id
)
select
    topic,
    generation,
    "partition",
    "offset",
    timezone('UTC', "timestamp"),
    coalesce(try(decode(key)), '0x' || hex(key)),
    value_text,
    case when value is not null and value_text is null then hex(value) end,
    source_file,
    content_hash,
    "offset",
    null,
    landing_id
from (select *, try(decode(value)) as value_text from arrived) as decoded
"""


@dataclass(frozen=True)
class Taken:
    """An object that was read: the offsets [first, next) that it covers and its messages, or why it is refused."""

    path: str
    content_hash: str
    first: int = 0
    next: int = 0
    messages: pa.Table | None = None
    problem: str | None = None


class MessageLoader:
    """Takes the new objects of a feed into the raw table."""

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, root: str, feed: str, tables: Tables, generations: str, log: Log
    ):
        self.cursor, self.tables, self.log, self.root = cursor, tables, log, root
        self.generations = generations
        self.objects: Objects = objects_at(root)
        self.prefix = f"raw/{feed}"
        of_feed = f"where starts_with(source_file, {literal(self.prefix + '/')})"
        self.ids = landing_ids(cursor, tables.landed)
        refused = f"select source_file, content_hash from {tables.refused} {of_feed}"
        self.refused = dict(cursor.execute(refused).fetchall())
        # The last object of each chain.
        folder = "left(source_file, length(source_file) - position('/' in reverse(source_file)))"
        newest = (
            f"select {folder}, max(source_file) from (select source_file from {tables.landed} {of_feed} union all "
            f"select source_file from {tables.refused} {of_feed}) as known group by 1"
        )
        self.known = dict(cursor.execute(newest).fetchall())

    def load(self) -> None:
        """Loads what is new, and what was refused and is there anew."""
        known = self.cursor.execute(f"select source_file from {self.generations}").fetchall()
        self.begun = {path for (path,) in known}
        paths = sorted(self._new())
        if not paths and not self.known:
            self.log.warning(
                f"Nothing to do: there is no {self.root.rstrip('/')}/{self.prefix}/<topic>/<generation>/<partition>/"
                f"*.parquet, and none was ever found; if there should be, {MUST_HOLD_RAW}"
            )
        elif not paths:
            self.log.info(f"Nothing to do: no object in {self.prefix}/ is new.")
        done, some, size = 0, [], 0
        for number, path in enumerate(paths, start=1):
            some.append(taken := self._read(path))
            size += taken.messages.nbytes if taken.messages is not None else 0
            if len(some) == OBJECTS_A_TRANSACTION or size > BYTES_A_TRANSACTION or number == len(paths):
                self._take(some)
                done += len(some)
                events = sum(len(one.messages) for one in some if one.messages is not None)
                self.log.info(f"[{done}/{len(paths)}] {events} messages of {len(some)} objects in {self.prefix}/")
                some, size = [], 0

    def _new(self) -> Iterator[str]:
        for topic in self.objects.folders(self.prefix):
            for generation in self._numbers(f"{self.prefix}/{topic}"):
                self._begun(f"{generation}/start.json")
                for folder in self._numbers(generation):
                    known = self.known.get(folder, "").rpartition("/")[2]
                    for name in self.objects.after(folder, known):
                        if NAME.fullmatch(name):
                            yield f"{folder}/{name}"
                        else:
                            self.log.warning(f"Left alone: {folder}/{name} is not named after an offset.")
        for path, content_hash in self.refused.items():
            content = self.objects.read(path)
            if content is None:
                self.cursor.execute(f"delete from {self.tables.refused} where source_file = {literal(path)}")
            elif hashlib.sha256(content).hexdigest() != content_hash:
                yield path

    def _begun(self, path: str) -> None:
        """Registers a generation."""
        if path not in self.begun and (document := self.objects.read(path)):
            self._register(self.generations, ("source_file", "document"), [(path, document.decode())])

    def _numbers(self, folder: str) -> Iterator[str]:
        for name in self.objects.folders(folder):
            if name.isdecimal():
                yield f"{folder}/{name}"
            else:
                self.log.warning(f"Left alone: {folder}/{name}/ is not named after a number.")

    def _read(self, path: str) -> Taken:
        content = self.objects.read(path)
        if content is None:
            return Taken(path, "", problem="it has gone since it was listed")
        content_hash = hashlib.sha256(content).hexdigest()
        try:
            # pq.read_table would first import pyarrow.dataset.
            messages = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
            said = {key.decode(): value.decode() for key, value in (messages.schema.metadata or {}).items()}
            place = "/".join([self.prefix, said["topic"], said["generation"], said["partition"]])
            first, following = int(said["first"]), int(said["next"])
        except (pa.ArrowException, KeyError, ValueError) as error:
            reason = str(error).splitlines()[0][:200].rstrip(".") if isinstance(error, pa.ArrowException) else None
            problem = f"it is no Parquet: {reason}" if reason else "it does not say which offsets it covers"
            return Taken(path, content_hash, problem=problem)
        if path != f"{place}/{first:020d}.parquet":
            return Taken(path, content_hash, problem=f"it says that it is {place}/{first:020d}.parquet")
        if not messages.schema.equals(SCHEMA):
            return Taken(path, content_hash, problem="it has other columns than those that are landed")
        return Taken(path, content_hash, first, following, messages)

    def _take(self, some: list[Taken]) -> None:
        """Takes some objects in one transaction."""
        self.cursor.execute("begin")
        try:
            self._write(some)
            self.cursor.execute("commit")
        except BaseException:
            with suppress(duckdb.TransactionException):  # a commit that failed has rolled back
                self.cursor.execute("rollback")
            raise

    def _write(self, some: list[Taken]) -> None:
        for one in some:
            if one.path in self.refused:
                self.cursor.execute(f"delete from {self.tables.refused} where source_file = {literal(one.path)}")
        good = [(one, next(self.ids)) for one in some if one.problem is None]
        if good:
            arrived = pa.concat_tables(_labelled(one, number) for one, number in good)
            self.cursor.register("arrived", arrived)
            self.cursor.execute(MESSAGES.format(raw=self.tables.raw))
            self.cursor.unregister("arrived")
        self._register(
            self.tables.landed,
            ("source_file", "content_hash", "landing_id", "is_typed", "received", "fingerprint", "first_offset",
             "next_offset"),
            [
                (one.path, one.content_hash, number, False, len(one.messages), one.content_hash, one.first, one.next)
                for one, number in good
            ],
        )  # fmt: skip
        bad = [one for one in some if one.problem]
        self._register(
            self.tables.refused,
            ("source_file", "content_hash", "reason", "fingerprint"),
            [(one.path, one.content_hash, one.problem, one.content_hash) for one in bad],
        )
        for one in bad:
            self.log.warning(f"REFUSED {one.path}: {one.problem}")

    def _register(self, table: str, columns: tuple[str, ...], rows: list[tuple]) -> None:
        if rows:
            values = ", ".join("(" + ", ".join(map(literal, row)) + ")" for row in rows)
            self.cursor.execute(f"insert into {table} ({', '.join(columns)}) values {values}")


def _labelled(one: Taken, landing_id: int) -> pa.Table:
    """The messages of an object, each with where it is from."""
    rows = len(one.messages)
    topic = one.path.split("/")[2]
    labels = {"topic": topic, "source_file": one.path, "content_hash": one.content_hash}
    table = one.messages.replace_schema_metadata(None).drop_columns(["next", "headers"])
    table = table.append_column("landing_id", pa.repeat(pa.scalar(landing_id), rows))
    for name, value in labels.items():
        # The text once, not in each row.
        places = pa.repeat(pa.scalar(0, pa.int8()), rows)
        table = table.append_column(name, pa.DictionaryArray.from_arrays(places, [value]))
    return table
