"""The features of customers are what a slow reader of the facts finds, and nothing that comes later changes them."""

import json
from datetime import date
from pathlib import Path
from random import Random

import duckdb
import pytest

from support import churn_worlds
from support.churn_worlds import FIRST, LAST, SNAPSHOTS, Fact, changed_later, end, features, world
from support.warehouse import DATABASE, Warehouse, replaced

pytestmark = pytest.mark.xdist_group("features")

# So many worlds share a warehouse: a build costs more than they do.
TOGETHER = 50
COLUMNS = (
    "snapshot_date, customer_id, days_since_last_login, support_tickets_30d, feature_adoption_score, "
    "payment_failures_90d, nps_score"
)
RANGE = ("--vars", json.dumps({"snapshots_from": str(FIRST), "snapshots_to": str(LAST)}))
BUILD = ("build", "--select", "+customer_features", "--exclude-resource-type", "test", "unit_test")
SNAPSHOTS_ONLY = ("run", "--select", "customer_snapshots", "customer_features")
# The snapshots up to this one are not to change.
KEPT = SNAPSHOTS[2]


def built(warehouse: Warehouse, worlds: list[list[Fact]], random: Random) -> Warehouse:
    """Lands the worlds and builds all snapshots."""
    warehouse.land(churn_worlds.land(warehouse.root, worlds, random))
    done = warehouse.dbt(*BUILD, *RANGE)
    assert done.succeeded, done.broken
    return warehouse


def found(warehouse: Warehouse) -> dict[tuple, tuple]:
    """What the warehouse has, by snapshot and customer."""
    rows = warehouse.query(f"select {COLUMNS}, churned_flag from prod.customer_features")
    assert len({row[:2] for row in rows}) == len(rows)
    return {row[:2]: row[2:] for row in rows}


def check(worlds: list[list[Fact]], warehouse: Warehouse) -> None:
    there, must = found(warehouse), features(worlds)
    assert there.keys() == must.keys()
    assert [(key, there[key], must[key]) for key in must if there[key] != must[key]] == []


def worlds_of(seed: int) -> tuple[list[list[Fact]], Random]:
    random = Random(seed)
    return [world(f"w{number}", random) for number in range(TOGETHER)], random


@pytest.fixture(scope="module")
def made(project, tmp_path_factory):
    """Fifty worlds and their warehouse."""
    worlds, random = worlds_of(1)
    folder = Path(tmp_path_factory.mktemp("features"))
    return worlds, built(Warehouse(project, folder / "w"), worlds, random)


def test_features_are_what_a_slow_reader_of_the_facts_finds(made):
    worlds, warehouse = made
    must = features(worlds)
    # Every column has what is unknown and what is not, and a label has both classes.
    for values in zip(*must.values(), strict=True):
        assert None in values
        assert len(set(values)) > 2
    check(worlds, warehouse)
    # Again it is the same; one day alone leaves the others alone.
    before = found(warehouse)
    assert warehouse.dbt(*SNAPSHOTS_ONLY, "--full-refresh", run_date=SNAPSHOTS[1]).succeeded
    assert found(warehouse) == before


def test_what_comes_later_changes_no_feature(project, made, tmp_path):
    """Later is what has happened later and what has become known later."""
    worlds, warehouse = made
    check_later(project, worlds, warehouse, Random(2), tmp_path)


def check_later(project, worlds, warehouse: Warehouse, random: Random, folder: Path) -> None:
    moment = end(KEPT)
    others = [changed_later(one, random, moment, f"w{number}") for number, one in enumerate(worlds)]
    other = built(Warehouse(project, folder / "later"), others, random)

    def kept(one: Warehouse) -> dict[tuple, tuple]:
        # The label is of what came later.
        return {key: row[:-1] for key, row in found(one).items() if key[0] <= KEPT}

    assert kept(warehouse)
    assert kept(other) == kept(warehouse)
    assert found(other) != found(warehouse)
    check(others, other)


