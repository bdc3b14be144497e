"""Where events expire, and runs that accept it are killed or meet, each offset has landed once, or is known as lost."""

import itertools
from collections import Counter
from contextlib import nullcontext, suppress

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from orchestration.events import broker as events_broker
from orchestration.events import chain, losses, objects
from orchestration.events.errors import EventsError
from orchestration.local.stand_ins.broker import Broker
from support.events import SENT_AT, Crash, at_call, landed, run, start_of

PARTITIONS = 2
STEPS = {
    "ends": (events_broker.Broker, "watermarks"),
    "tails": (losses, "tails"),
    "find": (losses, "find"),
    "close": (chain, "close"),
    "begin": (chain, "begin"),
    "read": (events_broker.Broker, "read"),
    "create": (objects.FolderObjects, "create"),
}
PARTITION = st.integers(0, PARTITIONS - 1)
EVENTS = st.tuples(st.just("send"), st.lists(PARTITION, min_size=1, max_size=20))
# What expires, but for so many of the newest: most often some of that has not landed.
EXPIRED = st.tuples(st.just("expire"), PARTITION, st.integers(0, 12))
KINDS = st.sampled_from(("run", "crash", "two", "expire in it", "overtaken"))
RUN = st.tuples(KINDS, st.sampled_from(sorted(STEPS)), st.integers(1, 4), st.booleans())
HISTORIES = st.lists(st.one_of(EVENTS, EXPIRED, RUN), max_size=16)
topics = (f"lost-{number}" for number in itertools.count())


def live(kafka_server: Broker, root, history: list[tuple]) -> None:
    """Plays a history; then each offset is where it must be."""
    topic = next(topics)
    kafka_server.create(topic, PARTITIONS)
    sent, low = Counter(), Counter()

    def crash() -> None:
        raise Crash

    def expire(partition: int = 0, left: int = 3) -> None:
        low[partition] = max(low[partition], sent[partition] - left)
        kafka_server.expire(topic, partition, low[partition])

    def go() -> None:
        # Another run may be at work, or what it reads may expire: then it says so, and the next one goes on.
        with suppress(EventsError):
            run(kafka_server.address, root, topic, batch_size=4, accept_loss=True)

    with pytest.MonkeyPatch.context() as monkeypatch:
        # The generation begins before anything expires: what went before it is nobody's loss.
        go()
        for kind, *told in history:
            if kind == "send":
                kafka_server.send(topic, [(number, None, b"x", SENT_AT) for number in told[0]])
                sent.update(told[0])
            elif kind == "expire":
                expire(*told)
            else:
                step, number, before = told
                original = getattr(*STEPS[step])

                def another(step=step, original=original) -> None:
                    with monkeypatch.context() as patched:
                        patched.setattr(*STEPS[step], original)
                        go()

                def overtake(another=another) -> None:
                    expire()
                    another()

                act = {
                    "run": lambda: None,
                    "crash": crash,
                    "two": another,
                    "expire in it": expire,
                    "overtaken": overtake,
                }[kind]
                with suppress(Crash), at_call(monkeypatch, *STEPS[step], number, before, act):
                    go()
    run(kafka_server.address, root, topic, accept_loss=True)
    has_landed, lost = Counter(), Counter()
    for (_, partition), rows in landed(root, topic).items():
        has_landed.update((partition, row[0]) for row in rows)
    for generation in range(len(list((root / "raw/events" / topic).iterdir()))):
        for loss in start_of(root, generation, topic)["losses"]:
            lost.update((loss["partition"], offset) for offset in range(loss["first"], loss["next"]))
    everything = Counter((partition, offset) for partition in range(PARTITIONS) for offset in range(sent[partition]))
    assert has_landed + lost == everything


def of_histories(count: int, kafka_server: Broker, folders) -> None:
    """Plays so many of them."""
    given(HISTORIES)(
        settings(
            max_examples=count, deadline=None, database=None, derandomize=True, print_blob=False,
            phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
        )(lambda history: live(kafka_server, folders.mktemp("zone"), history))
    )()  # fmt: skip


OVERTAKEN = [("send", [0] * 10), ("overtaken", "read", 1, False), ("send", [0] * 3), ("overtaken", "create", 1, True)]


@pytest.mark.parametrize("closed", [True, False])
def test_a_run_that_is_overtaken_needs_the_chains_to_be_closed(kafka_server, tmp_path, monkeypatch, closed) -> None:
    if not closed:
        monkeypatch.setattr(chain, "close", lambda *_: True)
    with nullcontext() if closed else pytest.raises(AssertionError):
        live(kafka_server, tmp_path, OVERTAKEN)


def test_any_history_with_losses(kafka_server: Broker, tmp_path_factory) -> None:
    of_histories(15, kafka_server, tmp_path_factory)


@pytest.mark.long
def test_many_histories_with_losses(kafka_server: Broker, tmp_path_factory) -> None:
    of_histories(300, kafka_server, tmp_path_factory)
