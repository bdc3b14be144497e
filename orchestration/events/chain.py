"""What is in the landing zone of a topic: generations, the chains of their partitions, and the objects themselves."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.events.errors import EventsError
from orchestration.events.objects import Objects

SCHEMA = pa.schema(
    [
        pa.field("generation", pa.int32(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        # The first offset behind the object, as its metadata says too: Snowflake reads columns only.
        pa.field("next", pa.int64(), nullable=False),
        pa.field("timestamp", pa.timestamp("ms", tz="UTC")),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("headers", pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))),
    ]
)


# What an object is called: the first offset that it covers.
NAME = re.compile(r"[0-9]{20}[.]parquet")


class Record(NamedTuple):
    """One record of the log; `timestamp` in milliseconds since 1970, UTC, None if the log has none."""

    offset: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] | None

    def digest(self) -> str:
        """What tells this record from another one at the same offset."""
        content = repr((self.timestamp, self.key, self.value)).encode()
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Anchor:
    """The last record of a chain. While the log is the same, that offset of it holds the same record."""

    offset: int
    digest: str


@dataclass(frozen=True)
class Tail:
    """Where a chain ends: the first offset that no object covers. `closed` if nothing may follow."""

    next: int
    anchor: Anchor | None = None
    closed: bool = False


@dataclass(frozen=True)
class Loss:
    """Offsets [first, next) of a partition of a generation that are gone; without `next` nobody knows how many."""

    generation: int
    partition: int
    kind: str
    first: int
    next: int | None
    message: str


@dataclass(frozen=True)
class Generation:
    """One log of a topic: its id, if the broker tells one, and from which offset each partition of it is read.

    `start` is what the first run was told, earliest or latest, or accept-loss; `losses` is what that accepted.
    """

    topic: str
    generation: int
    topic_id: str | None
    start: str
    partitions: dict[int, int]
    losses: Sequence[Loss] = ()
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def folder(self) -> str:
        """Where it lands."""
        return f"{folder_of(self.topic)}/{self.generation}"

    def first(self, partition: int) -> int:
        """Where a partition begins; one that was added later begins at 0, for it was all written since."""
        return self.partitions.get(partition, 0)

    def write(self) -> bytes:
        """The generation as JSON, in lists of plain rows, so that a warehouse can read it as a table."""
        starts = [{"partition": number, "first": first} for number, first in sorted(self.partitions.items())]
        return (json.dumps(asdict(self) | {"partitions": starts}, indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> Generation:
        """The generation that was written."""
        said = json.loads(content)
        starts = {start["partition"]: start["first"] for start in said["partitions"]}
        return cls(**said | {"partitions": starts, "losses": tuple(Loss(**loss) for loss in said["losses"])})


@dataclass(frozen=True)
class Share:
    """Every `of`-th partition of a topic, from number `index` on: what one of several runs at once takes."""

    index: int = 0
    of: int = 1

    def has(self, partition: int) -> bool:
        """Whether a partition is in it."""
        return partition % self.of == self.index


ALL = Share()


def folder_of(topic: str) -> str:
    """Where the events of a topic land, relative to the landing root."""
    return f"raw/events/{topic}"


def begin(objects: Objects, generation: Generation) -> Generation:
    """Begins a generation, unless another run was first: then it is that one's that is returned."""
    path = f"{generation.folder}/start.json"
    objects.create(path, generation.write())
    content = objects.read(path)
    if content is None:
        raise EventsError(f"{path} is being written by another run. Once that has ended, run this again.")
    return Generation.from_json(content)


def newest(objects: Objects, topic: str) -> Generation | None:
    """The generation in force, None if nothing of the topic was ever landed."""
    numbers = [int(name) for name in objects.folders(folder_of(topic)) if name.isdecimal()]
    for number in sorted(numbers, reverse=True):
        folder = f"{folder_of(topic)}/{number}"
        # In this order: another run may be beginning it. One that was killed then leaves an empty folder.
        has_chains = bool(objects.folders(folder))
        content = objects.read(f"{folder}/start.json")
        if content:
            return Generation.from_json(content)
        if has_chains:
            raise EventsError(
                f"{folder} has no start.json, which says where its chains begin. Restore it: nobody knows without "
                "it what is missing."
            )
    return None


