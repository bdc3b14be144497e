"""Plays drawn histories in warehouses of their own, and compares each load with the reference."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from hypothesis import HealthCheck

from support.histories import Batch, Step
from support.reference import REGISTERS, Reference
from support.warehouse import Project, Warehouse, compare, compare_tables

ANYTHING_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


class Laboratory:
    """Gives each example a warehouse of its own and counts what was done."""

    def __init__(self, project: Project, folder: Path, kind: Callable[..., Warehouse] = Warehouse):
        self.project, self.folder, self.kind = project, folder, kind
        self.numbers, self.done = count(1), Counter()

    def warehouse(self, batch: Batch) -> Warehouse:
        return self.kind(self.project, self.folder / str(next(self.numbers)), feeds=batch.feeds)


def open_laboratory(
    project: Project, tmp_path_factory, request, kind: Callable[..., Warehouse] = Warehouse
) -> Iterator[Laboratory]:
    laboratory = Laboratory(project, tmp_path_factory.mktemp("histories"), kind)
    yield laboratory
    done = ", ".join(f"{number:,} {what}" for what, number in laboratory.done.items())
    request.config.get_terminal_writer().write(f"\n{done}\n")


def hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def release(step: Step, expected: Reference) -> list[str]:
    """Lets some of the held files through in the reference; their paths."""
    paths = step.releases(expected.held.keys() - expected.refused)
    for path in paths:
        expected.release(path)
    return paths


def run(batch: Batch, laboratory: Laboratory) -> None:
    """Plays a batch of histories, comparing after every load; then a full refresh, then the files in another order."""
    warehouse = laboratory.warehouse(batch)
    again = laboratory.warehouse(batch)
    try:
        expected = play(batch, warehouse, laboratory.done)
        compare(expected, warehouse, warehouse.build("--full-refresh"))
        replay(batch, expected, again)
        laboratory.done["histories"] += len(batch.histories)
    finally:
        warehouse.drop()
        again.drop()


def play(batch: Batch, warehouse: Warehouse, done: Counter) -> Reference:
    expected = Reference(feeds=batch.feeds)
    for step, files in zip(batch.steps, batch.states(), strict=True):
        for path in release(step, expected):
            assert not warehouse.release(path).broken
            done["releases"] += 1
        warehouse.land(files, anew=step.anew)
        expected.load(files, step.run_date)
        if step.killed_after:
            options = ["--full-refresh"] if step.killed_in_refresh else []
            killed = warehouse.build_until(step.killed_after, *options, run_date=step.run_date)
            assert not killed.broken, killed.broken
        built = warehouse.build(run_date=step.run_date)
        compare(expected, warehouse, built, step.run_date)
        done["loads"] += 1
        done["files"] += len(files)
    return expected


def replay(batch: Batch, expected: Reference, warehouse: Warehouse) -> None:
    """Lands what is in force, and then what is held, in another order and grouping: production is the same."""
    chance = random.Random(batch.regrouping)
    files = {}
    for state in batch.states():
        files |= {(path, data): None for path, data in state.items()}
    by_hash = {(path, hashed(data)): data for path, data in files}
    paths = sorted(expected.in_force)
    chance.shuffle(paths)
    landed, again = {}, Reference(feeds=batch.feeds)
    size = max(1, -(-len(paths) // chance.randint(1, 3)))
    for start in range(0, len(paths), size):
        landed |= {path: by_hash[path, expected.in_force[path].content_hash] for path in paths[start : start + size]}
        warehouse.land(landed)
        again.load(landed)
        built = warehouse.build()
        held = again.to_mend()
        for path in held:
            again.release(path)
            assert not warehouse.release(path).broken
        if held:
            again.load(landed)
            built = warehouse.build()
        assert not built.red, built.statuses
    # An extract that is held for nothing but its size may pass beside another one.
    held = {path: content for path, content in expected.held.items() if content.failed_checks != "volume"}
    landed |= {path: by_hash[path, content.content_hash] for path, content in held.items()}
    warehouse.land(landed)
    again.load(landed)
    built = warehouse.build()
    assert not built.broken, built.broken
    found = warehouse.tables()
    compare_tables(again.tables(), found)
    # The verdict on an extract depends on the one before it, what is made of those let through does not.
    independent = found.keys() - (REGISTERS if any(feed.is_extract for feed in batch.feeds) else {})
    tables = expected.tables()
    compare_tables({name: tables[name] for name in independent}, {name: found[name] for name in independent})
