"""The DAG of the churn model: its tasks, and what they do on a warehouse, S3 and SageMaker. No scheduler is needed."""

import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from unittest import mock

import duckdb
import pyarrow as pa
import pytest
from airflow.sdk.exceptions import AirflowFailException
from dbt.adapters.duckdb.connections import DuckDBConnectionManager

from orchestration import churn_tasks, report
from orchestration import project as of_dags
from orchestration.alerts import callbacks, text
from orchestration.churn import deploying, results, runs, store
from orchestration.churn.errors import DeploymentError, RefusedError
from orchestration.deadlines import RunQueued
from orchestration.local.stand_ins.s3 import KEY, REGION, SECRET, storage
from orchestration.retries import RetryUnlessToMend
from support.churn import SERVING, customers, sagemaker, with_column
from support.warehouse import environment

# Airflow is imported once for all tests of DAGs.
pytestmark = pytest.mark.xdist_group("dags")

DAG_ID = "churn_training"
DAG_FILE = of_dags.PROJECT / "orchestration" / "dags" / f"{DAG_ID}.py"
TRAINING, DEPLOYMENT = "ml_training", "ml_deployment"
LABELLED, NEWEST = date(2024, 1, 31), date(2024, 3, 1)
AFTER = [
    f"{TRAINING}.fresh_feeds",
    f"{TRAINING}.customer_features.features_seed_build",
    f"{TRAINING}.customer_features.customer_snapshots_model_build",
    f"{TRAINING}.customer_features.customer_features_model_build",
    f"{TRAINING}.trained_model",
    f"{DEPLOYMENT}.deployed_model",
    f"{DEPLOYMENT}.scored_customers",
    f"{DEPLOYMENT}.results",
    f"{DEPLOYMENT}.notify_success",
]


def test_features_then_a_model_then_its_deployment(dag):
    after = {name: task.downstream_task_ids for name, task in dag.task_dict.items()}
    assert after.keys() == set(AFTER)
    for one, following in pairwise(AFTER):
        assert following in after[one]
    # What was decided is loaded though the deployment has failed, and the run is red all the same.
    rules = {name: task.trigger_rule for name, task in dag.task_dict.items()}
    assert rules.pop(f"{DEPLOYMENT}.results") == "all_done"
    # Customers are scored by what serves, too; but not with features that are not there or not right.
    assert rules.pop(f"{DEPLOYMENT}.scored_customers") == "all_done_min_one_success"
    assert dag.get_task(f"{DEPLOYMENT}.scored_customers").upstream_task_ids == {
        AFTER[3],
        f"{DEPLOYMENT}.deployed_model",
    }
    assert set(rules.values()) == {"all_success"}
    assert after[f"{DEPLOYMENT}.deployed_model"] >= {f"{DEPLOYMENT}.notify_success"}
    results = dag.get_task(f"{DEPLOYMENT}.results")
    assert (results.selector, results.env["RUN_DATE"]) == ("churn_results", "")
    for name in AFTER[:4]:
        assert dag.get_task(name).env["RUN_DATE"] == of_dags.RUN_DATE
    pools = {name: task.pool for name, task in dag.task_dict.items()}
    assert pools.pop(f"{DEPLOYMENT}.notify_success") == "default_pool"
    assert set(pools.values()) == {"warehouse"}


def states(dag, fails):
    """How each task ends where one fails, by the rules that Airflow has for what is behind it."""
    found = {}
    for task in dag.topological_sort():
        before = [found[name] for name in task.upstream_task_ids]
        runs = {
            "all_success": set(before) <= {"success"},
            "all_done": True,
            "all_done_min_one_success": "success" in before,
        }[task.trigger_rule]
        found[task.task_id] = ("failed" if task.task_id == fails else "success") if runs else "upstream_failed"
    return found


@pytest.mark.parametrize(
    ("fails", "scores"),
    [
        (None, True),
        (f"{DEPLOYMENT}.deployed_model", True),
        (f"{TRAINING}.trained_model", True),
        *((name, False) for name in AFTER[:4]),
        (f"{DEPLOYMENT}.results", True),
    ],
)
def test_whoever_serves_scores_and_the_run_is_red_all_the_same(dag, fails, scores):
    found = states(dag, fails)
    assert (found[f"{DEPLOYMENT}.scored_customers"] == "success") is scores
    # What is landed is loaded; a run is as its last task is.
    assert found[f"{DEPLOYMENT}.results"] == ("failed" if fails == f"{DEPLOYMENT}.results" else "success")
    assert [task.task_id for task in dag.leaves] == [f"{DEPLOYMENT}.notify_success"]
    assert found[f"{DEPLOYMENT}.notify_success"] == ("upstream_failed" if fails else "success")


