"""Events as they land: names, tiles, holes, bytes, limits."""

import json

import duckdb
import pyarrow.parquet as pq
import pytest
from confluent_kafka import KafkaError, Producer

from orchestration.events import broker as events_broker
from orchestration.events.lander import Limits, Partition
from orchestration.landing.zones import LandingError
from orchestration.local.demos import events_files
from orchestration.local.stand_ins.broker import COMMIT
from orchestration.local.stand_ins.s3 import KEY, REGION, SECRET, storage
from support.events import SENT_AT, TOPIC, compare, numbered, objects, run, start_of


def test_objects_are_named_by_their_first_offset_and_tile_the_log(kafka, tmp_path):
    kafka.send(TOPIC, numbered(3, 75))
    done = run(kafka.address, tmp_path)
    assert done.partitions == [Partition(number, 0, 25, 25, 3) for number in range(3)]
    assert (done.folder, done.events, done.losses, done.notes) == (f"raw/events/{TOPIC}/0", 75, [], [])
    assert [path.name for path in objects(tmp_path)[0, 1]] == [f"{first:020d}.parquet" for first in (0, 10, 20)]
    kafka.send(TOPIC, numbered(3, 3, first=75))
    assert run(kafka.address, tmp_path).partitions == [Partition(number, 25, 26, 1, 1) for number in range(3)]
    compare(kafka.address, tmp_path, range(3))
    before = objects(tmp_path)
    assert run(kafka.address, tmp_path).events == 0
    assert objects(tmp_path) == before


def test_nothing_is_left_beside_what_has_landed(kafka, tmp_path):
    kafka.send(TOPIC, numbered(3, 30))
    run(kafka.address, tmp_path)
    folder = tmp_path / f"raw/events/{TOPIC}/0"
    files = {path.relative_to(folder).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"start.json", *(f"{number}/{0:020d}.parquet" for number in range(3))}


def test_bytes_land_as_they_are(kafka, tmp_path):
    producer = Producer({"bootstrap.servers": kafka.address})
    headers = [("trace", b"\x00\xff"), ("trace", b"again"), ("empty", b""), ("none", None)]
    producer.produce(TOPIC, b"\xff\x00", b"", 0, timestamp=SENT_AT, headers=headers)
    producer.produce(TOPIC, None, None, 0, timestamp=SENT_AT + 1)
    producer.produce(TOPIC, b"", "clé", 0, timestamp=1)
    producer.flush(10)
    run(kafka.address, tmp_path)
    [path] = objects(tmp_path)[0, 0]
    rows = pq.read_table(path).to_pylist()
    assert [(row["offset"], row["key"], row["value"]) for row in rows] == [
        (0, b"", b"\xff\x00"),
        (1, None, None),
        (2, "clé".encode(), b""),
    ]
    assert [[(one["key"], one["value"]) for one in row["headers"] or []] for row in rows] == [headers, [], []]
    assert [row["timestamp"].timestamp() for row in rows] == [SENT_AT / 1000, (SENT_AT + 1) / 1000, 0.001]


def test_headers_that_cannot_be_read_hold_up_nothing(kafka, tmp_path, monkeypatch):
    """confluent-kafka fails where a name is not UTF-8; it does not send such a header either."""

    class Unreadable:
        def __init__(self, message):
            self.message = message

        def __getattr__(self, name):
            return getattr(self.message, name)

        def headers(self):
            raise SystemError

    record = events_broker._record
    monkeypatch.setattr(events_broker, "_record", lambda message: record(Unreadable(message)))
    kafka.send(TOPIC, numbered(1, 3))
    assert run(kafka.address, tmp_path).events == 3
    [path] = objects(tmp_path)[0, 0]
    said = [{"key": events_broker.UNREADABLE, "value": None}]
    assert [row["headers"] for row in pq.read_table(path).to_pylist()] == [said] * 3


def test_duckdb_reads_what_has_landed(kafka, tmp_path):
    kafka.send(TOPIC, numbered(3, 30))
    run(kafka.address, tmp_path)
    asked = f"select count(*), count(distinct value) from '{tmp_path}/raw/events/{TOPIC}/*/*/*.parquet'"
    assert duckdb.sql(asked).fetchall() == [(30, 30)]
    starts = f"select unnest(partitions, recursive := true) from '{tmp_path}/raw/events/{TOPIC}/*/start.json'"
    assert duckdb.sql(starts).fetchall() == [(0, 0), (1, 0), (2, 0)]


def test_holes_of_transactions_are_covered(kafka, tmp_path):
    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": "sender"})
    producer.init_transactions(10)
    for number in range(7):
        producer.begin_transaction()
        for part in range(3):
            producer.produce(TOPIC, b"%d.%d" % (number, part), None, 0, timestamp=SENT_AT)
        producer.commit_transaction(10)
    # Each transaction ends with an offset that no reader sees: 28 for 21 events.
    done = run(kafka.address, tmp_path, batch_size=6)
    assert done.partitions[0] == Partition(0, 0, 28, 21, 4)
    compare(kafka.address, tmp_path, [0])
    assert run(kafka.address, tmp_path).partitions[0] == Partition(0, 28, 28)


