"""Worlds of events: logs of a topic, how they have landed, and what must come of them, in plain Python."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from orchestration.events import chain
from orchestration.events.chain import Generation, Record, Tail
from orchestration.events.objects import objects_at
from support.warehouse import Built, Warehouse

KNOWN = ("event_id", "user_id", "event_type", "event_timestamp", "properties")
START = datetime(2024, 1, 5, tzinfo=UTC)
SENT_AT = 1_704_445_200_000
ISO = re.compile(
    r"(19|20)\d\d-\d\d-\d\d[T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d([.]\d{1,6})?(Z|[+-](0\d|1[0-4]):[0-5]\d)", re.ASCII
)
UNREADABLE = "value is not a JSON object in which each key stands once"
EARLIEST, AFTER = -2_208_988_800_000, 4_102_444_800_000


class Twice(ValueError):
    """A key stands twice in an object."""


@dataclass(frozen=True)
class Message:
    """One record of a log."""

    topic: str
    generation: int
    partition: int
    offset: int
    value: bytes | None
    file: str


@dataclass
class World:
    """A topic of some partitions: for each its objects in their order, and each of those as [first, next, records]."""

    topic: str
    partitions: list[list[tuple[int, int, list[Record]]]]
    generation: int = 0
    landed: Counter = field(default_factory=Counter)
    tails: dict[int, Tail] = field(default_factory=dict)

    def land(self, root: str | Path, objects: Sequence[int]) -> None:
        """Lands so many more objects of each partition."""
        store = objects_at(str(root))
        starts = {number: 0 for number in range(len(self.partitions))}
        begun = chain.begin(store, Generation(self.topic, self.generation, None, "earliest", starts, started_at="then"))
        for partition, count in enumerate(objects):
            for first, following, records in self.partitions[partition][self.landed[partition] :][:count]:
                end = self.tails.get(partition, Tail(0))
                assert end.next == first
                self.tails[partition] = chain.append(store, begun, partition, end, records, following)
                self.landed[partition] += 1

    def messages(self) -> Iterator[Message]:
        """What has landed."""
        for partition, objects in enumerate(self.partitions):
            for first, _, records in objects[: self.landed[partition]]:
                file = f"raw/events/{self.topic}/{self.generation}/{partition}/{first:020d}.parquet"
                for record in records:
                    yield Message(self.topic, self.generation, partition, record.offset, record.value, file)

    def ranges(self) -> Iterator[tuple[str, int, int]]:
        """Of each landed object its path and the offsets [first, next) that it covers."""
        for partition, objects in enumerate(self.partitions):
            for first, following, _ in objects[: self.landed[partition]]:
                path = f"raw/events/{self.topic}/{self.generation}/{partition}/{first:020d}.parquet"
                yield path, first, following


def read(value: bytes | None) -> tuple[dict[str, Any], list[str]]:
    """The columns of a message, and why it is rejected."""
    if value is None:
        return {}, ["value is missing"]
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return {}, ["value is not UTF-8"]

    def no_constant(name: str) -> None:
        raise ValueError(name)

    try:
        pairs = json.loads(
            text, object_pairs_hook=Pairs, parse_constant=no_constant, parse_float=Number, parse_int=Number
        )
        if not isinstance(pairs, Pairs):
            raise ValueError("no object")
        found = pairs.once()
        if isinstance(found.get("properties"), Pairs):
            found["properties"].once()
    except ValueError:
        return {}, [UNREADABLE]
    reasons, row = [], {}
    for name in KNOWN:
        given = found.get(name)
        empty = given is None or given == ""
        row[name] = None if empty else KINDS[name](given)
        if empty and name != "properties":
            reasons.append(f"{name} is empty")
        elif not empty and row[name] is None:
            says = {"properties": "an object", "event_timestamp": "timestamp"}.get(name, "text")
            reasons.append(f"{name} is not {says}")
    others = Pairs((name, one) for name, one in found.items() if name not in KNOWN)
    row["other_fields"] = plain(others) if others else None
    return row, reasons


class Pairs(list):
    """The members of a JSON object, in their order."""

    def once(self) -> dict[str, Any]:
        """By key, each of which stands once."""
        members = dict(self)
        if len(members) < len(self):
            raise Twice
        return members


class Number(str):
    """A JSON number as it is written."""


def plain(value: Any) -> Any:
    """A JSON value as Python has it."""
    if isinstance(value, Pairs):
        return {name: plain(one) for name, one in value}
    if isinstance(value, Number):
        return json.loads(value)
    return [plain(one) for one in value] if isinstance(value, list) else value


def is_text(value: Any) -> bool:
    """Whether a value is a JSON string."""
    return isinstance(value, str) and not isinstance(value, Number)


def _text(value: Any) -> str | None:
    return value if is_text(value) else None


def _user(value: Any) -> str | None:
    whole = isinstance(value, Number) and re.fullmatch(r"-?\d{1,20}", value)
    return str(value) if whole or is_text(value) else None


def _time(value: Any) -> datetime | None:
    if is_text(value) and ISO.fullmatch(value):
        try:
            return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
        except ValueError:
            return None
    if isinstance(value, Number) and re.fullmatch(r"-?\d{1,13}", value) and EARLIEST <= int(value) < AFTER:
        return datetime.fromtimestamp(0, UTC).replace(tzinfo=None) + timedelta(milliseconds=int(value))
    return None


def _object(value: Any) -> Any:
    return plain(value) if isinstance(value, Pairs) else None


KINDS = {"event_id": _text, "user_id": _user, "event_type": _text, "event_timestamp": _time, "properties": _object}


@dataclass
class Expected:
    """What must stand in the warehouse: rows of usage_events by event, rejected messages with their reasons, and of
    each object how many messages are (received, current, duplicates, rejected)."""

    events: dict[str, tuple] = field(default_factory=dict)
    rejected: dict[tuple[str, int], str] = field(default_factory=dict)
    ledger: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)


def expected(worlds: Sequence[World]) -> Expected:
    """Of all that has landed, message by message."""
    result, winners, received, rejected = Expected(), {}, Counter(), Counter()
    for world in worlds:
        for path, _, _ in world.ranges():
            received[path] += 0
        for message in world.messages():
            received[message.file] += 1
            row, reasons = read(message.value)
            if reasons:
                result.rejected[message.file, message.offset] = "; ".join(reasons)
                rejected[message.file] += 1
                continue
            order = (row["event_timestamp"], message.partition, message.offset, message.file)
            if row["event_id"] not in winners or order < winners[row["event_id"]][0]:
                winners[row["event_id"]] = (order, row, message)
    current = Counter(message.file for _, _, message in winners.values())
    for event_id, (_, row, message) in winners.items():
        at = row["event_timestamp"]
        place = (message.topic, message.generation, message.partition, message.offset, message.file)
        fields = (row["user_id"], row["event_type"], row["properties"], row["other_fields"], at, at.hour)
        result.events[event_id] = (*fields, *place)
    for path, count in received.items():
        result.ledger[path] = (count, current[path], count - current[path] - rejected[path], rejected[path])
    return result


def found(warehouse: Warehouse) -> Expected:
    """What stands there."""
    result = Expected()
    columns = (
        "event_id, user_id, event_type, properties, other_fields, event_timestamp, hour_of_day, kafka_topic, "
        "kafka_generation, kafka_partition, kafka_offset, source_file"
    )
    rows = warehouse.query(f"select {columns} from prod.usage_events")
    for event_id, user_id, event_type, properties, others, *rest in rows:
        assert event_id not in result.events, f"{event_id} stands twice"
        result.events[event_id] = (user_id, event_type, _json(properties), _json(others), *rest)
    for path, offset, reasons in warehouse.query(
        "select source_file, kafka_offset, reject_reasons from staging.rejected_events"
    ):
        result.rejected[path, offset] = reasons
    for path, *counts, first, following in warehouse.query(
        "select source_file, received_events, current_events, duplicate_events, rejected_events, first_offset, "
        "next_offset from prod.event_ledger"
    ):
        assert first <= (first if following is None else following)
        result.ledger[path] = tuple(counts)
    return result


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


# What the DAG runs, in one go.
BUILD = (
    *("build", "--indirect-selection", "cautious", "--selector", "realtime_event_ingestion"),
    *("--exclude-resource-type", "unit_test"),
)


def build(warehouse: Warehouse, *options: str) -> Built:
    """What the DAG runs, on a warehouse."""
    return warehouse.dbt(*BUILD, *options)


def value(fields: Mapping[str, Any], **changes: Any) -> bytes:
    """An event as it is sent."""
    return json.dumps({**fields, **changes}).encode()


def event(number: int, at: int = 0, **changes: Any) -> bytes:
    """A plain event, so many seconds after the start."""
    time = (START + timedelta(seconds=at)).isoformat().replace("+00:00", "Z")
    return value({"event_id": f"E{number}", "user_id": "U1", "event_type": "t", "event_timestamp": time}, **changes)


# Ways in which a value may be odd: of a number that names the event and a time.
ODD = (
    lambda n, at: None,
    lambda n, at: b"",
    lambda n, at: b"null",
    lambda n, at: b"[1]",
    lambda n, at: b"no JSON",
    lambda n, at: event(n, at)[:-1],
    lambda n, at: event(n, at)[:-1] + b",}",
    lambda n, at: event(n, at) + b" x",
    lambda n, at: b" \n" + event(n, at) + b"\n",
    lambda n, at: event(n, at).replace(b'"U1"', b'"\xff"'),
    lambda n, at: event(n, at).replace(b'"U1"', b"NaN"),
    lambda n, at: event(n, at, properties={"note": "NaN, Infinity,]"}),
    lambda n, at: event(n, at).replace(b'"t"', b'"t", "event_type": "t"'),
    lambda n, at: event(n, at)[:-1] + b', "properties": {"a": 1, "a": 2}}',
    lambda n, at: event(n, at)[:-1] + b', "properties": {"a": -Infinity}}',
    lambda n, at: event(n, at, properties=[]),
    lambda n, at: event(n, at, properties=None, page="/", nested={"deep": [{"er": None}]}),
    lambda n, at: event(n, at, properties={"text": "it's \\ \" \u00e9\U0001f600 {", "n": 1.5, "big": 2**70}),
    lambda n, at: event(n, at, event_id=n),
    lambda n, at: event(n, at, event_id=""),
    lambda n, at: event(n, at, event_id=None),
    lambda n, at: event(n, at, event_type={"a": 1}),
    lambda n, at: event(n, at, user_id=2**63 + 1),
    lambda n, at: event(n, at, user_id=1.5),
    lambda n, at: event(n, at, user_id=True),
    lambda n, at: event(n, at, user_id="' or 1=1 --\n"),
    lambda n, at: event(n, at, event_timestamp=SENT_AT + 1000 * at),
    lambda n, at: event(n, at, event_timestamp=float(SENT_AT)),
    lambda n, at: event(n, at, event_timestamp=str(SENT_AT)),
    lambda n, at: event(n, at, event_timestamp="2024-01-05T08:00:00"),
    lambda n, at: event(n, at, event_timestamp="2024-01-05T23:30:00.123456-02:00"),
    lambda n, at: event(n, at, event_timestamp="2024-02-30T08:00:00Z"),
    lambda n, at: event(n, at, event_timestamp="0001-01-01T00:00:00Z"),
    lambda n, at: event(n, at, event_timestamp="9999-12-31T23:59:59Z"),
    lambda n, at: event(n, at, event_timestamp=253_402_300_799_000),
)


def world(name: str, random: Random) -> World:
    """A topic with copies of few events at few times, some odd, in objects of few messages, some without any."""
    partitions = []
    for _ in range(random.randint(1, 3)):
        objects, offset = [], 0
        for _ in range(random.randint(0, 4)):
            first, records = offset, []
            for _ in range(random.choice((0, 1, 3, 6))):
                number, at = random.randrange(6), random.randint(-2, 2) * 3600
                odd = random.choice(ODD) if random.random() < 0.3 else None
                # Ids are the world's own.
                sent = odd(number, at) if odd else event(number, at)
                sent = sent and sent.replace(b'"E', f'"{name}-'.encode())
                records.append(Record(offset, SENT_AT + at, b"k", sent, None))
                # What was aborted, and the ends of transactions.
                offset += random.choice((1, 1, 1, 3))
            offset += random.randint(0, 1)
            if offset > first:
                objects.append((first, offset, records))
        partitions.append(objects)
    return World(name, partitions)
