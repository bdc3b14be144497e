"""The features of customers on the local Snowflake: what they are on DuckDB, which a slow reader has proved."""

from random import Random

import pytest

from orchestration import report
from support import churn_worlds
from support.churn_worlds import FIRST, LAST, features, world
from support.snowflake_warehouse import Account
from support.warehouse import environment

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("snowflake")

WORLDS = 20
COLUMNS = (
    "snapshot_date, customer_id, days_since_last_login, support_tickets_30d, feature_adoption_score, "
    "payment_failures_90d, nps_score, churned_flag"
)


def test_features_are_those_of_duckdb_and_come_as_arrow(on_snowflake, running, tmp_path):
    random = Random(1)
    worlds = [world(f"w{number}", random) for number in range(WORLDS)]
    warehouse = Account(on_snowflake, tmp_path / "w", running=running)
    (tmp_path / "landing").mkdir()
    files = churn_worlds.land(tmp_path / "landing", worlds, random)
    objects = [path for path in (tmp_path / "landing").rglob("*") if path.is_file()]
    warehouse.land(files | {path.relative_to(tmp_path / "landing").as_posix(): path.read_bytes() for path in objects})
    selected = ("--select", "+customer_features", "--exclude-resource-type", "test", "unit_test")
    built = warehouse.dbt("build", *selected, "--vars", f"{{snapshots_from: {FIRST}, snapshots_to: {LAST}}}")
    assert built.succeeded, built.broken
    must = features(worlds)
    with environment(**warehouse.places):
        table = report.ask_arrow(f"select {COLUMNS} from prod.customer_features order by snapshot_date, customer_id")
    assert table.column_names == COLUMNS.split(", ")
    assert {tuple(row.values())[:2]: tuple(row.values())[2:] for row in table.to_pylist()} == must
