"""What has landed is the log, record for record: killed at every step, two runs at once, in any batches."""

import itertools
import os
import signal
import subprocess
import sys
from contextlib import closing, nullcontext, suppress
from random import Random
from threading import Thread

import pytest
from confluent_kafka import Consumer, TopicPartition
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from orchestration.events import broker as events_broker
from orchestration.events import chain, objects
from orchestration.events.lander import Limits
from orchestration.landing.zones import LandingError
from orchestration.local.stand_ins.broker import Broker
from orchestration.local.stand_ins.s3 import KEY, REGION, SECRET, storage
from support.events import SENT_AT, Crash, at_call, compare, log_of, numbered, run
from support.reference import PROJECT

PARTITIONS = 3
# The steps of a run, each a function of which a call may be the last thing that it does.
STEPS = {
    "ends": (events_broker.Broker, "watermarks"),
    "tail": (chain, "tail"),
    "begin": (chain, "begin"),
    "read": (events_broker.Broker, "read"),
    "create": (objects.FolderObjects, "create"),
    "link": (os, "link"),
    "commit": (events_broker.Broker, "commit"),
}
# Runs `land` as a process of its own and kills it at a call of a step.
KILLED = """
import importlib, itertools, os, signal, sys
address, topic, root, place, name, number, before = sys.argv[1:]
module, _, inside = place.partition(":")
place = importlib.import_module(module)
place = getattr(place, inside) if inside else place
original, calls = getattr(place, name), itertools.count(1)
def call(*arguments, **options):
    now = next(calls) == int(number)
    if now and before == "True":
        os.kill(os.getpid(), signal.SIGKILL)
    done = original(*arguments, **options)
    if now:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
setattr(place, name, call)
from orchestration.events.lander import Limits, land
land({"bootstrap.servers": address}, topic, root, limits=Limits(4))
"""
topics = (f"topic-{number}" for number in itertools.count())


def events(random: Random, first: int) -> list:
    """Some events, of which a partition may have none."""
    return [
        (random.choice((0, 0, 0, 1, 2)), b"k", b"event %d" % (first + n), SENT_AT) for n in range(random.randrange(40))
    ]


# Those at which an object comes to be; the others are drawn by the histories below, and are long here.
SHORT = ("create", "link", "commit")


@pytest.mark.parametrize(
    "step", [step if step in SHORT else pytest.param(step, marks=pytest.mark.long) for step in STEPS]
)
def test_a_run_that_ends_at_any_step_is_made_good_by_the_next(
    kafka_server: Broker, tmp_path, monkeypatch, step: str
) -> None:
    """And so is one in the midst of which another run does all there is to do."""
    topic, random = next(topics), Random(step)
    kafka_server.create(topic, PARTITIONS)
    sent = 0

    def crash() -> None:
        raise Crash

    def another() -> None:
        # In full, or only in part.
        limits = Limits(random.choice((3, 5, 100)), events=random.choice((4, 1000)), patience=5)
        with monkeypatch.context() as patched:
            patched.setattr(*STEPS[step], original)
            run(kafka_server.address, tmp_path, topic, limits=limits)

    original = getattr(*STEPS[step])
    for number, before, act in itertools.product((1, 2, 3, 5, 8), (True, False), (crash, another)):
        more = events(random, sent)
        kafka_server.send(topic, more)
        sent += len(more)
        with suppress(Crash), at_call(monkeypatch, *STEPS[step], number, before, act):
            run(kafka_server.address, tmp_path, topic, batch_size=4)
        if random.random() < 0.7:
            run(kafka_server.address, tmp_path, topic, batch_size=random.choice((1, 7, 100)))
            compare(kafka_server.address, tmp_path, range(PARTITIONS), topic)
    run(kafka_server.address, tmp_path, topic)
    compare(kafka_server.address, tmp_path, range(PARTITIONS), topic)


def overwrite(self, path: str, content: bytes) -> bool:
    """What a store does that knows no exclusive create."""
    (self.root / path).parent.mkdir(parents=True, exist_ok=True)
    (self.root / path).write_bytes(content)
    return True