def test_the_first_run_may_start_at_the_end_and_that_is_recorded(kafka, tmp_path):
    kafka.send(TOPIC, numbered(3, 30))
    assert run(kafka.address, tmp_path, start="latest").events == 0
    said = start_of(tmp_path)
    assert (said["start"], said["partitions"][1]) == ("latest", {"partition": 1, "first": 10})
    kafka.send(TOPIC, numbered(3, 3, first=30))
    done = run(kafka.address, tmp_path)
    assert done.partitions == [Partition(number, 10, 11, 1, 1) for number in range(3)]


def test_a_run_ends_where_the_log_ended_when_it_started(kafka, tmp_path, monkeypatch):
    kafka.send(TOPIC, numbered(3, 30))
    read = events_broker.Broker.read

    def read_late(*arguments):
        kafka.send(TOPIC, numbered(3, 3, first=30))
        return read(*arguments)

    monkeypatch.setattr(events_broker.Broker, "read", read_late)
    assert [one.next for one in run(kafka.address, tmp_path).partitions] == [10, 10, 10]


def test_a_run_takes_no_more_than_it_may_and_the_farthest_behind_first(kafka, tmp_path):
    kafka.send(TOPIC, [*numbered(1, 40), *((1, None, b"x", SENT_AT) for _ in range(5))])
    limits = Limits(batch_size=10, events=25, patience=5)
    done = run(kafka.address, tmp_path, limits=limits)
    assert done.partitions[:2] == [Partition(0, 0, 25, 25, 3, behind=15), Partition(1, 0, 0, behind=5)]
    assert run(kafka.address, tmp_path, limits=limits).events == 20
    compare(kafka.address, tmp_path, range(3))
    kafka.send(TOPIC, numbered(3, 3, first=100))
    done = run(kafka.address, tmp_path, limits=Limits(seconds=0, patience=5))
    assert [one.behind for one in done.partitions] == [1, 1, 1]


def test_large_values_make_smaller_objects(kafka, tmp_path, monkeypatch):
    monkeypatch.setattr(events_broker, "MOST_BYTES", 1)
    kafka.send(TOPIC, numbered(1, 30))
    run(kafka.address, tmp_path, batch_size=1000)
    compare(kafka.address, tmp_path, [0])


def test_the_group_is_told_and_nothing_depends_on_it(kafka, tmp_path):
    kafka.send(TOPIC, numbered(1, 30))
    kafka.fail(COMMIT, *[KafkaError.GROUP_AUTHORIZATION_FAILED] * 9)
    done = run(kafka.address, tmp_path)
    kafka.fail(COMMIT)
    assert (done.events, len(done.notes)) == (30, 1)
    assert "consumer group does not show this run: " in done.notes[0]


def test_s3_is_like_a_folder(kafka, tmp_path, monkeypatch):
    kafka.send(TOPIC, numbered(3, 75))
    with storage("lake", tmp_path / "mirror") as s3:
        account = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
        for name, value in (account | {"AWS_ENDPOINT_URL": s3.endpoint}).items():
            monkeypatch.setenv(name, value)
        root = "s3://lake/below"
        run(kafka.address, tmp_path)
        assert run(kafka.address, root).partitions == [Partition(number, 0, 25, 25, 3) for number in range(3)]
        # The end of a chain is found wherever it is.
        monkeypatch.setattr("orchestration.events.objects.NEAR", 1)
        assert run(kafka.address, root).events == 0
        for path in (path for paths in objects(tmp_path).values() for path in paths):
            key = f"below/{path.relative_to(tmp_path).as_posix()}"
            assert s3.client.get_object(Bucket="lake", Key=key)["Body"].read() == path.read_bytes()
        monkeypatch.setattr(events_broker.Broker, "topic_id", lambda _: "another")
        assert len(run(kafka.address, root, accept_loss=True).losses) == 3
        with pytest.raises(LandingError, match="Set LANDING_ROOT, in Airflow PIPELINES_BUCKET, to a bucket"):
            run(kafka.address, "s3://no-lake")


@pytest.mark.fast
def test_the_demo_events_hold_what_a_log_holds():
    events = list(events_files.events(5_000))
    assert events == list(events_files.events(5_000))
    assert {event[0] for event in events} == set(range(events_files.PARTITIONS))
    values = [value for _, _, value, _ in events]
    assert set(events_files.BAD.values()) <= set(values)
    good = [json.loads(value) for value in values if value and b"properties" in value]
    ids = [event["event_id"] for event in good]
    assert 0.01 < 1 - len(set(ids)) / len(ids) < 0.04
    assert all(event["user_id"].startswith("U") for event in good)
    assert len({sent for *_, sent in events}) == len(events)
