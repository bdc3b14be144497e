"""Events as they land: names, tiles, holes, limits. What is gone from a log is told, and accepted only on purpose."""

import json
import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from confluent_kafka import KafkaError, Producer

from orchestration.events import broker as events_broker
from orchestration.events.__main__ import main
from orchestration.events.errors import EventsError, LossError
from orchestration.events.lander import Limits, Partition
from orchestration.landing.zones import LandingError
from orchestration.local.demos import events_files
from orchestration.local.stand_ins.broker import COMMIT, FETCH, Broker, broker
from orchestration.local.stand_ins.s3 import KEY, REGION, SECRET, storage
from support.events import SENT_AT, TOPIC, compare, landed, numbered, objects, run
from support.reference import PROJECT


@pytest.fixture(scope="module")
def running():
    with broker() as started:
        yield started


@pytest.fixture
def kafka(running: Broker):
    """A broker with an empty topic of three partitions."""
    running.create(TOPIC, 3)
    yield running
    running.delete(TOPIC)


def start_of(root: Path, generation: int = 0) -> dict:
    return json.loads((root / f"raw/events/{TOPIC}/{generation}/start.json").read_text())


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


def test_offsets_that_have_expired_are_told_and_accepted_on_purpose(kafka, tmp_path):
    kafka.send(TOPIC, numbered(3, 30))
    run(kafka.address, tmp_path)
    kafka.send(TOPIC, numbered(3, 30, first=30))
    kafka.expire(TOPIC, 1, 14)
    for _ in range(2):
        with pytest.raises(LossError, match=r"^Topic user\.events\.v1: .* Partition 1: offsets 10 to 13 have expired"):
            run(kafka.address, tmp_path)
    done = run(kafka.address, tmp_path, accept_loss=True)
    assert [(loss.partition, loss.kind, loss.first, loss.next) for loss in done.losses] == [(1, "expired", 10, 14)]
    said = start_of(tmp_path, 1)
    assert said["losses"][0] | {"message": ""} == {
        "generation": 0, "partition": 1, "kind": "expired", "first": 10, "next": 14, "message": "",
    }  # fmt: skip
    # The others read on from where they were: nothing of them is lost or doubled.
    rows = landed(tmp_path)
    assert [row[0] for row in rows[0, 1] + rows[1, 1]] == [*range(10), *range(14, 20)]
    assert [row[0] for row in rows[0, 2] + rows[1, 2]] == [*range(20)]
    assert run(kafka.address, tmp_path).events == 0


def test_what_expired_after_it_landed_is_no_loss(kafka, tmp_path):
    kafka.send(TOPIC, numbered(3, 30))
    run(kafka.address, tmp_path)
    for partition in range(3):
        kafka.expire(TOPIC, partition, 10)
    assert run(kafka.address, tmp_path).events == 0


@pytest.mark.parametrize("told", [True, False], ids=["with an id", "without one"])
@pytest.mark.parametrize("count", [0, 15, 30, 90])
def test_a_topic_made_anew_is_told(kafka, tmp_path, monkeypatch, told, count):
    """By its id; by brokers that tell none, by its end, or by the record where the chain ends."""
    if not told:
        monkeypatch.setattr(events_broker.Broker, "topic_id", lambda _: None)
    kafka.send(TOPIC, numbered(3, 30))
    run(kafka.address, tmp_path)
    kafka.delete(TOPIC)
    kafka.create(TOPIC, 3)
    kafka.send(TOPIC, numbered(3, count, first=1000))
    with pytest.raises(LossError, match=r"artition 0: landed up to offset 10, .*artition 2: landed up to offset 10,"):
        run(kafka.address, tmp_path)
    assert run(kafka.address, tmp_path, accept_loss=True).events == count
    compare(kafka.address, tmp_path, range(3), generation=1)
    assert run(kafka.address, tmp_path).events == 0


