"""A local Kafka for tests; what its log holds, what has landed, and that the one is the other."""

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow.parquet as pq
from confluent_kafka import Consumer, KafkaError, TopicPartition

from orchestration.events.lander import Limits, land
from orchestration.local.stand_ins.broker import Event

TOPIC = "user.events.v1"
# A record: generation, partition, offset, timestamp, key, value.
Row = tuple[int, int, int, int, bytes | None, bytes | None]
SENT_AT = 1_704_445_200_000


def numbered(partitions: int, count: int, first: int = 0) -> list[Event]:
    """So many events over some partitions, each another."""
    return [(n % partitions, b"%d" % (n % 7), b"event %d" % n, SENT_AT + n) for n in range(first, first + count)]


def run(address: str, root: object, topic: str = TOPIC, *, batch_size: int = 10, **options):
    """One run with small objects that does not wait long."""
    # What the mock cluster writes when a transaction ends has no checksum.
    settings = {"bootstrap.servers": address, "check.crcs": False}
    limits = options.pop("limits", None) or Limits(batch_size, patience=options.pop("patience", 5))
    return land(settings, topic, str(root), limits=limits, **options)


def log_of(address: str, partitions: Iterable[int], topic: str = TOPIC) -> dict[int, list[tuple]]:
    """What a plain consumer reads of a topic, by partition: (offset, timestamp, key, value)."""
    settings = {"bootstrap.servers": address, "group.id": "reader", "enable.partition.eof": True}
    settings |= {"fetch.wait.max.ms": 10}
    found: dict[int, list[tuple]] = {}
    with closing(Consumer(settings)) as consumer:
        for partition in partitions:
            low, _ = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            consumer.assign([TopicPartition(topic, partition, low)])
            found[partition] = []
            # A message without a value has no length, and is one all the same.
            while (message := consumer.poll(10)) is not None and not message.error():
                one = (message.offset(), message.timestamp()[1], message.key(), message.value())
                found[partition].append(one)
            assert message is not None and message.error().code() == KafkaError._PARTITION_EOF
    return found


def objects(root: Path, topic: str = TOPIC) -> dict[tuple[int, int], list[Path]]:
    """The landed objects, by generation and partition, in the order of their names."""
    found: dict[tuple[int, int], list[Path]] = {}
    for path in sorted((root / "raw/events" / topic).glob("*/*/*.parquet")):
        found.setdefault((int(path.parts[-3]), int(path.parts[-2])), []).append(path)
    return found


def landed(root: Path, topic: str = TOPIC) -> dict[tuple[int, int], list[tuple]]:
    """What has landed, as `log_of` gives it, by generation and partition; every chain must tile."""
    found: dict[tuple[int, int], list[tuple]] = {}
    for (generation, partition), paths in objects(root, topic).items():
        rows = found[generation, partition] = []
        position = None
        for path in paths:
            table = pq.read_table(path)
            said: Mapping[bytes, bytes] = table.schema.metadata
            first, next = int(said[b"first"]), int(said[b"next"])
            assert path.name == f"{first:020d}.parquet"
            assert position in (None, first), f"{path} does not begin where the object before it ends, at {position}"
            position = next
            for row in table.to_pylist():
                assert (row["generation"], row["partition"]) == (generation, partition)
                assert first <= row["offset"] < next
                sent_at = int(row["timestamp"].timestamp() * 1000 + 0.5)
                rows.append((row["offset"], sent_at, row["key"], row["value"]))
    return found


def start_of(root: Path, generation: int = 0, topic: str = TOPIC) -> dict:
    """What a generation says of itself."""
    return json.loads((root / f"raw/events/{topic}/{generation}/start.json").read_text())


def compare(address: str, root: Path, partitions: Iterable[int], topic: str = TOPIC, generation: int = 0) -> None:
    """Nothing lost, nothing doubled: what has landed is the log, record for record."""
    log, rows = log_of(address, partitions, topic), landed(root, topic)
    for partition, records in log.items():
        assert rows.get((generation, partition), []) == records, f"partition {partition}"


class Crash(BaseException):
    """What a run cannot catch."""


@contextmanager
def at_call(monkeypatch, place: object, name: str, number: int, before: bool, act: Callable[[], object]):
    """Lets something happen at a call of a function, before it does anything or after all of it."""
    original, calls = getattr(place, name), itertools.count(1)

    def call(*arguments, **options):
        now = next(calls) == number
        if now and before:
            act()
        done = original(*arguments, **options)
        if now and not before:
            act()
        return done

    with monkeypatch.context() as patched:
        patched.setattr(place, name, call)
        yield
