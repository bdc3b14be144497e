"""What of a log is gone before it was landed, how a person is told, and how a run goes on once that is accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestration.events import chain
from orchestration.events.broker import Broker
from orchestration.events.chain import ALL, Generation, Loss, Share, Tail
from orchestration.events.errors import EventsError, LossError
from orchestration.events.objects import Objects


def tails(objects: Objects, generation: Generation, ends: Mapping[int, tuple[int, int]],
          share: Share = ALL) -> dict[int, Tail]:  # fmt: skip
    """Where the chains of a generation end, of all partitions of a share that it has or the brokers have.

    `ends` are the first and the next offset of each partition that is on the brokers.
    """
    partitions = sorted(filter(share.has, chain.partitions_of(objects, generation) | ends.keys()))
    return {
        partition: chain.tail(objects, generation, partition, ends.get(partition, (0, 0))[1])
        for partition in partitions
    }


def find(broker: Broker, generation: Generation, tails: Mapping[int, Tail], ends: Mapping[int, tuple[int, int]],
         topic_id: str | None) -> list[Loss]:  # fmt: skip
    """What is gone of a generation, by partition; nothing if its log is the one on the brokers and reaches its chains.

    `ends` must be older than `tails`: then an end that lies behind a chain's is asked for once more.
    """
    if generation.topic_id and topic_id and generation.topic_id != topic_id:
        message = "landed up to offset {}, and the topic was deleted and made anew since"
        return [
            _loss(generation, partition, "made anew", end.next, None, message.format(end.next))
            for partition, end in tails.items()
        ]
    found = {partition: _of_the_ends(broker, generation, partition, end, ends) for partition, end in tails.items()}
    anchors = {
        partition: end.anchor
        for partition, end in tails.items()
        # A record that has expired since it was landed proves nothing.
        if not found[partition] and end.anchor and end.anchor.offset >= ends[partition][0]
    }
    records = broker.first_records({partition: anchor.offset for partition, anchor in anchors.items()})
    for partition, record in records.items():
        anchor, end = anchors[partition], tails[partition]
        # Another offset: the log was compacted.
        if record.offset == anchor.offset and record.digest() != anchor.digest:
            message = (
                f"landed up to offset {end.next}, but at offset {anchor.offset} the log has another record than the "
                "one that was landed: it was cut off and written anew"
            )
            found[partition] = _loss(generation, partition, "written anew", end.next, None, message)
    return [loss for _, loss in sorted(found.items()) if loss]


def accept(objects: Objects, generation: Generation, found: Sequence[Loss], ends: Mapping[int, tuple[int, int]],
           topic_id: str | None) -> Generation:  # fmt: skip
    """Closes the chains of a generation and begins the next, which says what was lost.

    A partition that has lost something is read from the first offset that is there, any other one from the end of its
    chain.
    """
    lost = {loss.partition for loss in found if loss.kind != "closed"}
    starts = {partition: low for partition, (low, _) in ends.items()}
    for partition, end in tails(objects, generation, ends).items():
        if not chain.close(objects, generation, partition, end):
            raise EventsError(
                f"Topic {generation.topic}, partition {partition}: another run has landed events at offset {end.next} "
                "meanwhile. Run this again: it looks anew at what is lost."
            )
        if partition not in lost:
            starts[partition] = end.next
    following = Generation(generation.topic, generation.generation + 1, topic_id, "accept-loss", starts, tuple(found))
    return chain.begin(objects, following)


def error(found: Sequence[Loss], generation: Generation) -> LossError:
    """What is lost, as a person is told it."""
    lost = [f"partition {loss.partition}: {loss.message}" for loss in found]
    following = f"{chain.folder_of(generation.topic)}/{generation.generation + 1}/start.json"
    return LossError(generation.topic, lost, following)


def _of_the_ends(broker: Broker, generation: Generation, partition: int, end: Tail,
                 ends: Mapping[int, tuple[int, int]]) -> Loss | None:  # fmt: skip
    if partition not in ends:
        message = f"landed up to offset {end.next}, and the topic no longer has this partition: it was made anew"
        return _loss(generation, partition, "made anew", end.next, None, message)
    low, high = ends[partition]
    if low > end.next:
        message = f"offsets {end.next} to {low - 1} have expired before they were landed"
        return _loss(generation, partition, "expired", end.next, low, message)
    # Another run may have landed what came after the ends were asked for.
    if high < end.next and (high := broker.watermarks(partition)[1]) < end.next:
        message = f"landed up to offset {end.next}, but the log ends at offset {high}: it was cut off, or made anew"
        return _loss(generation, partition, "cut off", high, end.next, message)
    if end.closed:
        message = f"closed at offset {end.next} by a run that was killed when it accepted a loss"
        return _loss(generation, partition, "closed", end.next, end.next, message)
    return None


def _loss(generation: Generation, partition: int, kind: str, first: int, next: int | None, message: str) -> Loss:
    return Loss(generation.generation, partition, kind, first, next, message)
