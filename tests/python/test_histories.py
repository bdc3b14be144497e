"""Promises 1 to 4: whatever comes, and however it comes, production is what the plain Python reference says.

`make test` runs 25 histories, `make test-long` 1,000. A failure prints the shrunk history.
"""

import hashlib
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from histories import Batch, Step, batches
from hypothesis import HealthCheck, given, settings
from reference import Reference
from warehouse import Project, Warehouse, compare, compare_tables

SMALL, LARGE = 5, 25


class Laboratory:
    """Gives each example a warehouse of its own and counts what was done."""

    def __init__(self, project: Project, folder: Path):
        self.project, self.folder = project, folder
        self.numbers, self.done = count(1), Counter()

    def warehouse(self) -> Warehouse:
        folder = self.folder / str(next(self.numbers))
        return Warehouse(self.project, folder)


@pytest.fixture(scope="module")
def laboratory(project: Project, tmp_path_factory, request) -> Iterator[Laboratory]:
    laboratory = Laboratory(project, tmp_path_factory.mktemp("histories"))
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
    warehouse = laboratory.warehouse()
    again = laboratory.warehouse()
    try:
        expected = play(batch, warehouse, laboratory.done)
        compare(expected, warehouse, warehouse.build("--full-refresh"))
        replay(batch, expected, again)
        laboratory.done["histories"] += len(batch.histories)
    finally:
        shutil.rmtree(warehouse.folder)
        shutil.rmtree(again.folder)


def play(batch: Batch, warehouse: Warehouse, done: Counter) -> Reference:
    expected = Reference()
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
    landed = {}
    size = max(1, -(-len(paths) // chance.randint(1, 3)))
    for start in range(0, len(paths), size):
        group = {path: by_hash[path, expected.in_force[path].content_hash] for path in paths[start : start + size]}
        landed |= group
        warehouse.land(landed)
        built = warehouse.build()
        let_through = [path for path in group if expected.verdict(expected.in_force[path]) == "released"]
        for path in let_through:
            assert not warehouse.release(path).broken
        if let_through:
            built = warehouse.build()
        assert not built.red, built.statuses
    landed |= {path: by_hash[path, content.content_hash] for path, content in expected.held.items()}
    warehouse.land(landed)
    built = warehouse.build()
    assert not built.broken, built.broken
    compare_tables(expected.tables(), warehouse.tables())


@pytest.mark.fast
@settings(max_examples=100, deadline=None)
@given(batch=batches(1))
def test_the_reference_loses_nothing_and_minds_no_order(batch: Batch) -> None:
    expected = Reference()
    for step, files in zip(batch.steps, batch.states(), strict=True):
        release(step, expected)
        expected.load(files, step.run_date)
        tables = expected.tables()
        for path, _, _, _, received, *places in tables["prod.load_ledger"]:
            assert received == sum(places) and min(places) >= 0, path
    backwards = Reference(
        in_force=dict(reversed(expected.in_force.items())), newest=expected.newest, released=expected.released
    )
    assert backwards.tables() == tables


@pytest.mark.fast
def test_histories_reach_every_kind_of_file() -> None:
    """Of the drawn histories enough merge something, hold, refuse, reject, overtake and restate."""
    seen = Counter()

    @settings(max_examples=100, deadline=None, database=None, derandomize=True)
    @given(batch=batches(2))
    def look(batch: Batch) -> None:
        expected = Reference()
        seen["histories"] += 1
        for step, files in zip(batch.steps, batch.states(), strict=True):
            before = dict(expected.in_force)
            release(step, expected)
            expected.load(files, step.run_date)
            seen["restated"] += any(expected.in_force[path] != content for path, content in before.items())
        rows = [row[5:] for row in expected.tables()["prod.load_ledger"]]
        for place, kind in enumerate(("current", "superseded", "rejected", "held")):
            seen[kind] += any(row[place] for row in rows)
        seen["refused"] += bool(expected.refused)
        seen["released"] += bool(expected.released)
        for content in expected.newest.values():
            seen.update((content.failed_checks,))

    look()
    assert not {kind: seen[kind] for kind in KINDS if seen[kind] < seen["histories"] // 10}, seen


CHECKS = ("row_count", "reject_rate", "freshness")
KINDS = ("restated", "current", "superseded", "rejected", "held", "refused", "released", *CHECKS)
ANYTHING_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@settings(max_examples=25 // SMALL, deadline=None, suppress_health_check=ANYTHING_SLOW)
@given(batch=batches(SMALL))
def test_production_is_what_the_reference_says(laboratory: Laboratory, batch: Batch) -> None:
    run(batch, laboratory)


@pytest.mark.long
@settings(max_examples=1_000 // LARGE, deadline=None, suppress_health_check=ANYTHING_SLOW)
@given(batch=batches(LARGE))
def test_production_is_what_the_reference_says_a_thousand_times(laboratory: Laboratory, batch: Batch) -> None:
    run(batch, laboratory)