def test_what_is_overwritten_shows(kafka_server: Broker, tmp_path, monkeypatch) -> None:
    """Where a store overwrites, a run in the midst of another one does harm, and that is seen."""
    topic = next(topics)
    kafka_server.create(topic, PARTITIONS)
    monkeypatch.setattr(objects.FolderObjects, "create", overwrite)
    read = events_broker.Broker.read

    def another() -> None:
        kafka_server.send(topic, numbered(PARTITIONS, 30, 30))
        with monkeypatch.context() as patched:
            patched.setattr(events_broker.Broker, "read", read)
            run(kafka_server.address, tmp_path, topic, batch_size=7)

    kafka_server.send(topic, numbered(PARTITIONS, 30))
    with at_call(monkeypatch, events_broker.Broker, "read", 1, False, another):
        run(kafka_server.address, tmp_path, topic, batch_size=4)
    with pytest.raises(AssertionError):
        compare(kafka_server.address, tmp_path, range(PARTITIONS), topic)


def from_the_commit(self, partition: int, first: int, *told, read=events_broker.Broker.read):
    """What a reader does that believes the group."""
    [committed] = self.consumer.committed([TopicPartition(self.topic, partition)], timeout=5)
    return read(self, partition, max(first, committed.offset), *told)


@pytest.mark.parametrize("believed", [False, True])
def test_what_a_group_has_committed_is_not_what_has_landed(
    kafka_server: Broker, tmp_path, monkeypatch, believed
) -> None:
    topic = next(topics)
    kafka_server.create(topic, PARTITIONS)
    kafka_server.send(topic, numbered(PARTITIONS, 30))
    with closing(Consumer({"bootstrap.servers": kafka_server.address, "group.id": "landing-zone"})) as consumer:
        consumer.commit(offsets=[TopicPartition(topic, 0, 5)], asynchronous=False)
    if believed:
        monkeypatch.setattr(events_broker.Broker, "read", from_the_commit)
    run(kafka_server.address, tmp_path, topic)
    with pytest.raises(AssertionError) if believed else nullcontext():
        compare(kafka_server.address, tmp_path, range(PARTITIONS), topic)


HISTORIES = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.lists(st.integers(0, PARTITIONS - 1), max_size=30)),
        st.tuples(st.just("run"), st.integers(1, 12), st.integers(1, 40)),
        st.tuples(st.just("crash"), st.sampled_from(sorted(STEPS)), st.integers(1, 9), st.booleans()),
        st.tuples(st.just("two"), st.sampled_from(sorted(STEPS)), st.integers(1, 9), st.booleans()),
    ),
    max_size=12,
)


def live(kafka_server: Broker, root, history: list[tuple]) -> None:
    """Plays a history; then nothing is lost and nothing doubled."""
    topic = next(topics)
    kafka_server.create(topic, PARTITIONS)
    sent = itertools.count()

    def crash() -> None:
        raise Crash

    with pytest.MonkeyPatch.context() as monkeypatch:
        for kind, *told in history:
            if kind == "send":
                kafka_server.send(topic, [(partition, None, b"%d" % next(sent), SENT_AT) for partition in told[0]])
            elif kind == "run":
                run(kafka_server.address, root, topic, limits=Limits(told[0], events=told[1], patience=5))
            else:
                step, number, before = told
                original = getattr(*STEPS[step])

                def another(step=step, original=original) -> None:
                    with monkeypatch.context() as patched:
                        patched.setattr(*STEPS[step], original)
                        run(kafka_server.address, root, topic, batch_size=3)

                act = crash if kind == "crash" else another
                with suppress(Crash), at_call(monkeypatch, *STEPS[step], number, before, act):
                    run(kafka_server.address, root, topic, batch_size=5)
    run(kafka_server.address, root, topic)
    compare(kafka_server.address, root, range(PARTITIONS), topic)


