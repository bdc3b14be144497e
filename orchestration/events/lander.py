"""One run: reads each partition from the end of its chain to the end that the log had when the run started."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

from orchestration.events import chain, losses
from orchestration.events.broker import Broker
from orchestration.events.chain import ALL, Generation, Loss, Share, Tail
from orchestration.events.errors import EventsError
from orchestration.events.objects import Objects, objects_at

# What Kafka allows; it is also the name of a folder.
TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
STARTS = ("earliest", "latest")


@dataclass(frozen=True)
class Limits:
    """How much one object and one run may take. What is left then is for the next run."""

    batch_size: int = 10_000
    events: int = 2_000_000
    seconds: float = 240
    # How long an answer of the brokers is waited for.
    patience: float = 30


LIMITS = Limits()


@dataclass(frozen=True)
class Partition:
    """What a run has landed of a partition: [first, next), which may have holes, so many events in so many objects.

    `behind` is how many offsets were left, of those that were there when the run started; `age` is for how many seconds
    the first event among them had been waiting when it ended.
    """

    partition: int
    first: int
    next: int
    events: int = 0
    objects: int = 0
    behind: int = 0
    age: float = field(default=0, compare=False)


@dataclass(frozen=True)
class Landed:
    """What came of a run: where it landed, by partition what, which losses it accepted, and what a person may want to
    know."""

    folder: str
    partitions: list[Partition]
    losses: list[Loss]
    notes: list[str]

    @property
    def events(self) -> int:
        """How many events have landed."""
        return sum(partition.events for partition in self.partitions)


def land(settings: Mapping[str, object], topic: str, root: str, *, start: str = "earliest", accept_loss: bool = False,
         limits: Limits = LIMITS, share: Share = ALL) -> Landed:  # fmt: skip
    """Lands what a topic has that has not landed yet, below a landing root: a folder, or `s3://bucket[/prefix]`.

    `settings` are librdkafka's, with at least `bootstrap.servers`. The group that they name, or `landing-zone`, is told
    how far the landing zone has come, for a person who looks at its lag; nothing is read from there. `start` is where
    the very first run begins; it is recorded, and later runs read on. `accept_loss` goes on past events that are proven
    to be gone, and records them.

    `share` is for several runs at once, which share out the partitions: each lands its own and finds what is lost of
    them. A loss is accepted for the whole topic, so that then share 0 does all of it and the others nothing.

    Raises `LossError` when events are gone and that is not accepted, `EventsError` for whatever else Kafka or the
    landing zone is not as it should be, `LandingError` when the storage is out of reach: what had landed by then stays.
    """
    if start not in STARTS:
        raise EventsError(f"A topic is read from its {' or '.join(STARTS)} offset, not from {start!r}.")
    if not TOPIC.fullmatch(topic):
        raise EventsError(f"{topic!r} cannot be a topic: its name is of A-Z, a-z, 0-9, dots, underscores and hyphens.")
    if accept_loss and share.index:
        return Landed(chain.folder_of(topic), [], [], [])
    if accept_loss:
        share = ALL
    deadline = time.monotonic() + limits.seconds
    objects = objects_at(root)
    with _no_search_for_cycles(), closing(Broker(settings, topic, limits.patience)) as broker:
        ends = {partition: broker.watermarks(partition) for partition in broker.partitions()}
        generation, tails, accepted = _generation(objects, broker, ends, start, accept_loss, share)
        own = {partition: end for partition, end in ends.items() if share.has(partition)}
        return _Run(objects, broker, generation, limits, deadline).land(own, tails, accepted)


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Messages are in no cycle, and Python would look at each of them several times: a third of what landing costs."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


def _generation(objects: Objects, broker: Broker, ends: dict[int, tuple[int, int]], start: str,
                accept_loss: bool, share: Share) -> tuple[Generation, dict[int, Tail], list[Loss]]:  # fmt: skip
    """The generation in force and where its chains end; the first, or the next behind a loss, begins here."""
    topic_id = broker.topic_id()
    now = chain.newest(objects, broker.topic)
    if now is None:
        starts = {partition: end[STARTS.index(start)] for partition, end in ends.items()}
        now = chain.begin(objects, Generation(broker.topic, 0, topic_id, start, starts))
    tails = losses.tails(objects, now, ends, share)
    found = losses.find(broker, now, tails, ends, topic_id)
    if not found:
        return now, tails, found
    if not accept_loss:
        raise losses.error(found, now)
    following = losses.accept(objects, now, found, ends, topic_id)
    return following, losses.tails(objects, following, ends), found


class _Run:
    def __init__(self, objects: Objects, broker: Broker, generation: Generation, limits: Limits, deadline: float):
        self.objects, self.broker, self.generation = objects, broker, generation
        self.limits, self.deadline = limits, deadline
        self.left = limits.events

    def land(self, ends: dict[int, tuple[int, int]], tails: dict[int, Tail], accepted: list[Loss]) -> Landed:
        # The farthest behind first, so that none waits for ever where a run's limits end it.
        order = sorted(ends, key=lambda partition: tails[partition].next - ends[partition][1])
        landed = [self._partition(partition, tails[partition], ends[partition][1]) for partition in order]
        landed.sort(key=lambda one: one.partition)
        notes = []
        try:
            landed = self._with_ages(landed)
        except EventsError as error:
            notes.append(f"How long the events have waited that are left is not known: {error}")
        # Last and once: a group that is out of reach is waited for, and nothing else waits for it.
        if problem := self.broker.commit({one.partition: one.next for one in landed}):
            notes.append(f"The lag of the consumer group does not show this run: {problem}. Nothing depends on it.")
        return Landed(self.generation.folder, landed, accepted, notes)

    def _with_ages(self, landed: list[Partition]) -> list[Partition]:
        waiting = self.broker.first_records({one.partition: one.next for one in landed if one.behind})
        sent_at = {partition: record.timestamp for partition, record in waiting.items()}
        now = time.time()
        return [
            replace(one, age=max(0.0, round(now - at / 1000, 3))) if (at := sent_at.get(one.partition)) else one
            for one in landed
        ]

    def _partition(self, partition: int, end: Tail, until: int) -> Partition:
        first, events, written = end.next, 0, 0
        while end.next < until and self.left and time.monotonic() < self.deadline:
            most = min(self.limits.batch_size, self.left)
            batch = self.broker.read(partition, end.next, until, most, self.deadline)
            if batch.next == end.next:
                break
            appended = chain.append(self.objects, self.generation, partition, end, batch.records, batch.next)
            # Where another run was first, what it has landed is what has landed.
            end = appended or self._tail(partition, batch.next)
            if appended:
                events, written = events + len(batch.records), written + 1
                self.left -= len(batch.records)
            if batch.ended and appended:
                break
        return Partition(partition, first, end.next, events, written, max(0, until - end.next))

    def _tail(self, partition: int, near: int) -> Tail:
        end = chain.tail(self.objects, self.generation, partition, near)
        if end.closed:
            raise EventsError(
                f"Topic {self.generation.topic}, partition {partition}: another run has accepted a loss at offset "
                f"{end.next} and has begun to read anew. Run this again: it reads on from there."
            )
        return end