def test_fewer_and_more_partitions(kafka, tmp_path):
    kafka.send(TOPIC, numbered(3, 30))
    run(kafka.address, tmp_path)
    kafka.delete(TOPIC)
    kafka.create(TOPIC, 2)
    with pytest.raises(LossError, match="artition 2: landed up to offset 10, and the topic"):
        run(kafka.address, tmp_path)
    run(kafka.address, tmp_path, accept_loss=True)
    assert [one["partition"] for one in start_of(tmp_path, 1)["partitions"]] == [0, 1]


def test_a_partition_that_was_added_is_read_from_its_beginning(kafka, tmp_path, monkeypatch):
    kafka.send(TOPIC, numbered(3, 30))
    partitions = events_broker.Broker.partitions
    with monkeypatch.context() as patched:
        patched.setattr(events_broker.Broker, "partitions", lambda self: partitions(self)[:2])
        run(kafka.address, tmp_path, start="latest")
    assert run(kafka.address, tmp_path).partitions[2] == Partition(2, 0, 10, 10, 1)


def test_a_run_that_was_killed_while_it_accepted_is_told(kafka, tmp_path, monkeypatch):
    kafka.send(TOPIC, numbered(3, 30))
    run(kafka.address, tmp_path)
    kafka.send(TOPIC, numbered(3, 30, first=30))
    kafka.expire(TOPIC, 1, 14)
    with monkeypatch.context() as patched:
        patched.setattr("orchestration.events.chain.begin", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(kafka.address, tmp_path, accept_loss=True)
    with pytest.raises(LossError, match="artition 0: closed at offset 10 by a run that was killed"):
        run(kafka.address, tmp_path)
    run(kafka.address, tmp_path, accept_loss=True)
    rows = landed(tmp_path)
    assert [row[0] for row in rows[0, 0] + rows[1, 0]] == [*range(20)]


def test_a_run_that_still_reads_the_old_log_stops(kafka, tmp_path, monkeypatch):
    kafka.send(TOPIC, numbered(3, 30))
    run(kafka.address, tmp_path)
    kafka.send(TOPIC, numbered(3, 30, first=30))
    read = events_broker.Broker.read

    def read_late(*arguments):
        with monkeypatch.context() as patched:
            patched.setattr(events_broker.Broker, "read", read)
            found = read(*arguments)
            kafka.expire(TOPIC, 0, 12)
            run(kafka.address, tmp_path, accept_loss=True)
        return found

    monkeypatch.setattr(events_broker.Broker, "read", read_late)
    with pytest.raises(EventsError, match="another run has accepted a loss at offset 10"):
        run(kafka.address, tmp_path)
    rows = landed(tmp_path)
    assert [row[0] for row in rows[0, 0] + rows[1, 0]] == [*range(10), *range(12, 20)]


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
        with pytest.raises(LandingError, match="Set LANDING_ROOT to a bucket that is there"):
            run(kafka.address, "s3://no-lake")


def command(kafka_address: str, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestration.events", "--bootstrap-servers", kafka_address, *arguments],
        cwd=PROJECT, env=os.environ | {"LANDING_ROOT": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command_says_which_offsets(kafka, tmp_path):
    kafka.send(TOPIC, numbered(2, 30))
    done = command(kafka.address, tmp_path, "--topic", TOPIC, "--batch-size", "10")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"30 events of {TOPIC} landed in {tmp_path}/raw/events/{TOPIC}/0",
        "  partition 0: offsets 0 to 14, 15 events in 2 objects",
        "  partition 1: offsets 0 to 14, 15 events in 2 objects",
        "  partition 2: nothing new, it stands at offset 0",
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--topic", "user.events.v2"], r"has no topic user\.events\.v2\. Check its name, or create it\."),
        (["--topic", "../up"], r"'\.\./up' cannot be a topic"),
        (["--settings", "no.json"], r"The settings .*no\.json cannot be read: No such file or directory\."),
        (["--settings", "broken.json"], r"The settings .*broken\.json cannot be read: it is not JSON\."),
        (["--settings", "wrong.json"], r'The settings of the connection to Kafka cannot be: .*"sasl\.words"'),
        (["--bootstrap-servers", "127.0.0.1:1"], r"^No broker at 127\.0\.0\.1:1 answers within 2 seconds, .*refused"),
        (["--bootstrap-servers", "no.host.invalid:9"], r"^No broker at no\.host\.invalid:9 answers"),
    ],
)
def test_what_goes_wrong_is_one_sentence(kafka, tmp_path, monkeypatch, capsys, change, says):
    (tmp_path / "broken.json").write_text('{"sasl.password": "secret of the broker"')
    (tmp_path / "wrong.json").write_text('{"sasl.words": "secret of the broker"}')
    change = [str(tmp_path / word) if word.endswith(".json") else word for word in change]
    monkeypatch.setenv("LANDING_ROOT", str(tmp_path))
    given = ["--bootstrap-servers", kafka.address, "--topic", TOPIC, "--patience", "2", *change]
    assert main(given) == 1
    said = capsys.readouterr()
    assert said.out == ""
    [line] = said.err.splitlines()
    assert re.search(says, line), line
    assert "secret of the broker" not in line


def test_a_landing_root_that_is_not_there(kafka, tmp_path):
    with pytest.raises(LandingError, match="is not a folder"):
        run(kafka.address, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            "does not let this user read topic user.events.v1, partition 0, offset 0",
        ),
        (KafkaError.OFFSET_OUT_OF_RANGE, "no longer has topic user.events.v1, partition 0, offset 0: it went while"),
    ],
)
def test_an_error_of_a_fetch_names_where(kafka, tmp_path, error, says):
    kafka.send(TOPIC, numbered(1, 30))
    kafka.fail(FETCH, *[error] * 5)
    try:
        with pytest.raises(EventsError) as raised:
            run(kafka.address, tmp_path)
    finally:
        kafka.fail(FETCH)
    assert says in str(raised.value)


