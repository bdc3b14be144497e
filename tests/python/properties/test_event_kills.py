"""A load of events dies by SIGKILL before each of its statements and commits, and is run again: nothing lost, nothing
doubled."""

from pathlib import Path
from random import Random

import pytest

from support.event_worlds import build, expected, found, world
from support.kills import Trials
from support.warehouse import DATABASE, Project, Warehouse

pytestmark = pytest.mark.xdist_group("events")


def trials(project: Project, folder: Path, *options: str) -> Trials:
    """A warehouse with a part of some logs loaded, and all of them landed."""
    random, warehouse = Random(7), Warehouse(project, folder)
    histories = [world(f"w{number}", random) for number in range(6)]
    for one in histories:
        one.land(warehouse.root, [1] * len(one.partitions))
    assert not build(warehouse).red
    start = (folder / DATABASE).read_bytes()
    for one in histories:
        one.land(warehouse.root, [9] * len(one.partitions))
    must = expected(histories)

    def check(built) -> None:
        assert not built.red, built.statuses
        there = found(warehouse)
        assert (there.rejected, there.ledger, there.events) == (must.rejected, must.ledger, must.events)

    return Trials(
        warehouse, start, killed=lambda: build(warehouse, *options), again=lambda: build(warehouse), check=check
    )


def test_a_load_of_events_killed_after_a_commit_is_made_good_by_the_next(project, tmp_path):
    """One commit in sixteen."""
    made = trials(project, tmp_path / "w")
    statements = made.record()
    points = [point for point, text in enumerate(statements, start=1) if text.lower() == "commit"]
    for point in points[3::16]:
        made.kill(point, statements)


@pytest.mark.long
@pytest.mark.parametrize("options", [(), ("--full-refresh",)], ids=["all at once", "a full refresh"])
def test_a_load_of_events_killed_anywhere_is_made_good_by_the_next(project, tmp_path, options):
    made = trials(project, tmp_path / "w", *options)
    statements = made.record()
    for point in range(len(statements)):
        made.kill(point, statements)
    assert len(made.tried) > 5, "the points all leave the same"
