"""A run that trains a model and deploys it."""

import pytest
from rich.console import Console

from orchestration.local.demos import churn_files
from orchestration.local.demos.churn import LOAD, SNAPSHOT, ChurnDemo
from support.dag_runs import hunt, scheduled_run, tries_of

# One Airflow is started for all of them.
pytestmark = pytest.mark.xdist_group("dag_runs")


def test_a_model_is_trained_and_deployed_though_both_are_killed_and_not_of_late_features(airflow, told, measured):
    """The last but the next and the long ones: its customers are none of the other tests'."""
    client, dag_id = airflow.airflow, "churn_training"
    demo = ChurnDemo(dag_id, airflow.services, Console(quiet=True))
    demo.land_all("", count=500)
    demo.dbt("", *LOAD)
    demo.dbt("", *SNAPSHOT, day=str(churn_files.SNAPSHOT))
    # Of yesterday nothing has come.
    late = scheduled_run(client, dag_id)
    states = {task.task: task.state for task in late.tasks}
    assert (late.state, states.pop("ml_training.fresh_feeds")) == ("failed", "failed")
    assert states.pop("ml_deployment.results") == "success"
    assert set(states.values()) == {"upstream_failed"}
    [text] = [text for text in told()[0] if f"❌ DAG {dag_id}" in text]
    assert "feeds_of_snapshots_are_fresh" in text
    assert f"feed=customers, newest_day={churn_files.LAST}" in text
    assert airflow.query("select count(*) from prod.model_runs") == [(0,)]

    run_id = client.start(dag_id, str(churn_files.LAST))
    killed = {"ml_training.trained_model", "ml_deployment.deployed_model"}
    hunt(airflow.warehouse, tries_of(client, dag_id, run_id, killed), worker=False, committed=False)
    run = client.wait(dag_id, run_id)
    assert run.state == "success", run
    assert {task.task for task in run.tasks if task.tries == 2} == killed
    [(decision, snapshot, hash)] = airflow.query("select decision, snapshot_date, model_hash from prod.model_runs")
    assert (decision, snapshot) == ("deployed", churn_files.SNAPSHOT)
    [endpoint] = airflow.services.sagemaker.endpoints.values()
    assert hash[:16] in endpoint.serves
    scored = airflow.query("select count(*), min(model_hash), max(model_hash) from prod.churn_scores")
    there = airflow.query(f"select count(*) from prod.customer_features where snapshot_date = '{churn_files.LAST}'")
    assert scored == [(*there[0], hash, hash)]
    [text] = [text for text in told()[0] if f"✅ DAG {dag_id} completed for {churn_files.LAST}" in text]
    assert "\nModel AUC 0." in text
    assert "\nDecision: deployed. Its AUC is 0." in text
    [(auc,)] = airflow.query("select auc from prod.model_runs")
    assert measured.last("pipeline.model.auc", dag=dag_id) == pytest.approx(float(auc), abs=1e-6)
    assert measured.last("pipeline.model.decision", dag=dag_id, decision="deployed") == 1
    client.call("PATCH", f"dags/{dag_id}", json={"is_paused": True})
