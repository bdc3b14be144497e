"""Events on the local Snowflake: what has landed comes to what it comes to on DuckDB, row for row."""

import json
import os
import signal
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from snowflake.connector.cursor import SnowflakeCursor

from bench.statements import recorded, statement_of
from orchestration.events import chain
from orchestration.events.chain import Generation, Loss, Record
from orchestration.events.objects import objects_at
from support.event_worlds import ODD, World, build, event, expected, found, world
from support.snowflake_warehouse import LISTS_OF_LITERALS, LONG_LISTS, Account, at_once, declared, types
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
    "prod.usage_event_copies": (
        "source_file, source_record",
        "event_id, user_id, event_type, event_timestamp, known_at",
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
KEYS = (None, b"", b"k'\\", b"\xff\x00")
GOOD, STRANGE = (f"raw/events/broken/0/0/{name}" for name in ("00000000000000000000.parquet", "notes.txt"))
DEEP = b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"


def read(text: str | None) -> Any:
    """What a JSON text says; one that is nested too deeply for Python, itself."""
    try:
        return None if text is None else json.loads(text)
    except RecursionError:
        return text


def tables(warehouse: Warehouse) -> dict[str, dict[tuple, tuple]]:
    """The rows of each table, by what names them."""
    rows_of = {}
    for name, (key, columns) in TABLES.items():
        size, rows = key.count(",") + 1, warehouse.query(f"select {key}, {columns} from {name}")
        if name == "prod.usage_events":
            rows = [(*row[:-2], *map(read, row[-2:])) for row in rows]
        rows_of[name] = {row[:size]: row[size:] for row in rows}
        assert len(rows_of[name]) == len(rows), f"{name} has a key twice"
    return rows_of


def land_all(account: Account, root: Path) -> None:
    """Makes an account's landing zone hold what a folder holds."""
    landed = (path for path in root.rglob("*") if path.is_file())
    account.land({path.relative_to(root).as_posix(): path.read_bytes() for path in landed})


class Both:
    """One landing zone, loaded by both warehouses."""

    def __init__(self, duckdb: Warehouse, account: Account):
        self.duckdb, self.account = duckdb, account

    def land(self, files: dict[str, bytes | None]) -> None:
        """Puts files, None for one that goes, beside what has landed in DuckDB's zone, and all of that in the other."""
        root = self.duckdb.root
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).unlink() if content is None else (root / path).write_bytes(content)
        land_all(self.account, root)

    def build(self) -> list[Built]:
        """Loads, and compares."""
        built = [build(warehouse) for warehouse in (self.duckdb, self.account)]
        assert [one.broken for one in built] == [{}, {}]
        there, must = tables(self.account), tables(self.duckdb)
        for name, rows in must.items():
            assert there[name] == rows, name
        assert built[0].red == built[1].red
        return built


def odd_world() -> World:
    """A topic of one partition with each odd message beside a good one, and an object of hostile ones."""
    sent = [(make(100 + number, number), event(number)) for number, make in enumerate(ODD)]
    strange = event(900, user_id="q'q\\ \0 \U0001f600", note="\U0001f600 \\ '", properties={"": {"a.b": 'it"s'}})
    nested = event(999)[:-1] + b', "properties": ' + DEEP + b"}"
    objects, offset = [], 0
    for values in ([value for pair in sent for value in pair], [*HOSTILE, strange, nested]):
        records = [
            Record(offset + place, None if place % 5 == 4 else 1_704_445_200_123 + place, KEYS[place % 4], value, None)
            for place, value in enumerate(values)
        ]
        objects.append((offset, offset + len(values), records))
        offset += len(values)
    return World("user.events.v1", [objects], generation=1)


def broken_objects(folder: Path) -> tuple[dict[str, bytes], bytes]:
    """Objects that are refused, by their paths, the first two of which are to be mended and to go; a good one."""
    good = World("broken", [[(0, 2, [Record(0, 0, b"k", event(800), None)])]])
    good.land(folder, [1])
    content = (folder / GOOD).read_bytes()
    other = BytesIO()
    pq.write_table(pa.table({"generation": pa.array([0], pa.int32()), "value": [b"{}"]}), other)
    contents = (b"no Parquet", content[:-1], content, content, other.getvalue(), b"")
    paths = [
        GOOD,
        "raw/events/broken/0/1/00000000000000000000.parquet",
        "raw/events/broken/0/2/00000000000000000000.parquet",
        "raw/events/broken/0/0/00000000000000000005.parquet",
        "raw/events/broken/0/3/00000000000000000000.parquet",
        "raw/events/broken/0/4/00000000000000000000.parquet",
    ]
    return dict(zip(paths, contents, strict=True)), content


