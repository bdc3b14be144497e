"""Which landed events are not in production yet. Nothing of dbt is started to find that out."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from orchestration.events.objects import Objects, objects_at
from orchestration.landing.sql import literal
from orchestration.project import ENV, TARGET
from orchestration.tables import fingerprint_on_stage

FOLDER = "raw/events"
# The length of an object's name: an offset of 20 digits and its suffix.
NAME = len(f"{0:020d}.parquet")
# The registers that are asked.
NEEDED = ("landed_files", "refused_files", "known_files")


@dataclass(frozen=True)
class Known:
    """What the warehouse says: the last known object of each folder, which objects wait for a load to be finished,
    the fingerprints of those that it has refused, and whether production was ever built."""

    last: Mapping[str, str] = field(default_factory=dict)
    unfinished: Collection[str] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    is_built: bool = False


@dataclass(frozen=True)
class Arrivals:
    """What a load has to do: in which folders something has landed, behind which object; other objects; and whether
    production was never built."""

    folders: Mapping[str, str]
    objects: Collection[str]
    is_built: bool

    def __bool__(self) -> bool:
        return bool(self.folders or self.objects or not self.is_built)

    def condition(self) -> str:
        """Which rows of the ledger are of them, in SQL."""
        # Behind the last object that was known, and before what sorts after all of its folder.
        new = [
            f"(source_file > {literal(f'{folder}/{last}')} and source_file < {literal(f'{folder}0')})"
            for folder, last in self.folders.items()
        ]
        others = [f"source_file in ({', '.join(map(literal, self.objects))})"] if self.objects else []
        return f"({' or '.join([*new, *others]) or 'false'})"


def find() -> Arrivals:
    """What has landed and is not loaded, or not to the end.

    Raises what the landing zone or the warehouse raises when it cannot be reached.
    """
    return compare(objects_at(ENV["LANDING_ROOT"]), known())


def compare(objects: Objects, known: Known) -> Arrivals:
    """What a landing zone has that the warehouse does not know.

    The objects of a folder land one after the other and are never changed: its last one says whether anything is new.
    One that was refused may be mended or taken away.
    """
    found = {}
    for topic in objects.folders(FOLDER):
        for generation in objects.folders(f"{FOLDER}/{topic}"):
            for partition in objects.folders(f"{FOLDER}/{topic}/{generation}"):
                folder = f"{FOLDER}/{topic}/{generation}/{partition}"
                before = known.last.get(folder, "")
                offset = before.partition(".")[0]
                last = objects.last(folder, int(offset) if offset.isdecimal() else 0)
                if last is not None and last > before:
                    found[folder] = before
    changed = [path for path, before in known.refused.items() if _fingerprint(objects, path) != before]
    return Arrivals(found, sorted({*known.unfinished, *changed}), known.is_built)


def _fingerprint(objects: Objects, path: str) -> str | None:
    """What the load registers of an object as it is now, None of one that is gone."""
    if TARGET == "snowflake":
        return fingerprint_on_stage(path)
    content = objects.read(path)
    return None if content is None else hashlib.sha256(content).hexdigest()


def known() -> Known:
    """What the warehouse knows of landed events."""
    from orchestration import report

    try:
        there = report.tables()
    except FileNotFoundError:  # no warehouse yet
        return Known()
    if not all(("staging", name) in there for name in NEEDED):
        return Known()
    like = f"source_file like '{FOLDER}/%'"
    rows = report.ask(
        f"""
        select max(source_file) as source_file, null as fingerprint, false as is_refused, false as is_unfinished
        from (
            select source_file from staging.landed_files where {like}
            union all
            select source_file from staging.refused_files where {like}
        ) as objects
        group by left(source_file, length(source_file) - {NAME})
        union all
        select source_file, fingerprint, is_refused, is_unfinished
        from staging.known_files where {like} and (is_refused or is_unfinished)
        """
    )
    last = [row["source_file"] for row in rows if not (row["is_refused"] or row["is_unfinished"])]
    return Known(
        dict(path.rsplit("/", 1) for path in last),
        [row["source_file"] for row in rows if row["is_unfinished"]],
        {row["source_file"]: row["fingerprint"] for row in rows if row["is_refused"]},
        ("prod", "usage_events") in there,
    )
