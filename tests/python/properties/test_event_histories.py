"""Whatever has landed of a log, in whatever order and however often it is loaded, production is the first copy of each
valid event, every other message is accounted for, and nothing else is there."""

import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.event_worlds import ODD, Record, World, build, event, expected, found, world
from support.warehouse import Warehouse

pytestmark = pytest.mark.xdist_group("events")

# So many worlds share a warehouse, each with a topic and ids of its own: a build costs more than they do.
TOGETHER = 20


def check(warehouse: Warehouse, landed: list[World], *options: str) -> None:
    """Builds, and compares."""
    built = build(warehouse, *options)
    assert not built.red, built.statuses
    there, must = found(warehouse), expected(landed)
    assert there.rejected == must.rejected
    assert there.ledger == must.ledger
    assert there.events == must.events


def run(project, seed: int) -> None:
    random = Random(seed)
    histories = [world(f"w{number}", random) for number in range(TOGETHER)]
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(project, Path(folder, "w"))
        for one in histories:
            one.land(warehouse.root, [random.randint(0, 3) for _ in one.partitions])
        check(warehouse, histories)
        for one in histories:
            one.land(warehouse.root, [9] * len(one.partitions))
        check(warehouse, histories)
        # Made anew from what arrived: the same.
        check(warehouse, histories, "--full-refresh")


# A smaller seed is no smaller history.
OPTIONS = {"deadline": None, "phases": [Phase.generate], "suppress_health_check": list(HealthCheck)}


@settings(max_examples=1, **OPTIONS)
@given(st.integers(0, 2**32))
def test_production_is_the_first_copy_of_each_event(project, seed):
    run(project, seed)


@pytest.mark.long
@settings(max_examples=40, **OPTIONS)
@given(st.integers(0, 2**32))
def test_production_is_the_first_copy_of_each_event_at_length(project, seed):
    run(project, seed)


def test_what_is_typed_a_few_objects_at_a_time_is_the_same(project):
    """As much backlog is, so that it takes no more memory than little."""
    with project.with_macros({"duckdb__landings_in_parts": {"rows=200000": "rows=5"}}):
        run(project, 1)


def test_no_message_stops_the_others(project, tmp_path):
    """Each odd message beside a good one; and one of ten megabytes, one that is nested 10,000 deep."""
    warehouse = Warehouse(project, tmp_path / "w")
    odd = [make(100 + number, number) for number, make in enumerate(ODD)]
    odd.append(event(200, properties={"large": "x" * 10_000_000}))
    records, offset = [], 0
    for number, sent in enumerate(odd):
        records += [Record(offset, None, None, sent, None), Record(offset + 1, 0, b"\xff", event(number), [])]
        offset += 2
    topic = World("user.events.v1", [[(0, offset, records)]])
    topic.land(warehouse.root, [1])
    check(warehouse, [topic])
    deep = event(300)[:-1] + b', "properties": {"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}"
    topic.partitions[0].append((offset, offset + 1, [Record(offset, 0, b"k", deep, None)]))
    topic.land(warehouse.root, [1])
    assert not build(warehouse).red
    [(length,)] = warehouse.query(
        "select length(cast(properties as varchar)) from prod.usage_events where event_id = 'E300'"
    )
    assert length == 20_000 + len('{"a":}')
