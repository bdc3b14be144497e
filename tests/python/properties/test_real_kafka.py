"""Apache Kafka itself: what aborted transactions wrote, retention, a topic made anew, more partitions, a secured
listener, and a broker that is killed."""

import time
from contextlib import closing

import pytest
from confluent_kafka import Consumer, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic, TopicMetadata

from orchestration.events.errors import EventsError, LossError
from orchestration.events.lander import Limits, Partition, land
from support import real_kafka as support
from support.events import SENT_AT, compare, landed, numbered, run

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
    until = time.monotonic() + 30
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
