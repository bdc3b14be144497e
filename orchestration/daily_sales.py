"""The pipeline of daily sales, of which there are two DAGs: that of every night, and that which catches up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.sdk import DAG, get_current_context, task
from cosmos import DbtBuildLocalOperator, DbtRunLocalOperator, DbtTaskGroup, DbtTestLocalOperator, RenderConfig
from cosmos.constants import LoadMode, TestBehavior

from orchestration import settings
from orchestration.alerts.callbacks import NOTHING_NEW, keep_news, measure_load, tell_success
from orchestration.alerts.timers import alert_after
from orchestration.defaults import CHECKS, NOTIFY, WAITING, watched
from orchestration.project import (
    EXECUTION,
    OPERATOR_ARGS,
    OPERATOR_KWARGS,
    POOL,
    PROFILE,
    PROJECT_CONFIG,
    RUN_DATE,
)

DBT = {"project_config": PROJECT_CONFIG, "profile_config": PROFILE, "execution_config": EXECUTION}


def models(selector: str, tests: TestBehavior) -> RenderConfig:
    """The models that a task group runs (selectors.yml), with their tests or without."""
    return RenderConfig(selector=selector, test_behavior=tests, load_method=LoadMode.DBT_MANIFEST, emit_datasets=False)


def look_once_at_the_past(context: Any) -> None:
    """Before the sensor: while filling in or catching up, a file is there or it is not, and is not waited for."""
    run = context["dag_run"]
    catches_up = run.run_type == "scheduled" and datetime.now(UTC) - run.run_after > timedelta(days=1)
    if run.run_type == "backfill" or catches_up:
        context["task"].timeout = 0


def daily_sales(dag_id: str, **of_dag: Any) -> DAG:
    """The DAG that takes the sales files of a day to production.

    `of_dag` is what its DAG file says of it, as Airflow's DAG takes it: which days it runs for, how many at once.
    """
    with DAG(
        dag_id,
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        **watched("sales", by_day=True),
        **of_dag,
    ) as dag:
        wait = S3KeySensor(
            task_id="wait_for_sales_file",
            bucket_name=settings.BUCKET,
            bucket_key=f"{settings.PREFIX}raw/sales/{RUN_DATE}/sales_export.csv",
            aws_conn_id=settings.AWS_CONNECTION,
            mode="reschedule",
            poke_interval=settings.POKE_SECONDS,
            timeout=settings.WAIT_SECONDS,
            pre_execute=look_once_at_the_past,
        )
        wait.ui_color = WAITING

        # A table is a task; registers, a seed and views, which cost a start of dbt and little else, share starts.
        extract = DbtTaskGroup(
            "extract_to_staging",
            render_config=models("extract_to_staging", tests=TestBehavior.NONE),
            operator_args=OPERATOR_ARGS | {"callback": keep_news},
            **DBT,
        )
        with extract:
            registers = DbtBuildLocalOperator(
                task_id="registers", selector="needed_by_sales", indirect_selection="empty", **OPERATOR_KWARGS
            )
        registers >> extract.get_child_by_label("raw_sales_run")

        transform = DbtTaskGroup(
            "transform_sales",
            render_config=models("typed_sales", tests=TestBehavior.NONE),
            operator_args=OPERATOR_ARGS,
            **DBT,
        )
        with transform:
            views = DbtRunLocalOperator(task_id="views_of_sales", selector="views_of_sales", **OPERATOR_KWARGS)
        transform.get_child_by_label("typed_sales_run") >> views

        checks = DbtTestLocalOperator(
            task_id="quality_checks",
            selector="quality_checks",
            # Only what reads nothing that is not yet loaded.
            indirect_selection="cautious",
            **OPERATOR_KWARGS,
        )
        checks.ui_color = CHECKS

        load = DbtTaskGroup(
            "load_to_prod",
            render_config=models("load_to_prod", tests=TestBehavior.BUILD),
            operator_args=OPERATOR_ARGS | alert_after(settings.TASK_LATE_MINUTES),
            **DBT,
        )

        merge = load.get_child_by_label("daily_sales_model_build")
        merge.callback = partial(measure_load, feed="sales", table="daily_sales", by_day=True)

        measures = DbtBuildLocalOperator(
            task_id="update_metrics", selector="update_metrics", indirect_selection="buildable", **OPERATOR_KWARGS
        )

        @task(**POOL)
        def notify_success() -> None:
            """Tells what was loaded."""
            context = get_current_context()
            nothing_new = context["ti"].xcom_pull(task_ids="extract_to_staging.raw_sales_run", key=NOTHING_NEW)
            tell_success(context, feed="sales", news=not nothing_new)

        notify = notify_success()
        notify.operator.ui_color = NOTIFY

        wait >> extract >> transform >> checks >> [load, measures] >> notify
    return dag