def test_customers_are_scored_by_what_serves_when_a_better_model_is_not_deployed(house):
    house.has(labelled=table(LABELLED, noise=2), newest=table(NEWEST, labelled=False, seed=3))
    serving = churn_tasks.deploy(house.context(), churn_tasks.train(house.context()))
    house.has(labelled=table(LABELLED), newest=table(NEWEST, labelled=False, seed=3))
    house.plane.refuse("UpdateEndpoint", "ResourceLimitExceeded", "The account-level service limit is 0 instances")
    trained = churn_tasks.train(house.context("the next"))
    with pytest.raises(DeploymentError, match="limit"):
        churn_tasks.deploy(house.context("the next"), trained)
    assert trained["model_hash"] != serving["model_hash"]
    scored = churn_tasks.score(house.context("the next"))
    assert (scored["serving"], scored["scored"]) == (serving["model_hash"], 600)


def test_schedule_and_settings(dag):
    assert dag.timetable.expression == "0 2 * * *"
    assert type(dag.timetable).__name__ == "CronDataIntervalTimetable"
    assert dag.start_date == datetime(2024, 1, 1, tzinfo=UTC)
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert dag.description and dag.doc_md
    assert {task.owner for task in dag.tasks} == {"data-engineering"}
    [deadline] = dag.deadline
    assert (type(deadline.reference), deadline.interval) == (RunQueued, timedelta(hours=2))
    assert dag.on_failure_callback
    for task in dag.tasks:
        [told] = task.on_failure_callback
        if task.task_id == f"{DEPLOYMENT}.results":
            assert isinstance(told, partial)
            assert (told.func, told.keywords) == (callbacks.tell_failure, {"feed": "model_runs"})
        else:
            assert told == callbacks.tell_failure