def test_silence_is_not_the_end_of_the_log(kafka, tmp_path, monkeypatch):
    kafka.send(TOPIC, numbered(1, 30))
    assign = events_broker.Broker._assign

    def assign_nothing(self, _) -> None:
        assign(self, {})

    monkeypatch.setattr(events_broker.Broker, "_assign", assign_nothing)
    with pytest.raises(EventsError, match=r"said nothing for 1 seconds of topic .*, partition 0, from offset 0 on"):
        run(kafka.address, tmp_path, patience=1)
    assert not objects(tmp_path)


def test_a_chain_without_its_start_or_with_a_stranger_is_told(kafka, tmp_path):
    kafka.send(TOPIC, numbered(3, 30))
    run(kafka.address, tmp_path)
    folder = tmp_path / f"raw/events/{TOPIC}/0"
    duckdb.sql("select 1 as one").write_parquet(str(folder / "1" / "stranger.parquet"))
    with pytest.raises(EventsError, match=r"1/stranger\.parquet is not an object that was landed here"):
        run(kafka.address, tmp_path)
    (folder / "1" / "stranger.parquet").unlink()
    (folder / "start.json").unlink()
    with pytest.raises(EventsError, match=r"has no start\.json"):
        run(kafka.address, tmp_path)


def test_a_run_that_was_killed_before_it_began_leaves_nothing(kafka, tmp_path):
    (tmp_path / f"raw/events/{TOPIC}/0").mkdir(parents=True)
    assert run(kafka.address, tmp_path).folder == f"raw/events/{TOPIC}/0"


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


@pytest.mark.fast
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        *((name, False) for name in ("sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem")),
        *((name, False) for name in ("sasl.username", "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config")),
        *((name, True) for name in ("client.id", "ssl.ca.location", "sasl.mechanism")),
    ],
)
def test_no_secret_is_in_an_error(name, shown):
    value = "a  secret\nof several words " * 20
    settings = {"bootstrap.servers": "127.0.0.1:1", "client.id": "x"} | {name: value}
    with closing(events_broker.Broker({"bootstrap.servers": "127.0.0.1:1"}, TOPIC, 1)) as client:
        client.settings = settings
        said = client._said(ValueError(f"what came of {value} is this"))
    assert ("secret" in said) is shown