def partitions_of(objects: Objects, generation: Generation) -> set[int]:
    """The partitions that a generation began with, and those of which something has landed since."""
    landed = {int(name) for name in objects.folders(generation.folder) if name.isdecimal()}
    return landed | generation.partitions.keys()


def tail(objects: Objects, generation: Generation, partition: int, near: int) -> Tail:
    """Where the chain of a partition ends; `near` is an offset at which that may be."""
    folder = f"{generation.folder}/{partition}"
    name = objects.last(folder, near)
    if name is None:
        return Tail(generation.first(partition))
    try:
        said = pq.read_metadata(io.BytesIO(objects.end_of(f"{folder}/{name}"))).metadata
        anchor = Anchor(**json.loads(said[b"anchor"])) if b"anchor" in said else None
        return Tail(int(said[b"next"]), anchor, b"closed" in said)
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise EventsError(
            f"{folder}/{name} is not an object that was landed here: it does not say which offsets it covers. Move it "
            "out of the landing zone."
        ) from error


def append(objects: Objects, generation: Generation, partition: int, end: Tail, records: Sequence[Record],
           next: int) -> Tail | None:  # fmt: skip
    """Lands the records of [end.next, next) behind the end of a chain; returns the new end.

    None, and nothing is written, if the chain goes on already: another run was first.
    """
    anchor = Anchor(records[-1].offset, records[-1].digest()) if records else end.anchor
    return _create(objects, generation, partition, end.next, Tail(next, anchor), records)


def close(objects: Objects, generation: Generation, partition: int, end: Tail) -> bool:
    """Ends a chain for good, so that a run that still reads the old log cannot write on; whether it is closed."""
    closed = Tail(end.next, end.anchor, closed=True)
    return end.closed or _create(objects, generation, partition, end.next, closed, []) is not None


def _create(objects: Objects, generation: Generation, partition: int, first: int, end: Tail,
            records: Sequence[Record]) -> Tail | None:  # fmt: skip
    # The first offset only: two runs that read to different ends still want the same name, and one of them gets it.
    path = f"{generation.folder}/{partition}/{first:020d}.parquet"
    return end if objects.create(path, _parquet(generation, partition, first, end, records)) else None


def _parquet(generation: Generation, partition: int, first: int, end: Tail, records: Sequence[Record]) -> bytes:
    said = {
        "topic": generation.topic,
        "generation": str(generation.generation),
        "partition": str(partition),
        "first": str(first),
        "next": str(end.next),
    }
    if end.anchor:
        said["anchor"] = json.dumps(asdict(end.anchor))
    if end.closed:
        said["closed"] = "yes"
    count = len(records)
    offsets, timestamps, keys, values, headers = zip(*records, strict=True) if records else [()] * 5
    columns = [
        pa.repeat(generation.generation, count),
        pa.repeat(partition, count),
        offsets,
        pa.repeat(end.next, count),
        timestamps,
        keys,
        values,
        [some and [{"key": key, "value": value} for key, value in some] for some in headers],
    ]
    arrays = [
        column.cast(kind.type) if isinstance(column, pa.Array) else pa.array(column, kind.type)
        for column, kind in zip(columns, SCHEMA, strict=True)
    ]
    written = io.BytesIO()
    table = pa.table(arrays, schema=SCHEMA.with_metadata(said))
    # One row group, so that the metadata stays short; values hardly ever repeat.
    pq.write_table(
        table,
        written,
        compression="zstd",
        row_group_size=max(count, 1),
        use_dictionary=["generation", "partition", "next", "key"],
        write_statistics=["generation", "partition", "offset", "next", "timestamp"],
    )
    return written.getvalue()