def test_reading_the_file_starts_neither_dbt_nor_xgboost():
    read = (
        "import sys; from airflow.dag_processing.dagbag import DagBag; "
        f"assert DagBag({str(DAG_FILE)!r}).dags; "
        "print([name for name in sys.modules if name.startswith(('dbt.', 'xgboost', 'sklearn'))])"
    )
    environ = os.environ | {"PYTHONPATH": str(of_dags.PROJECT), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
    out = subprocess.run([sys.executable, "-c", read], env=environ, capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


class House:
    """A warehouse with features, a landing zone and a SageMaker, as the tasks of a run find them."""

    def __init__(self, folder, s3, plane):
        self.folder, self.s3, self.plane = folder, s3, plane
        self.file = folder / "warehouse.duckdb"
        self.root = folder / "landing"
        self.root.mkdir()

    def has(self, **snapshots):
        """Lets the warehouse have these features, by day."""
        # What was asked before has left it open.
        DuckDBConnectionManager.close_all_connections()
        with duckdb.connect(self.file) as connection:
            connection.execute("create schema if not exists prod")
            found = pa.concat_tables(snapshots.values())
            connection.register("found", found)
            connection.execute("create or replace table prod.customer_features as select * from found")

    def context(self, run_id="scheduled__2024-03-01T02:00:00+00:00", **params):
        """What a task knows of its run."""
        return {
            "run_id": run_id,
            "dag_run": SimpleNamespace(logical_date=datetime(2024, 3, 1, tzinfo=UTC)),
            "params": {"snapshot": None} | params,
        }

    def landed(self, feed):
        """The rows of all files of a feed, each with the path of its file."""
        return [
            (path.relative_to(self.root).as_posix(), row)
            for path in sorted((self.root / "raw" / feed).rglob("*.csv"))
            for row in csv.DictReader(io.StringIO(path.read_text()))
        ]


def table(day, labelled=True, count=600, **options):
    """A snapshot of a day; one without labels is of other customers' moods."""
    found = with_column(customers(count, **options), "snapshot_date", pa.array([day] * count))
    label = found["churned_flag"].to_pylist() if labelled else [None] * count
    return with_column(found, "churned_flag", pa.array(label, pa.int32()))


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with storage("models", tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture
def house(s3, tmp_path, monkeypatch):
    """The connection of AWS is Airflow's, with an endpoint of its own for SageMaker."""
    with sagemaker() as plane:
        found = House(tmp_path, s3, plane)
        plane.has_archive = s3.has
        connection = {
            "conn_type": "aws", "login": KEY, "password": SECRET,
            "extra": {"endpoint_url": s3.endpoint, "region_name": REGION,
                      "service_config": {"sagemaker": {"endpoint_url": plane.address}}},
        }  # fmt: skip
        monkeypatch.setitem(of_dags.ENV, "LANDING_ROOT", str(found.root))
        monkeypatch.setattr(runs, "Serving", lambda: SERVING)
        monkeypatch.setattr(deploying, "Serving", lambda: SERVING)
        account = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "",
                   "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL_S3": ""}  # fmt: skip
        with environment(**account, AIRFLOW_CONN_AWS_DEFAULT=json.dumps(connection), WAREHOUSE_PATH=str(found.file)):
            yield found


def test_a_run_trains_deploys_scores_and_lands_what_it_decided(house):
    house.has(labelled=table(LABELLED), newest=table(NEWEST, labelled=False, seed=3))
    context = house.context()
    trained = churn_tasks.train(context)
    # As the next task gets it.
    trained = json.loads(json.dumps(trained))
    assert (trained["snapshot_date"], trained["decision"]) == ("2024-01-31", "trained")
    decided = churn_tasks.deploy(context, trained)
    assert decided["decision"] == "deployed"
    verdict = decided["why"].partition(" The endpoint")[0]
    scored = churn_tasks.score(context)
    assert (scored["serving"], scored["scored"], scored["snapshot"]) == (trained["model_hash"], 600, "2024-03-01")

    [(_, begun), (path, row)] = house.landed("model_runs")
    assert (begun["decision"], begun["configuration_before"], begun["why"]) == ("deploying", "", verdict)
    assert path.startswith("raw/model_runs/2024-03-01/scheduled__2024-03-01T02-00-00-00-00.")
    assert row["run_id"] == context["run_id"]
    assert (row["decision"], row["snapshot_day"], row["customers"]) == ("deployed", "2024-01-31T00:00:00", "600")
    assert float(row["auc"]) == pytest.approx(json.loads(row["measures"])["model"]["auc"], abs=1e-6)
    assert row["base_rate_auc"] == "0.500000"
    scores = house.landed("churn_scores")
    assert len({row["customer_id"] for _, row in scores}) == 600
    # Below the day on which they were made: a run of the past that is cleared scores by what serves now.
    assert {date.fromisoformat(path.split("/")[2]) - datetime.now(UTC).date() for path, _ in scores} <= {
        timedelta(0), timedelta(days=-1)
    }  # fmt: skip
    assert {row["model_hash"] for _, row in scores} == {trained["model_hash"]}

    # Killed before it could say so, and tried again: it has deployed, once.
    again = churn_tasks.deploy(context, trained)
    assert (again["decision"], house.plane.requests.count("CreateEndpoint")) == ("same", 1)
    assert [row["decision"] for _, row in house.landed("model_runs")] == ["deploying", "deployed"]
    # Another run says what it has found.
    churn_tasks.deploy(house.context("manual__2"), trained)
    assert [row["decision"] for _, row in house.landed("model_runs")] == ["same", "deploying", "deployed"]

    message = text.model("churn_training", "2024-03-01", decided, json.loads(decided["measures"]), scored)
    assert f"Model AUC {float(row['auc']):.4f}, logistic regression" in message
    assert "\nDecision: deployed. Its AUC is" in message
    assert f"Scored 600 customers of 2024-03-01; card: s3://models/{trained['model_hash']}/card.html" in message


def test_a_run_that_is_killed_while_it_waits_for_its_deployment_has_deployed(house, monkeypatch):
    house.has(labelled=table(LABELLED))
    trained = churn_tasks.train(house.context())

    class KilledError(BaseException):
        pass

    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(results, "concluded", mock.Mock(side_effect=KilledError))
        churn_tasks.deploy(house.context(), trained)
    decided = churn_tasks.deploy(house.context(), trained)
    rows = [row for _, row in house.landed("model_runs")]
    assert [row["decision"] for row in rows] == ["deploying", "deployed"]
    assert (decided["decision"], house.plane.requests.count("CreateEndpoint")) == ("deployed", 1)
    assert decided["why"] == f"{rows[0]['why']} It was deployed by a try of this run that did not come to say so."
    assert (rows[1]["configuration_before"], rows[1]["configuration_after"]) == ("", decided["configuration_after"])


def test_what_drifts_is_told(house):
    newest = table(NEWEST, labelled=False, seed=3)
    newest = with_column(newest, "support_tickets_30d", [8] * 600)
    house.has(labelled=table(LABELLED), newest=newest)
    decided = churn_tasks.deploy(house.context(), churn_tasks.train(house.context()))
    scored = churn_tasks.score(house.context())
    assert any(one.startswith("support_tickets_30d has moved") for one in scored["drift"])
    message = text.model("churn_training", "2024-03-01", decided, json.loads(decided["measures"]), scored)
    assert "\n⚠️ Drift: support_tickets_30d has moved since the serving model was trained" in message


def test_a_snapshot_that_cannot_be_trained_on_is_told_and_is_a_row(house):
    def refused(says, **params):
        with pytest.raises(RefusedError, match=says) as found:
            churn_tasks.train(house.context(**params))
        assert RetryUnlessToMend().evaluate(found.value, 1, 3).action.name == "FAIL"
        return house.landed("model_runs")[-1][1]

    house.has(newest=table(NEWEST, labelled=False))
    row = refused(r"no snapshot yet of which it is known who has churned: the newest is of 2024-03-01\.")
    assert (row["decision"], row["snapshot_day"], row["model_hash"]) == ("refused", "", "")
    refused("There is no snapshot of 2024-02-01: build it", snapshot="2024-02-01")
    refused("after the snapshot of 2024-03-01 is not known yet", snapshot="2024-03-01")
    # An empty feed: nothing of it is known of anybody.
    unknown = with_column(table(LABELLED), "support_tickets_30d", pa.nulls(600, pa.int32()))
    house.has(labelled=unknown)
    row = refused("support_tickets_30d")
    assert row["snapshot_day"] == "2024-01-31T00:00:00"
    house.has(labelled=table(LABELLED, count=50))
    refused("The table has 50 rows")
    house.has(labelled=table(LABELLED).slice(0, 0))
    refused("no file of customers has been loaded")
    assert house.plane.requests == []


def test_a_deployment_that_fails_is_a_row_and_leaves_what_serves(house, monkeypatch):
    house.has(labelled=table(LABELLED))
    trained = churn_tasks.train(house.context())
    assert churn_tasks.score(house.context())["serving"] is None
    house.plane.refuse("CreateEndpoint", "ResourceLimitExceeded", "The account-level service limit is 0 instances")
    with pytest.raises(DeploymentError, match="limit"):
        churn_tasks.deploy(house.context(), trained)
    assert [row["decision"] for _, row in house.landed("model_runs")] == ["deploying", "failed"]
    # Tried again, it ends right, and the last decision is the one that counts.
    churn_tasks.deploy(house.context(), trained)
    rows = [row for _, row in house.landed("model_runs")]
    assert [row["decision"] for row in sorted(rows, key=lambda row: row["updated_at"])] == [
        "deploying", "failed", "deploying", "deployed"
    ]  # fmt: skip
    # No bucket: what serves serves.
    monkeypatch.setattr(churn_tasks, "_former", lambda: None)
    monkeypatch.setattr(runs.train_run, "__kwdefaults__", runs.train_run.__kwdefaults__ | {"root": "s3://nowhere"})
    with pytest.raises(store.ChurnError, match=r"was not stored in s3://nowhere\..*Set PIPELINES_MODELS_BUCKET"):
        churn_tasks.train(house.context())


def test_a_model_that_is_not_stored_any_more_stops_no_training(house):
    house.has(labelled=table(LABELLED))
    with duckdb.connect(house.file) as connection:
        connection.execute(
            f"create table prod.model_runs as select '{'0' * 64}' as model_hash, timestamp '2024-02-01' as decided_at"
        )
    assert churn_tasks.train(house.context())["trained_on"] > 0


def test_what_is_missing_before_a_run_is_told(house):
    with pytest.raises(AirflowFailException, match=r"^There is no warehouse at .*: run the DAG table_sync first\."):
        churn_tasks.require_tables(house.context())
    house.has(newest=table(NEWEST))
    with pytest.raises(AirflowFailException) as told:
        churn_tasks.require_tables(house.context())
    assert str(told.value) == (
        "Features are made of tables that are not there yet: prod.customers_history, prod.support_tickets_history, "
        "prod.payments_history, prod.nps_responses_history, prod.usage_events, prod.usage_event_copies. "
        "Run first: table_sync, realtime_event_ingestion."
    )


def test_an_endpoint_of_s3_alone_is_not_that_of_sagemaker(house):
    """A private link of S3, say, beside SageMaker itself."""
    extra = {"region_name": REGION, "service_config": {"s3": {"endpoint_url": house.s3.endpoint}}}
    connection = {"conn_type": "aws", "login": KEY, "password": SECRET, "extra": extra}
    with environment(AIRFLOW_CONN_AWS_DEFAULT=json.dumps(connection)):
        of_dags.use_connections(house.context(), None)
        assert churn_tasks._client().meta.endpoint_url == f"https://api.sagemaker.{REGION}.amazonaws.com"
    assert os.environ["AWS_ENDPOINT_URL_S3"] == house.s3.endpoint


def test_a_long_table_comes_as_arrow(house):
    house.has(labelled=table(LABELLED))
    found = report.ask_arrow('select customer_id as "Customer_ID", support_tickets_30d from prod.customer_features')
    assert found.column_names == ["customer_id", "support_tickets_30d"]
    assert (len(found), found.schema.types) == (600, [pa.string(), pa.int64()])
    assert len(report.ask_arrow("select * from prod.customer_features where false")) == 0
