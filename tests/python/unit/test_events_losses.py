"""What is gone from a log before it landed is told with its offsets, and accepted only on purpose."""

import pytest

from orchestration.events import broker as events_broker
from orchestration.events.errors import EventsError, LossError
from orchestration.events.lander import Partition
from support.events import TOPIC, compare, landed, numbered, run, start_of


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