def of_histories(count: int):
    """Plays so many of them."""
    return settings(
        max_examples=count, deadline=None, database=None, derandomize=True, print_blob=False,
        phases=(Phase.explicit, Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def test_any_history(kafka_server: Broker, tmp_path_factory) -> None:
    of_histories(15)(given(HISTORIES)(lambda history: live(kafka_server, tmp_path_factory.mktemp("zone"), history)))()


@pytest.mark.long
def test_many_histories(kafka_server: Broker, tmp_path_factory) -> None:
    of_histories(300)(given(HISTORIES)(lambda history: live(kafka_server, tmp_path_factory.mktemp("zone"), history)))()


def at_once(kafka_server: Broker, root, topic: str, rounds: int, seconds: float) -> None:
    """Three runs at a time, each so often, while events come every so many seconds."""
    kafka_server.create(topic, PARTITIONS)
    problems: list[BaseException] = []

    def land_often(batch_size: int) -> None:
        try:
            for _ in range(rounds):
                run(kafka_server.address, root, topic, batch_size=batch_size)
        except BaseException as problem:
            problems.append(problem)

    threads = [Thread(target=land_often, args=(batch_size,)) for batch_size in (3, 5, 50)]
    for thread in threads:
        thread.start()
    first = 0
    while any(thread.is_alive() for thread in threads):
        kafka_server.send(topic, numbered(PARTITIONS, 30, first))
        first += 30
        threads[0].join(seconds)
    for thread in threads:
        thread.join()
    assert not problems
    run(kafka_server.address, root, topic)


def test_three_runs_at_once(kafka_server: Broker, tmp_path) -> None:
    topic = next(topics)
    at_once(kafka_server, tmp_path, topic, rounds=6, seconds=0.02)
    compare(kafka_server.address, tmp_path, range(PARTITIONS), topic)


def test_three_runs_at_once_on_s3(kafka_server: Broker, tmp_path, monkeypatch) -> None:
    topic = next(topics)
    with storage("lake", tmp_path / "mirror") as s3:
        account = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
        for name, value in (account | {"AWS_ENDPOINT_URL": s3.endpoint}).items():
            monkeypatch.setenv(name, value)
        at_once(kafka_server, "s3://lake", topic, rounds=3, seconds=0.3)
        for page in s3.client.get_paginator("list_objects_v2").paginate(Bucket="lake"):
            for item in page["Contents"]:
                path = tmp_path / item["Key"]
                path.parent.mkdir(parents=True, exist_ok=True)
                s3.client.download_file("lake", item["Key"], str(path))
    compare(kafka_server.address, tmp_path, range(PARTITIONS), topic)


def kill(kafka_server: Broker, root, topic: str, step: str, number: int, before: bool) -> None:
    """A process that lands dies by SIGKILL at a step."""
    place, name = STEPS[step]
    where = place.__name__ if not isinstance(place, type) else f"{place.__module__}:{place.__name__}"
    arguments = [kafka_server.address, topic, str(root), where, name, str(number), str(before)]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], cwd=PROJECT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def killed(kafka_server: Broker, root, points: list[tuple[str, int, bool]]) -> None:
    """Kills a run at each of these points, one after the other; then nothing is lost and nothing doubled."""
    topic = next(topics)
    kafka_server.create(topic, PARTITIONS)
    for at, point in enumerate(points):
        # So many that each point is reached.
        kafka_server.send(topic, numbered(PARTITIONS, 60, 60 * at))
        kill(kafka_server, root, topic, *point)
    run(kafka_server.address, root, topic)
    compare(kafka_server.address, root, range(PARTITIONS), topic)
    assert sum(len(rows) for rows in log_of(kafka_server.address, range(PARTITIONS), topic).values()) == 60 * len(
        points
    )


def test_a_run_that_is_killed_loses_and_doubles_nothing(kafka_server: Broker, tmp_path) -> None:
    killed(kafka_server, tmp_path, [("begin", 1, False), ("link", 2, True), ("link", 3, False), ("commit", 1, False)])


@pytest.mark.long
def test_runs_that_are_killed_at_every_step(kafka_server: Broker, tmp_path) -> None:
    points = list(itertools.product(("begin", "commit"), (1,), (True, False)))
    points += itertools.product(("link", "create", "read"), range(2, 12), (True, False))
    killed(kafka_server, tmp_path, points)


def test_a_folder_that_cannot_be_written_is_told(kafka_server: Broker, tmp_path) -> None:
    topic = next(topics)
    kafka_server.create(topic, PARTITIONS)
    (tmp_path / "raw").write_text("a file")
    with pytest.raises(LandingError, match=r"^The folder raw/events/.* cannot be listed: Not a directory\.$"):
        run(kafka_server.address, tmp_path, topic)
