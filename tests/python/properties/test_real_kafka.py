"""Apache Kafka itself: what aborted transactions wrote, retention, a topic made anew, more partitions, a secured
listener, and a broker that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from random import Random

import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic, TopicMetadata

from orchestration.events.errors import EventsError, LossError
from orchestration.events.lander import Limits, Partition, land
from support import event_worlds
from support import real_kafka as support
from support.event_worlds import Record, World, event, expected, found
from support.events import SENT_AT, compare, landed, numbered, objects, run
from support.reference import PROJECT
from support.warehouse import Project, Warehouse

NO_TOPIC = TopicMetadata()
pytestmark = [pytest.mark.long, pytest.mark.xdist_group("real_kafka")]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    """Apache Kafka, if it can be had."""
    if reason := support.missing():
        pytest.skip(reason)
    with support.real_kafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def topic(kafka, request) -> str:
    """A topic of three partitions, named like the test."""
    create(kafka, request.node.name)
    return request.node.name


def create(kafka, topic: str, partitions: int = 3) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.address})
    done(admin.create_topics([NewTopic(topic, partitions, 1)]))
    # It answers before it tells everybody.
    until = time.monotonic() + 300
    while len(admin.list_topics(timeout=10).topics.get(topic, NO_TOPIC).partitions) < partitions:
        assert time.monotonic() < until


def done(asked: dict) -> list:
    """Waits for what an administrator asked for."""
    return [future.result(30) for future in asked.values()]


def send(kafka, topic: str, events) -> None:
    """Writes events, and knows that the broker has them."""
    producer = Producer({"bootstrap.servers": kafka.address, "acks": "all", "message.timeout.ms": 60_000})
    for partition, key, value, timestamp in events:
        producer.produce(topic, value, key, partition, timestamp=timestamp)
    assert producer.flush(60) == 0


def transaction(kafka, topic: str, values: list[bytes], commit: bool | None) -> Producer:
    """One transaction in partition 0: committed, aborted, or left open."""
    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": f"of {topic}"})
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, None, 0, timestamp=SENT_AT)
    producer.flush(30)
    if commit is not None:
        (producer.commit_transaction if commit else producer.abort_transaction)(30)
    return producer


def values(root, topic: str, generation: int = 0, partition: int = 0) -> list[bytes]:
    return [row[3] for row in landed(root, topic).get((generation, partition), [])]


def test_what_was_aborted_does_not_land_and_its_offsets_are_covered(kafka, topic, tmp_path):
    for number, commit in enumerate((True, False, True, False, False, True, False)):
        transaction(kafka, topic, [b"%d.%d" % (number, n) for n in range(5)], commit)
    found = run(kafka.address, tmp_path, topic, batch_size=4).partitions[0]
    # Seven transactions of five events and a marker.
    assert (found.first, found.next, found.events, found.behind) == (0, 42, 15, 0)
    assert values(tmp_path, topic) == [b"%d.%d" % (number, n) for number in (0, 2, 5) for n in range(5)]
    assert run(kafka.address, tmp_path, topic).partitions[0] == Partition(0, 42, 42)
    # Only aborted ones since: they are covered all the same, and so cannot expire unread.
    transaction(kafka, topic, [b"x"] * 3, False)
    assert run(kafka.address, tmp_path, topic).partitions[0] == Partition(0, 42, 46, 0, 1)


def test_an_open_transaction_is_waited_for(kafka, topic, tmp_path):
    send(kafka, topic, numbered(1, 5))
    producer = transaction(kafka, topic, [b"open"] * 3, None)
    send(kafka, topic, numbered(1, 5, 5))
    assert run(kafka.address, tmp_path, topic).partitions[0].next == 5
    assert run(kafka.address, tmp_path, topic).events == 0
    producer.commit_transaction(30)
    assert run(kafka.address, tmp_path, topic).partitions[0].next == 14
    assert values(tmp_path, topic)[5:8] == [b"open"] * 3
    compare(kafka.address, tmp_path, range(3), topic)


def test_expired_made_anew_and_more_partitions(kafka, topic, tmp_path):
    admin = AdminClient({"bootstrap.servers": kafka.address})
    send(kafka, topic, numbered(3, 60))
    run(kafka.address, tmp_path, topic)
    done(admin.create_partitions([NewPartitions(topic, 4)]))
    send(kafka, topic, numbered(4, 40, 60))
    assert run(kafka.address, tmp_path, topic).partitions[3] == Partition(3, 0, 10, 10, 1)
    compare(kafka.address, tmp_path, range(4), topic)
    send(kafka, topic, numbered(4, 40, 100))
    done(admin.delete_records([TopicPartition(topic, 1, 33)]))
    with pytest.raises(LossError, match="artition 1: offsets 30 to 32 have expired"):
        run(kafka.address, tmp_path, topic)
    assert run(kafka.address, tmp_path, topic, accept_loss=True).events == 37
    told = admin.describe_topics(TopicCollection([topic]))[topic].result().topic_id
    done(admin.delete_topics([topic]))
    create(kafka, topic, 4)
    assert str(told) != str(admin.describe_topics(TopicCollection([topic]))[topic].result().topic_id)
    send(kafka, topic, numbered(4, 400, 200))
    with pytest.raises(LossError, match="deleted and made anew"):
        run(kafka.address, tmp_path, topic)
    run(kafka.address, tmp_path, topic, accept_loss=True)
    compare(kafka.address, tmp_path, range(4), topic, generation=2)


def test_a_secured_listener(kafka, topic, tmp_path):
    send(kafka, topic, numbered(3, 30))
    settings = {
        "bootstrap.servers": kafka.secured, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
        "sasl.username": support.USER, "sasl.password": support.PASSWORD,
    }  # fmt: skip
    assert land(settings, topic, str(tmp_path), limits=Limits(patience=10)).events == 30
    wrong = settings | {"sasl.password": "another-secret"}
    with pytest.raises(EventsError, match=f"refused the connection that reads topic {topic}") as refused:
        land(wrong, topic, str(tmp_path), limits=Limits(patience=5))
    assert not {support.PASSWORD, "another-secret", support.USER} & set(str(refused.value).replace(":", " ").split())
    without = {"bootstrap.servers": kafka.secured}
    with pytest.raises(EventsError, match=r"^No broker at .* answers"):
        land(without, topic, str(tmp_path), limits=Limits(patience=3))


def test_a_broker_that_is_killed_loses_nothing_that_has_landed(kafka, topic, tmp_path):
    for at in range(3):
        send(kafka, topic, numbered(3, 300, 300 * at))
        if at < 2:
            run(kafka.address, tmp_path, topic, batch_size=50, limits=Limits(50, events=700, patience=10))
        kafka.kill()
        with pytest.raises(EventsError, match=r"^No broker at "):
            run(kafka.address, tmp_path, topic, patience=2)
        kafka.start()
    run(kafka.address, tmp_path, topic, patience=20)
    compare(kafka.address, tmp_path, range(3), topic)


def test_the_lag_of_the_group_is_shown(kafka, topic, tmp_path):
    send(kafka, topic, numbered(3, 30))
    assert run(kafka.address, tmp_path, topic).notes == []
    with closing(Consumer({"bootstrap.servers": kafka.address, "group.id": "landing-zone"})) as consumer:
        told = consumer.committed([TopicPartition(topic, number) for number in range(3)], timeout=10)
    assert [one.offset for one in told] == [10, 10, 10]


# One run of the DAG as a process of its own: what is new lands, and is loaded.
LAND_AND_LOAD = """
import json, sys
from dbt.cli.main import dbtRunner
from orchestration.events.lander import Limits, land
address, topic, root, command = sys.argv[1:]
land({"bootstrap.servers": address}, topic, root, limits=Limits(7))
sys.exit(not dbtRunner().invoke(json.loads(command)).success)
"""


def land_and_load(kafka, topic: str, warehouse: Warehouse) -> subprocess.Popen:
    command = json.dumps([*event_worlds.BUILD, *warehouse.project.options()])
    arguments = [kafka.address, topic, warehouse.landing_root, command]
    return subprocess.Popen(
        [sys.executable, "-c", LAND_AND_LOAD, *arguments],
        cwd=PROJECT, env={**os.environ, **warehouse.places}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def as_it_landed(topic: str, root) -> World:
    """The log of a topic in the objects in which it lies."""
    partitions = []
    for _, paths in sorted(objects(root, topic).items()):
        partitions.append(found := [])
        for path in paths:
            table = pq.read_table(path)
            said = table.schema.metadata
            records = [Record(row["offset"], SENT_AT, row["key"], row["value"], None) for row in table.to_pylist()]
            found.append((int(said[b"first"]), int(said[b"next"]), records))
    return World(topic, partitions, landed=Counter({number: len(some) for number, some in enumerate(partitions)}))


def test_lander_and_load_killed_anywhere_lose_and_double_nothing(kafka, topic, project: Project, tmp_path):
    """Runs of both, each killed by SIGKILL at a moment by chance, while events come: copies, late ones and bad ones."""
    warehouse, random, sent = Warehouse(project, tmp_path / "w"), Random(11), 0
    assert project.parsed

    def send_some() -> None:
        nonlocal sent
        values = [event(random.randrange(max(1, sent // 2), sent + 30), random.randrange(-9, 9)) for _ in range(60)]
        values += [make(sent, 0) or b"" for make in random.sample(event_worlds.ODD, 5)]
        send(kafka, topic, [(random.randrange(3), b"k", value, SENT_AT) for value in values])
        sent += len(values)

    def ends() -> float:
        """The seconds of a run that nobody kills."""
        send_some()
        begun, process = time.monotonic(), land_and_load(kafka, topic, warehouse)
        said, _ = process.communicate()
        assert process.returncode == 0, said.decode()
        return time.monotonic() - begun

    # The first one also makes all tables.
    ends()
    took, killed = ends(), 0
    for number in range(12):
        send_some()
        begun, process = time.monotonic(), land_and_load(kafka, topic, warehouse)
        with suppress(subprocess.TimeoutExpired):
            # From where it begins to land, about, to its end.
            process.wait(took * (0.2 + 0.8 * (number + random.random()) / 12))
            # The machine is busy now and then.
            took = time.monotonic() - begun
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed > 6, "most of them ended before they were killed"
    ends()
    compare(kafka.address, warehouse.root, range(3), topic)
    there, must = found(warehouse), expected([as_it_landed(topic, warehouse.root)])
    assert (there.rejected, there.ledger, there.events) == (must.rejected, must.ledger, must.events)
    assert sum(received for received, *_ in must.ledger.values()) == sent
