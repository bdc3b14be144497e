"""Promises 1 to 4: whatever comes, and however it comes, production is what the plain Python reference says.

`make test` runs 25 histories of sales and 18 of tables, `make test-long` 1,000 of each. A failure prints the shrunk
history.
"""

import hashlib
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count, pairwise
from pathlib import Path

import pytest
from histories import SAMPLES, Batch, Step, batches
from hypothesis import HealthCheck, given, settings
from reference import REGISTERS, SALES, Feed, Reference, newest
from tables import KINDS
from warehouse import Project, Warehouse, compare, compare_tables

SMALL, LARGE = 5, 25


class Laboratory:
    """Gives each example a warehouse of its own and counts what was done."""

    def __init__(self, project: Project, folder: Path, kind: Callable[..., Warehouse] = Warehouse):
        self.project, self.folder, self.kind = project, folder, kind
        self.numbers, self.done = count(1), Counter()

    def warehouse(self, batch: Batch) -> Warehouse:
        return self.kind(self.project, self.folder / str(next(self.numbers)), feeds=batch.feeds)


@pytest.fixture(scope="module")
def laboratory(project: Project, tmp_path_factory, request) -> Iterator[Laboratory]:
    yield from open_laboratory(project, tmp_path_factory, request)


@pytest.fixture(scope="module")
def tables_laboratory(project_with_prices: Project, tmp_path_factory, request) -> Iterator[Laboratory]:
    yield from open_laboratory(project_with_prices, tmp_path_factory, request)


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
        shutil.rmtree(warehouse.folder)
        shutil.rmtree(again.folder)


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


@pytest.mark.fast
@settings(max_examples=100, deadline=None)
@given(batch=batches(1) | batches(1, KINDS))
def test_the_reference_loses_nothing_and_minds_no_order(batch: Batch) -> None:
    expected = Reference(feeds=batch.feeds)
    for step, files in zip(batch.steps, batch.states(), strict=True):
        release(step, expected)
        expected.load(files, step.run_date)
        tables = expected.tables()
        for path, _, _, _, received, *places in tables["prod.load_ledger"]:
            assert received == sum(places) and min(places) >= 0, path
    backwards = Reference(
        in_force=dict(reversed(expected.in_force.items())),
        newest=expected.newest,
        released=expected.released,
        feeds=batch.feeds,
    )
    assert backwards.tables() == tables
    for feed in batch.feeds:
        if feed.has_history:
            has_no_gap_and_no_overlap(feed, expected)


def has_no_gap_and_no_overlap(feed: Feed, expected: Reference) -> None:
    """One version of a key follows on the other, but for the time in which it was deleted."""
    tables = expected.tables()
    columns = feed.tables()[f"{feed.in_prod}_history"]
    rows = [dict(zip(columns, row, strict=True)) for row in tables[f"{feed.in_prod}_history"]]
    files = {path: content for path, content in expected.in_force.items() if content.feed is feed}
    updated_at = feed.names.index("updated_at")
    for key in {tuple(row[name] for name in feed.key) for row in rows}:
        versions = sorted(
            (row for row in rows if tuple(row[name] for name in feed.key) == key), key=lambda row: row["valid_from"]
        )
        deletions = {
            values[updated_at]
            for content in files.values()
            for _, values in content.valid
            if feed.key_of(values) == key and feed.is_deleted(values)
        }
        for version, following in pairwise(versions):
            assert version["valid_from"] < version["valid_to"] <= following["valid_from"]
            assert version["valid_to"] == following["valid_from"] or version["valid_to"] in deletions
        end = versions[-1]["valid_to"]
        assert end is None or end in deletions
        current = {feed.key_of(row) for row in expected.current(feed)}
        assert (key in current) == (end is None)


@pytest.mark.fast
@pytest.mark.parametrize("feed", (SALES, *KINDS), ids=lambda feed: feed.name)
def test_histories_reach_every_kind_of_file(feed: Feed) -> None:
    """Of the drawn histories enough merge something, hold, refuse, reject, overtake, delete and restate."""
    seen = Counter()

    @settings(max_examples=100, deadline=None, database=None, derandomize=True)
    @given(batch=batches(2, (feed,)))
    def look(batch: Batch) -> None:
        expected = Reference(feeds=batch.feeds)
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
        winners = newest(feed, expected._versions(feed), feed.key_of).values()
        seen["deleted"] += any(map(feed.is_deleted, winners))
        for content in expected.newest.values():
            seen.update((content.failed_checks or "none").split(", "))

    look()
    kinds = {*REACHED, "deleted" if feed in SAMPLES else "freshness", *(["volume"] if feed.is_extract else [])}
    assert not {kind: seen[kind] for kind in kinds if seen[kind] < seen["histories"] // 10}, seen


REACHED = ("restated", "current", "superseded", "rejected", "held", "refused", "released", "row_count", "reject_rate")
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


@settings(max_examples=2, deadline=None, suppress_health_check=ANYTHING_SLOW)
@given(batch=batches(3, KINDS))
def test_tables_are_what_the_reference_says(tables_laboratory: Laboratory, batch: Batch) -> None:
    run(batch, tables_laboratory)


@pytest.mark.long
@settings(max_examples=60, deadline=None, suppress_health_check=ANYTHING_SLOW)
@given(batch=batches(6, KINDS))
def test_tables_are_what_the_reference_says_a_thousand_times(tables_laboratory: Laboratory, batch: Batch) -> None:
    run(batch, tables_laboratory)