def test_events_are_what_they_are_on_duckdb(project, on_snowflake, running, tmp_path) -> None:
    """In two loads; copies in and across objects; late, odd and hostile messages; broken objects; again and anew."""
    duckdb = Warehouse(project, tmp_path / "duckdb")
    story = Both(duckdb, Account(on_snowflake, tmp_path / "snowflake", running=running))
    random = Random(7)
    worlds = [odd_world(), *(world(f"w{number}", random) for number in range(4))]
    loss = Loss(0, 2, "expired", 3, None, 'it\'s "gone" \\ \n')
    chain.begin(objects_at(str(duckdb.root)), Generation("user.events.v1", 1, "id", "accept-loss", {0: 0}, (loss,)))
    for one in worlds:
        one.land(duckdb.root, [1] * len(one.partitions))
    broken, good = broken_objects(tmp_path)
    story.land(broken | {STRANGE: b"x"})
    for built in story.build():
        assert any(f"Left alone: {STRANGE}" in warning for warning in built.warnings)
    assert {path for (path,) in tables(story.account)["staging.refused_files"]} == set(broken)
    for one in worlds:
        one.land(duckdb.root, [9] * len(one.partitions))
    mended, gone, *refused = broken
    story.land({mended: good, gone: None})
    story.build()
    before = tables(story.account)
    assert {path for (path,) in before["staging.refused_files"]} == set(refused)
    events = before["prod.usage_events"]
    assert len(events) > len(ODD)
    assert ("E800",) in events
    assert events["E999",][11] == DEEP.decode()
    must, there = declared(on_snowflake, lambda node: "events" in node.tags), types(story.account)
    assert {column: there.get(column) for column in must} == must
    with on_snowflake.with_macros(LONG_LISTS), recorded() as statements:
        for again in ((), ("--full-refresh",)):
            assert not build(story.account, *again).broken
            assert tables(story.account) == before
    assert not [found for one in statements for found in LISTS_OF_LITERALS.findall(one.text)]


LOAD = "model.reference_pipeline.raw_events"


def killed(account: Account, point: int) -> None:
    """A build that dies by SIGKILL before a statement of the load."""
    process = os.fork()
    if process == 0:
        execute, points = SnowflakeCursor.execute, 0

        def counted(cursor: SnowflakeCursor, command: str, *arguments, **options):
            nonlocal points
            if statement_of(command).node == LOAD:
                if points == point:
                    os.kill(os.getpid(), signal.SIGKILL)
                points += 1
            return execute(cursor, command, *arguments, **options)

        try:
            SnowflakeCursor.execute = counted
            build(account)
        finally:
            os._exit(1)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"it has no statement {point}"


@pytest.mark.long
def test_a_load_killed_anywhere_is_made_good_by_the_next(on_snowflake, running, tmp_path) -> None:
    """Of a generation that begins, and of an object with a good message and one without a value."""
    account, root, worlds = Account(on_snowflake, tmp_path / "account", running=running), tmp_path / "zone", []
    root.mkdir()

    def land() -> None:
        number = len(worlds)
        records = [Record(0, 0, b"k", event(number), None), Record(1, None, None, None, None)]
        worlds.append(World(f"w{number}", [[(0, 2, records)]]))
        worlds[-1].land(root, [1])
        land_all(account, root)

    def check(where: str) -> None:
        assert not build(account).red, where
        there, must = found(account), expected(worlds)
        assert (there.rejected, there.ledger, there.events) == (must.rejected, must.ledger, must.events), where
        [(generations,)] = account.query("select count(*) from staging.topic_generations")
        assert generations == len(worlds), where

    land()
    check("the first")
    land()
    with recorded() as statements:
        check("the second")
    statements = [one for one in statements if one.node == LOAD]
    assert [one.text.lower() for one in statements].count("commit") == 1
    for point, one in enumerate(statements):
        if one.kind not in ("select", "list", "alter session"):
            land()
            killed(account, point)
            check(f"killed before: {one.text}")


@pytest.mark.long
@pytest.mark.parametrize("apart", [0, 1, 2])
def test_two_loads_at_once(apart: int, on_snowflake, running, tmp_path) -> None:
    """One by hand beside the DAG's. One may stop and say why; nothing is lost or there twice."""
    account, root, random = Account(on_snowflake, tmp_path / "account", running=running), tmp_path / "zone", Random(11)
    root.mkdir()
    worlds = [world(f"w{number}", random) for number in range(4)]

    def land(objects: int) -> None:
        for one in worlds:
            one.land(root, [objects] * len(one.partitions))
        land_all(account, root)

    # Into tables that are not there yet, and into those that are.
    for objects in (1, 9):
        land(objects)
        broken = at_once([partial(build, account)] * 2, apart, tmp_path)
        assert len(broken) < 2 and all("another run" in one for one in broken), broken
    assert not build(account).red
    there, must = found(account), expected(worlds)
    assert (there.rejected, there.ledger, there.events) == (must.rejected, must.ledger, must.events)
