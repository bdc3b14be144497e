"""Events from the landing zone to production: what is refused, what was taken away, what comes again."""

from pathlib import Path

import pytest

from orchestration.events.chain import Generation, Loss, begin
from orchestration.events.objects import objects_at
from orchestration.local.stand_ins.s3 import KEY, REGION, SECRET, storage
from support.commands import audited
from support.event_worlds import SENT_AT, START, Record, World, build, event, expected, found
from support.lake import BUCKET, Lake
from support.warehouse import Warehouse, environment

pytestmark = pytest.mark.xdist_group("events")

TOPIC = "user.events.v1"
DAY = 86_400


def records(*values: bytes | None, first: int = 0) -> list[Record]:
    return [Record(first + number, SENT_AT, b"k", value, None) for number, value in enumerate(values)]


def one(*objects: tuple[int, int, list[Record]]) -> World:
    """A topic of one partition."""
    return World(TOPIC, [list(objects)])


def path_of(first: int, partition: object = 0) -> str:
    return f"raw/events/{TOPIC}/0/{partition}/{first:020d}.parquet"


def rows(warehouse: Warehouse) -> list[tuple]:
    return warehouse.query("select * from prod.usage_events order by event_id, kafka_offset")


@pytest.fixture
def warehouse(project, tmp_path: Path) -> Warehouse:
    return Warehouse(project, tmp_path / "warehouse")


def test_a_broken_object_is_refused_and_the_others_go_on(warehouse):
    world = one(
        (0, 1, records(event(1))), (1, 2, records(event(2), first=1)), (2, 4, records(event(1, -1), b"", first=2))
    )
    world.land(warehouse.root, [3])
    whole = (warehouse.root / path_of(1)).read_bytes()
    (warehouse.root / path_of(1)).write_bytes(whole[:-20])
    # In a place that is not its own, and what no run of ours has written.
    other = warehouse.root / path_of(0, partition=7)
    other.parent.mkdir()
    other.write_bytes((warehouse.root / path_of(0)).read_bytes())
    (warehouse.root / path_of(0)).with_name("notes.txt").write_text("mine")
    built = build(warehouse)
    # The hole shows as well.
    assert {name for name, status in built.statuses.items() if status == "fail"} == {
        "no_events_file_to_mend",
        "event_chains_are_whole",
    }
    refused = dict(warehouse.query("select source_file, reason from staging.refused_files"))
    assert "it is no Parquet" in refused[path_of(1)]
    assert refused[path_of(0, partition=7)] == f"it says that it is {path_of(0)}"
    assert [row[0] for row in rows(warehouse)] == ["E1"]
    assert any("notes.txt is not named after an offset" in warning for warning in built.warnings)
    # Again without a change; then mended, and the other one gone.
    assert build(warehouse).statuses["no_events_file_to_mend"] == "fail"
    (warehouse.root / path_of(1)).write_bytes(whole)
    other.unlink()
    built = build(warehouse)
    assert not built.broken and not built.red
    there, must = found(warehouse), expected([world])
    assert (there.events, there.rejected, there.ledger) == (must.events, must.rejected, must.ledger)


def test_what_was_taken_away_after_it_had_landed_shows(warehouse):
    world = one((0, 1, records(event(1))), (1, 2, records(event(2), first=1)), (2, 3, records(event(3), first=2)))
    world.land(warehouse.root, [3])
    (warehouse.root / path_of(1)).unlink()
    built = build(warehouse)
    assert built.statuses["event_chains_are_whole"] == "fail"
    # It stops nothing: the rest is there.
    assert [row[0] for row in rows(warehouse)] == ["E1", "E3"]


def test_nothing_is_done_twice_and_all_of_it_comes_again_without_kafka(warehouse, project, tmp_path):
    world = one((0, 3, records(event(1), event(1, 5), b"bad")), (3, 3, []), (3, 5, records(event(2), first=3)))
    world.partitions[0][1:2] = [(3, 4, [])]
    world.partitions[0][2] = (4, 6, records(event(2), event(1, -5), first=4))
    world.land(warehouse.root, [3])
    # A log that was gone before it had landed, as a person has accepted it.
    loss = Loss(0, 1, "expired", 5, 9, "offsets 5 to 8 have expired before they were landed")
    next_one = Generation(TOPIC, 1, None, "accept-loss", {0: 6, 1: 9}, (loss,), started_at="then")
    begin(objects_at(str(warehouse.root)), next_one)
    assert not build(warehouse).red
    before = rows(warehouse)
    assert [(row[0], row[5].isoformat()) for row in before] == [
        ("E1", "2024-01-04T23:59:55"),
        ("E2", "2024-01-05T00:00:00"),
    ]
    assert warehouse.query("select * exclude source_file from prod.lost_events") == [
        (TOPIC, 0, 1, "expired", 5, 9, "offsets 5 to 8 have expired before they were landed")
    ]
    landings = warehouse.query("select landing_id from staging.landed_files")
    built = build(warehouse)
    assert any("Nothing to do: no object in raw/events/ is new" in text for text in built.messages)
    # A run of a day takes files of that day, and no messages.
    assert not warehouse.dbt("build", "--select", "raw_events", run_date=START.date()).broken
    assert warehouse.query("select landing_id from staging.landed_files") == landings
    assert rows(warehouse) == before
    # Another warehouse, from the same objects.
    again = Warehouse(project, tmp_path / "again")
    again.root.rmdir()
    again.root.symlink_to(warehouse.root)
    assert not build(again).red
    assert rows(again) == before
    assert found(again) == found(warehouse)


def test_copies_are_looked_for_as_far_back_as_a_var_says_and_an_audit_finds_the_rest(warehouse):
    bound = ("--vars", "{duplicates_within_days: 3}")
    near, far = event(1, 22 * DAY), event(2, 9 * DAY)
    world = one((0, 2, records(event(1, 20 * DAY), event(2))), (2, 4, records(near, far, first=2)))
    world.land(warehouse.root, [1])
    assert not build(warehouse, *bound).red
    world.land(warehouse.root, [1])
    assert not build(warehouse, *bound).red
    assert [(row[0], row[5].day) for row in rows(warehouse)] == [("E1", 25), ("E2", 5), ("E2", 14)]
    right, said = audited(warehouse)
    assert not right
    assert "prod.usage_events in 1 rows" in said
    # Without the bound all of it is made right.
    assert not build(warehouse, "--full-refresh").red
    assert [(row[0], row[5].day) for row in rows(warehouse)] == [("E1", 25), ("E2", 5)]


def test_a_bucket_is_a_landing_zone_of_events_too(project, tmp_path):
    with storage(BUCKET, tmp_path / "s3") as s3:
        lake = Lake(project, tmp_path / "lake", storage=s3)
        world = one((0, 2, records(event(1), b"")), (2, 3, records(event(2), first=2)))
        account = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
        for _ in range(2):
            with environment(**account, AWS_ENDPOINT_URL=s3.endpoint):
                world.land(lake.landing_root, [1])
            assert not build(lake).red
            there, must = found(lake), expected([world])
            assert (there.events, there.rejected, there.ledger) == (must.events, must.rejected, must.ledger)