def test_late_feeds_are_late_though_something_is_of_a_later_day(made):
    """Files of other feeds than customers have come up to May, events up to March, and a clock in 2031 sends one."""
    _, warehouse = made
    assert warehouse.dbt("run", "--select", "+usage_events").succeeded
    later = "'later' as event_id, timestamp '2031-01-01' as event_timestamp"
    with duckdb.connect(warehouse.folder / DATABASE) as connection:
        connection.execute(f"insert into prod.usage_events select * replace ({later}) from prod.usage_events limit 1")
    for day, late in ((date(2024, 4, 20), 5), (date(2024, 5, 2), 2)):
        tested = warehouse.dbt("test", "--select", "feeds_of_snapshots_are_fresh", run_date=day)
        assert tested.failures == {"feeds_of_snapshots_are_fresh": late}
    with duckdb.connect(warehouse.folder / DATABASE) as connection:
        connection.execute("delete from prod.usage_events where event_id = 'later'")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 16))
def test_features_of_more_worlds(project, tmp_path, seed):
    worlds, random = worlds_of(seed)
    warehouse = built(Warehouse(project, tmp_path / "w"), worlds, random)
    check(worlds, warehouse)
    check_later(project, worlds, warehouse, random, tmp_path)


# Of a model one comparison, edge or order each, and what is written in its place.
SNAPSHOT, LABEL = "customer_snapshots", "customer_features"
HAPPENED, KNOWN = "snapshots.ends_at > events.event_timestamp", "snapshots.ends_at > events.known_at"
BREAKS = {
    "a version known later": (SNAPSHOT, "snapshots.ends_at > payments.valid_from", "true"),
    "a version of before": (SNAPSHOT, "(tickets.valid_to is null or snapshots.ends_at <= tickets.valid_to)", "true"),
    "a version replaced at the end": (SNAPSHOT, "ends_at <= customers.valid_to", "ends_at < customers.valid_to"),
    "a sign-in known later": (SNAPSHOT, f" and {KNOWN}\n    where events", "\n    where events"),
    "a sign-in of later": (SNAPSHOT, f"{HAPPENED} and {KNOWN}\n    where events", f"{KNOWN}\n    where events"),
    "a use known later": (SNAPSHOT, f" and {KNOWN}\n    where\n", "\n    where\n"),
    "a use of later": (SNAPSHOT, f"{HAPPENED} and {KNOWN}\n    where\n", f"{KNOWN}\n    where\n"),
    "the first edge of use": (SNAPSHOT, "events.event_timestamp >= snapshots", "events.event_timestamp > snapshots"),
    "whether any event is known": (SNAPSHOT, "snapshots.ends_at > first_event.known_at", "true"),
    "a ticket of later": (SNAPSHOT, "snapshots.ends_at > tickets.opened_at", "true"),
    "an answer of later": (SNAPSHOT, "snapshots.ends_at > answers.responded_at", "true"),
    "who has cancelled": (
        SNAPSHOT, "(customers.cancelled_at is null or snapshots.ends_at <= customers.cancelled_at)", "true",
    ),
    "who is yet to sign up": (SNAPSHOT, "snapshots.ends_at > customers.signed_up_at", "true"),
    "the first edge of 30 days": (SNAPSHOT, "tickets.opened_at >= snapshots", "tickets.opened_at > snapshots"),
    "the first edge of 90 days": (SNAPSHOT, "interval '90 day'", "interval '91 day'"),
    "what is unknown": (
        SNAPSHOT, "case when known.knows_payments then coalesce(payments.failed_90d, 0) end",
        "coalesce(payments.failed_90d, 0)",
    ),
    "the last answer": (SNAPSHOT, "answers.responded_at desc", "answers.responded_at"),
    "the last day of the label": (LABEL, 'var("churn_window_days") + 1', 'var("churn_window_days") + 2'),
    "a label too early": (LABEL, ">= known.known_to then", "> known.known_to then"),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", BREAKS)
def test_a_model_that_is_broken_is_noticed(project, made, name):
    worlds, warehouse = made
    model, old, new = BREAKS[name]
    node = next(node for node in project.manifest.nodes.values() if node.name == model)
    kept = node.raw_code
    node.raw_code = replaced(kept, {old: new}, model)
    try:
        assert warehouse.dbt(*SNAPSHOTS_ONLY, *RANGE).succeeded
        with pytest.raises(AssertionError):
            check(worlds, warehouse)
    finally:
        node.raw_code = kept
        assert warehouse.dbt(*SNAPSHOTS_ONLY, *RANGE).succeeded
    check(worlds, warehouse)
