"""What a run says of what it has landed."""

from __future__ import annotations

from collections.abc import Iterator

from orchestration.events.lag import duration
from orchestration.events.lander import Landed, Partition


def said(landed: Landed, topic: str, root: str) -> Iterator[str]:
    """Yields line by line, by partition, which offsets have landed and what is left."""
    yield f"{landed.events:,} events of {topic} landed in {root.rstrip('/')}/{landed.folder}"
    for loss in landed.losses:
        yield f"  lost, and recorded: partition {loss.partition}: {loss.message}"
    for partition in landed.partitions:
        yield f"  partition {partition.partition}: {_of(partition)}"
    yield from landed.notes


def _of(partition: Partition) -> str:
    behind = ""
    if partition.behind:
        behind = f"; {partition.behind:,} offsets are left for the next run"
    if partition.age:
        behind += f", the oldest event among them has waited for {duration(partition.age)}"
    if not partition.objects:
        return f"nothing new, it stands at offset {partition.next}{behind}"
    objects = f"{partition.objects} object{'s' * (partition.objects != 1)}"
    return f"offsets {partition.first} to {partition.next - 1}, {partition.events:,} events in {objects}{behind}"
