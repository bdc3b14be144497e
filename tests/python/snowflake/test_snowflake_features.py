"""The features of customers on the local Snowflake, and what runs decide: what they are on DuckDB."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random

import pyarrow as pa
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager

from orchestration import report
from orchestration.churn.results import land_refusal, land_run, land_scores
from orchestration.churn.runs import ModelRun
from orchestration.events.objects import objects_at
from support import churn_worlds
from support.churn_worlds import FIRST, LAST, features, world
from support.snowflake_warehouse import Account
from support.warehouse import Warehouse, environment

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("snowflake")

WORLDS = 20
MEASURES = {name: {"auc": 0.5} for name in ("model", "logistic_regression", "base_rate")}
RUN = ModelRun(
    started_at=datetime(2024, 3, 2, 2, tzinfo=UTC), snapshot_date=date(2024, 1, 31), rows=2000, churners=400,
    trained_on=1440, measured_on=360, held_out=200, data_hash="d" * 64, parameters='{"max_depth": 6}',
    measures=json.dumps(MEASURES), model_hash="a" * 64, artefact="s3://models/a/churn_model_v3.tar.gz",
    decision="deployed", why="It is better, by far.", configuration_after="churn-prediction-v3-aa-bb",
)  # fmt: skip
SCORES = pa.table(
    {
        "customer_id": ["C1", "C2"], "model_hash": ["a" * 64] * 2, "probability": [0.123456789, 1.0],
        **{f"reason_{rank}": ["nps_score", "days_since_last_login"] for rank in (1, 2, 3)},
        **{f"moved_{rank}": [None, -0.25] for rank in (1, 2, 3)},
    }
)  # fmt: skip
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


@pytest.mark.long
def test_decisions_and_scores_are_loaded_as_they_are_on_duckdb(project, on_snowflake, running, tmp_path):
    day, at = date(2024, 3, 1), datetime(2024, 3, 2, 2, 5, 7, 123456, UTC)
    (tmp_path / "landing").mkdir()
    objects = objects_at(str(tmp_path / "landing"))
    land_run(objects, day, "scheduled__2024-03-01", replace(RUN, decided_at=at))
    land_refusal(objects, day, "manual, by hand", at, None, 'no "snapshot" yet,\nbut soon')
    land_scores(objects, SCORES, day, at)
    # One of before, which the newest takes the place of.
    land_scores(objects, SCORES.slice(0, 1), day, at - timedelta(days=1))
    files = {
        path.relative_to(tmp_path / "landing").as_posix(): path.read_bytes()
        for path in (tmp_path / "landing").rglob("*.csv")
    }
    loaded = []
    for warehouse in (Warehouse(project, tmp_path / "duckdb"), Account(on_snowflake, tmp_path / "w", running=running)):
        warehouse.land(files)
        built = warehouse.dbt("build", "--selector", "churn_results", "--indirect-selection", "cautious")
        assert built.succeeded, built.broken
        with environment(**warehouse.places):
            found = [
                report.ask_arrow(f"select * from prod.{name} order by 1").to_pylist()
                for name in ("model_runs", "churn_scores")
            ]
        DuckDBConnectionManager.close_all_connections()
        loaded.append(found)
    on_duckdb, there = loaded
    assert there == on_duckdb
    runs, scores = there
    assert [(run["decision"], run["snapshot_date"], run["customers"]) for run in runs] == [
        ("refused", None, None), ("deployed", date(2024, 1, 31), 2000),
    ]  # fmt: skip
    assert runs[1]["decided_at"] == at.replace(tzinfo=None)
    assert runs[0]["why"] == 'no "snapshot" yet,\nbut soon'
    assert [(one["customer_id"], one["probability"], one["moved_3"]) for one in scores] == [
        ("C1", Decimal("0.12345679"), None), ("C2", Decimal("1.00000000"), Decimal("-0.250000")),
    ]  # fmt: skip
