"""Promises 1 to 4: whatever comes, and however it comes, production is what the plain Python reference says.

`make test` runs 26 histories of sales and 18 of tables, `make test-long` 1,000 of each. A failure prints the shrunk
history.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis.internal.conjecture import providers

from support.histories import SAMPLES, Batch, batches, has_files
from support.laboratory import ANYTHING_SLOW, Laboratory, open_laboratory, release, run
from support.reference import SALES, Feed, Reference, newest
from support.tables import KINDS
from support.warehouse import Project

# Histories that share the builds of an example.
TOGETHER = 26


@pytest.fixture(scope="module")
def laboratory(project: Project, tmp_path_factory, request) -> Iterator[Laboratory]:
    yield from open_laboratory(project, tmp_path_factory, request)


@pytest.fixture(scope="module")
def tables_laboratory(project_with_prices: Project, tmp_path_factory, request) -> Iterator[Laboratory]:
    yield from open_laboratory(project_with_prices, tmp_path_factory, request)


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
def test_histories_reach_every_kind_of_file(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the drawn histories enough merge something, hold, refuse, reject, overtake, delete and restate."""
    # Hypothesis draws by the constants of all modules that are imported, whichever tests came before.
    none = providers.Constants()
    monkeypatch.setattr(providers, "_get_local_constants", lambda: none)
    monkeypatch.setattr(providers, "CONSTANTS_CACHE", {})
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


@settings(max_examples=1, deadline=None, suppress_health_check=ANYTHING_SLOW)
@given(batch=batches(TOGETHER).filter(has_files))
def test_production_is_what_the_reference_says(laboratory: Laboratory, batch: Batch) -> None:
    run(batch, laboratory)


@pytest.mark.long
@settings(max_examples=1_000 // TOGETHER + 1, deadline=None, suppress_health_check=ANYTHING_SLOW)
@given(batch=batches(TOGETHER))
def test_production_is_what_the_reference_says_a_thousand_times(laboratory: Laboratory, batch: Batch) -> None:
    run(batch, laboratory)


@settings(max_examples=1, deadline=None, suppress_health_check=ANYTHING_SLOW)
@given(batch=batches(6, KINDS).filter(has_files))
def test_tables_are_what_the_reference_says(tables_laboratory: Laboratory, batch: Batch) -> None:
    run(batch, tables_laboratory)


@pytest.mark.long
@settings(max_examples=60, deadline=None, suppress_health_check=ANYTHING_SLOW)
@given(batch=batches(6, KINDS))
def test_tables_are_what_the_reference_says_a_thousand_times(tables_laboratory: Laboratory, batch: Batch) -> None:
    run(batch, tables_laboratory)
