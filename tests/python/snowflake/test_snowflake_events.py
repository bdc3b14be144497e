"""Events on the local Snowflake: what has landed comes to what it comes to on DuckDB, row for row."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from orchestration.events import chain
from orchestration.events.chain import Generation, Loss, Record
from orchestration.events.objects import objects_at
from support.event_worlds import ODD, World, build, event, world
from support.snowflake_warehouse import Account
from support.warehouse import Built, Warehouse

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("snowflake")

# Of each table what names a row, and what is compared beside that; JSON as what it says.
TABLES = {
    "prod.usage_events": (
        "event_id",
        "user_id, event_type, event_timestamp, hour_of_day, sent_at, kafka_topic, kafka_generation, kafka_partition, "
        "kafka_offset, source_file, source_record, properties, other_fields",
    ),
    "staging.rejected_events": (
        "source_file, source_record",
        "kafka_topic, kafka_generation, kafka_partition, kafka_offset, sent_at, message_key, message_value, "
        "message_bytes, file_date, reject_reasons",
    ),
    "prod.load_ledger": (
        "source_file",
        "file_date, verdict, received_rows, current_rows, superseded_rows, rejected_rows, held_rows",
    ),
    # An object without a message does not say there where it ends.
    "prod.event_ledger": (
        "source_file",
        "kafka_topic, kafka_generation, kafka_partition, first_offset, "
        "case when received_events > 0 then next_offset end as next_offset, received_events, current_events, "
        "duplicate_events, rejected_events",
    ),
    "prod.lost_events": (
        "source_file, kafka_partition, first_offset",
        "kafka_topic, kafka_generation, kind, next_offset, message",
    ),
    "staging.refused_files": ("source_file", "file_date, source_record"),
}
SHARED = "raw/events/user.events.v1/1"
# What no JSON has, or some readers take all the same.
HOSTILE = (
    b'{"event_id": "no", }',
    b"{'event_id': 'no'}",
    b'{event_id: "no"}',
    b'{"event_id": "no" "user_id": "u"}',
    b'{"event_id": [1,,2]}',
    b'{"event_id": 007}',
    b'{"event_id": "a\tb"}',
    b'{"event_id": "\\q"}',
    b'{"event_id": "no"} {"event_id": "no"}',
    b'{"event_id": "no", "\\u0065vent_id": "no"}',
    b'{"event_id": "no", "properties": {"a": 1, "\\u0061": 2}}',
    b"'; drop table prod.usage_events; --",
    b"\xed\xa0\x80",
    b"\x00",
)


def read(text: str | None) -> Any:
    """What a JSON text says; one that is nested too deeply for Python, itself."""
    try:
        return None if text is None else json.loads(text)
    except RecursionError:
        return text


def tables(warehouse: Warehouse) -> dict[str, dict[tuple, tuple]]:
    """The rows of each table, by what names them."""
    found = {}
    for name, (key, columns) in TABLES.items():
        size, rows = key.count(",") + 1, warehouse.query(f"select {key}, {columns} from {name}")
        if name == "prod.usage_events":
            rows = [(*row[:-2], *map(read, row[-2:])) for row in rows]
        found[name] = {row[:size]: row[size:] for row in rows}
        assert len(found[name]) == len(rows), f"{name} has a key twice"
    return found


class Both:
    """One landing zone, loaded by both warehouses."""

    def __init__(self, duckdb: Warehouse, account: Account):
        self.duckdb, self.account = duckdb, account

    def land(self, files: dict[str, bytes | None]) -> None:
        """Puts files, None for one that goes, beside what has landed in DuckDB's zone, and all of that in the other."""
        for path, content in files.items():
            target = self.duckdb.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink() if content is None else target.write_bytes(content)
        landed = (path for path in self.duckdb.root.rglob("*") if path.is_file())
        self.account.land({path.relative_to(self.duckdb.root).as_posix(): path.read_bytes() for path in landed})

    def build(self, *options: str, red: bool = False) -> list[Built]:
        """Loads, and compares."""
        built = [build(warehouse, *options) for warehouse in (self.duckdb, self.account)]
        for one in built:
            assert not one.broken
            assert one.red == red
        found, expected = tables(self.account), tables(self.duckdb)
        for name, rows in expected.items():
            assert found[name] == rows, name
        return built


def odd_world() -> World:
    """A topic of one partition with each odd message beside a good one, and an object of hostile ones."""
    sent = [(make(100 + number, number), event(number)) for number, make in enumerate(ODD)]
    first = [value for pair in sent for value in pair]
    second = [*HOSTILE, event(900, user_id="q'q\\ \0 \U0001f600", note="\U0001f600 \\ '"), event(901, properties={"": {}})]
    objects, offset = [], 0
    for values in (first, second):
        records = [
            Record(offset + place, None if place % 5 == 4 else 1_704_445_200_123 + place, KEYS[place % 4], value, None)
            for place, value in enumerate(values)
        ]
        objects.append((offset, offset + len(values), records))
        offset += len(values)
    return World("user.events.v1", [objects], generation=1)


KEYS = (None, b"", b"k'\\", b"\xff\x00")


def test_events_are_what_they_are_on_duckdb(project, on_snowflake, running, tmp_path) -> None:
    """In two loads; copies in and across objects; late, odd and hostile messages; made anew; a second time."""
    duckdb = Warehouse(project, tmp_path / "duckdb")
    story = Both(duckdb, Account(on_snowflake, tmp_path / "snowflake", running=running))
    random = Random(7)
    worlds = [odd_world(), *(world(f"w{number}", random) for number in range(8))]
    loss = Loss(0, 2, "expired", 3, None, 'it\'s "gone" \\ \n')
    chain.begin(objects_at(str(duckdb.root)), Generation("user.events.v1", 1, "id", "accept-loss", {0: 0}, (loss,)))
    for one in worlds:
        one.land(duckdb.root, [1] * len(one.partitions))
    story.land({})
    story.build()
    for one in worlds:
        one.land(duckdb.root, [9] * len(one.partitions))
    deep = event(999)[:-1] + b', "properties": {"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}"
    worlds[0].partitions[0].append((1000, 1001, [Record(1000, 0, b"k", deep, None)]))
    story.land({})
    story.build()
    before = tables(story.account)
    assert not build(story.account).red
    assert tables(story.account) == before
    story.build("--full-refresh")
    assert tables(story.account) == before
