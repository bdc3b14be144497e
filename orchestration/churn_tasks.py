"""What the tasks of churn_training do: they ask the warehouse, train, deploy, score, and land what is to be loaded."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from orchestration import metrics, report, settings
from orchestration.churn.errors import ChurnError, RefusedError
from orchestration.project import ENV, own_environment, read_connection, use_connections, use_landing_zone

if TYPE_CHECKING:
    import pyarrow as pa

    from orchestration.churn.endpoint import Client
    from orchestration.churn.runs import ModelRun
    from orchestration.events.objects import Objects

# What runs xgboost is imported where it is used: a DAG file that imports it is slow to read.
log = logging.getLogger(__name__)

NO_SNAPSHOT = "There is no snapshot of customers: no file of customers has been loaded."

# What a snapshot is made of, and which DAG loads it.
NEEDED = {
    **dict.fromkeys(
        (f"{name}_history" for name in ("customers", "support_tickets", "payments", "nps_responses")), "table_sync"
    ),
    **dict.fromkeys(("usage_events", "usage_event_copies"), "realtime_event_ingestion"),
}


def require_tables(context: Any) -> None:
    """Before the first task of a run: a plain error if a table that features are made of was never loaded."""
    use_connections(context, None)
    try:
        there = report.tables()
    except FileNotFoundError as error:
        raise AirflowFailException(f"{str(error).capitalize()}: run the DAG table_sync first.") from None
    if missing := [table for table in NEEDED if ("prod", table) not in there]:
        dags = ", ".join(dict.fromkeys(NEEDED[table] for table in missing))
        raise AirflowFailException(
            f"Features are made of tables that are not there yet: {', '.join(f'prod.{table}' for table in missing)}. "
            f"Run first: {dags}."
        )


def train(context: Any) -> dict[str, Any]:
    """Trains on the newest snapshot whose labels are complete, or on the one named; returns the run."""
    from orchestration.churn.prepared import Columns
    from orchestration.churn.results import REFUSED, land_refusal, plain
    from orchestration.churn.runs import train_run

    use_connections(context, None)
    started_at, snapshot = datetime.now(UTC), None
    try:
        snapshot = _to_train_on(context["params"]["snapshot"])
        columns = Columns(leave_out=settings.LEAVE_OUT)
        run = train_run(_features(snapshot), snapshot, started_at, columns=columns, former=_former())
    except RefusedError as error:
        land_refusal(_objects(), _day(context), context["run_id"], started_at, snapshot, str(error))
        _measure(context, REFUSED)
        raise
    return plain(run)


def deploy(context: Any, trained: dict[str, Any]) -> dict[str, Any]:
    """Deploys the model of a run if it has earned that, and lands the decision; returns the run, and its card."""
    from orchestration.churn.results import concluded, from_plain, land_run, plain
    from orchestration.churn.runs import deploy_run
    from orchestration.churn.store import ROOT, Stored

    use_connections(context, None)
    run = from_plain(trained)
    place = (_day(context), context["run_id"])

    def land(run: ModelRun) -> None:
        land_run(_objects(), *place, run)

    try:
        table = _features(run.snapshot_date)
        decided, notes = deploy_run(_client(), run, table, datetime.now(UTC), begins=land)
    except ChurnError as error:
        if error.run:
            # After what it had begun.
            land(replace(error.run, decided_at=datetime.now(UTC)))
            _measure(context, error.run.decision, error.run.measures)
        raise
    for note in notes:
        log.warning(note)
    decided = concluded(_objects(), *place, replace(decided, decided_at=datetime.now(UTC)))
    log.info("Decision: %s. %s", decided.decision, decided.why)
    land(decided)
    _measure(context, decided.decision, decided.measures)
    return plain(decided) | {"card": Stored(ROOT, decided.model_hash).page}


def score(context: Any) -> dict[str, Any]:
    """Scores the newest snapshot with the model that serves, lands that, and says how far customers have moved.

    Which one that is the endpoint says, for the run may have trained or deployed none.
    """
    from orchestration.churn.deploying import Serving, deployed
    from orchestration.churn.results import land_scores
    from orchestration.churn.runs import drift_run, score_run

    use_connections(context, None)
    now = deployed(_client(), Serving())
    if now is None:
        return {"serving": None, "scored": 0, "drift": []}
    [newest] = report.ask("select max(snapshot_date) as snapshot_date from prod.customer_features")
    snapshot = newest["snapshot_date"]
    if snapshot is None:
        raise RefusedError(NO_SNAPSHOT)
    table = _features(snapshot)
    scores = score_run(table, now.hash)
    path = land_scores(_objects(), scores, snapshot, datetime.now(UTC))
    log.info("Scored %s customers of %s: %s", f"{len(scores):,}", snapshot, path)
    drift = [found.warning for found in drift_run(table, now.hash) if found.warning]
    for warning in drift:
        log.warning(warning)
    return {
        "serving": now.hash,
        "scored": len(scores),
        "snapshot": snapshot.isoformat(),
        "drift": drift,
    }


def _measure(context: Any, decision: str, measures: str | None = None) -> None:
    """Sends what was decided on the model of a run, and how good it is if there is one."""

    def measure() -> list[metrics.Metric]:
        dag = context["dag"].dag_id
        found = [metrics.count("pipeline.model.decision", dag=dag, decision=decision)]
        if measures:
            auc = json.loads(measures)["model"]["auc"]
            found.append(metrics.gauge("pipeline.model.auc", auc, metrics.RATIO, dag=dag))
        return found

    metrics.send(measure)


def _to_train_on(named: str | None) -> date:
    """The snapshot that a run trains on."""
    if named:
        day = date.fromisoformat(named)
        [found] = report.ask(
            "select count(*) as customers, count(churned_flag) as labelled from prod.customer_features "
            f"where snapshot_date = cast('{day}' as date)"
        )
        if not found["customers"]:
            raise RefusedError(f"There is no snapshot of {day}: build it, or name another.")
        if not found["labelled"]:
            raise RefusedError(f"Who has churned after the snapshot of {day} is not known yet: name an earlier one.")
        return day
    [found] = report.ask(
        "select max(snapshot_date) as newest, "
        "max(case when churned_flag is not null then snapshot_date end) as labelled from prod.customer_features"
    )
    if found["labelled"]:
        return found["labelled"]
    if not found["newest"]:
        raise RefusedError(NO_SNAPSHOT)
    raise RefusedError(
        f"There is no snapshot yet of which it is known who has churned: the newest is of {found['newest']}. Wait "
        "until a file of customers of a day after the window has come, or build an earlier snapshot."
    )


def _features(snapshot: date) -> pa.Table:
    return report.ask_arrow(
        f"select * from prod.customer_features where snapshot_date = cast('{snapshot}' as date) order by customer_id"
    )


def _former() -> str | None:
    """The hash of the last model that was trained, if it is still stored."""
    from orchestration.churn.store import load

    if ("prod", "model_runs") not in report.tables():
        return None
    rows = report.ask(
        "select model_hash from prod.model_runs where model_hash is not null order by decided_at desc limit 1"
    )
    if not rows:
        return None
    try:
        return load(rows[0]["model_hash"]).hash
    except ChurnError as error:
        log.warning("The features are not compared with those of the last model. %s", error)
        return None


def _objects() -> Objects:
    """Where this run lands what is to be loaded. A deployment takes an hour at worst, so the credentials are new."""
    from orchestration.events.objects import objects_at

    use_landing_zone()
    return objects_at(ENV["LANDING_ROOT"])


def _client() -> Client:
    """SageMaker's client, by the connection of AWS."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

    from orchestration.churn.deploying import CLIENT

    name = settings.AWS_CONNECTION
    hook = AwsBaseHook(aws_conn_id=name, client_type="sagemaker", config=CLIENT)
    with own_environment():
        return read_connection(name, lambda: {"client": hook.get_conn()})["client"]


def _day(context: Any) -> date:
    """The run's date: `ds` wherever there is one."""
    run = context["dag_run"]
    return (run.logical_date or run.run_after).date()
