"""
### Daily sales

Takes the sales files of one day from the landing zone to `prod.daily_sales`, behind the gate. The run at 02:00 UTC
loads the day before, `raw/sales/<date>/`.

| task | what |
|---|---|
| wait_for_sales_file | until `sales_export.csv` has come, an hour at most |
| extract_to_staging | new and restated files, as they are, into `staging.raw_sales` |
| transform_sales | typed, judged file by file, deduplicated: `staging.clean_sales` |
| quality_checks | what must hold whatever comes, or nothing is merged |
| load_to_prod | merge into `prod.daily_sales` and its ledger, then the totals by day and store |
| update_metrics | the measures of the load; red while a file of the day is refused or held |
| notify_success | tells what was loaded |

Every task may be run again at any time: the same file twice changes nothing. A file that is to be mended is named in
the alert and in `staging.files_to_mend`; the others of its day are loaded.
"""

from datetime import UTC, datetime, timedelta
from functools import partial

from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.sdk import (
    DAG,
    AsyncCallback,
    CronDataIntervalTimetable,
    DeadlineAlert,
    get_current_context,
    task,
)
from cosmos import DbtRunLocalOperator, DbtTaskGroup, DbtTestLocalOperator, RenderConfig
from cosmos.constants import LoadMode, TestBehavior

from orchestration import settings
from orchestration.alerts.callbacks import (
    NOTHING_NEW,
    keep_news,
    measure_load,
    tell_failure,
    tell_late,
    tell_success,
    tell_unheard,
)
from orchestration.deadlines import RunQueued
from orchestration.defaults import CHECKS, DEFAULT_ARGS, NOTIFY, WAITING
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


with DAG(
    "daily_sales_etl_v2",
    description="Extract daily sales data, transform, load to Snowflake",
    doc_md=__doc__,
    # A cron string would be a trigger: its run at 02:00 would be of the day itself.
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["sales", "daily", "production"],
    # What waits to be mended, of the run's day.
    default_args=DEFAULT_ARGS | {"on_failure_callback": partial(tell_failure, feed="sales", by_day=True)},
    on_failure_callback=tell_unheard,
    # Not from the run's date: a run of a date long past, or of none, has two hours like any other.
    deadline=DeadlineAlert(
        reference=RunQueued(),
        interval=timedelta(hours=settings.LATE_HOURS),
        callback=AsyncCallback(tell_late),
    ),
):
    wait = S3KeySensor(
        task_id="wait_for_sales_file",
        bucket_name=settings.BUCKET,
        bucket_key=f"{settings.PREFIX}raw/sales/{RUN_DATE}/sales_export.csv",
        aws_conn_id=settings.AWS_CONNECTION,
        mode="reschedule",
        poke_interval=settings.POKE_SECONDS,
        timeout=settings.WAIT_SECONDS,
    )
    wait.ui_color = WAITING

    extract = DbtTaskGroup(
        "extract_to_staging",
        render_config=models("extract_to_staging", tests=TestBehavior.NONE),
        operator_args=OPERATOR_ARGS | {"callback": keep_news},
        **DBT,
    )
    # One start of dbt for all registers, before the load that writes them.
    with extract:
        registers = DbtRunLocalOperator(task_id="registers", selector="registers", **OPERATOR_KWARGS)
    registers >> extract.get_child_by_label("raw_sales_run")

    transform = DbtTaskGroup(
        "transform_sales",
        render_config=models("transform_sales", tests=TestBehavior.NONE),
        operator_args=OPERATOR_ARGS,
        **DBT,
    )

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
        operator_args=OPERATOR_ARGS,
        **DBT,
    )
    merge = load.get_child_by_label("daily_sales_model_build")
    merge.callback = partial(measure_load, feed="sales", table="daily_sales", by_day=True)

    metrics = DbtTaskGroup(
        "update_metrics",
        render_config=models("update_metrics", tests=TestBehavior.BUILD),
        operator_args=OPERATOR_ARGS,
        **DBT,
    )

    @task(**POOL)
    def notify_success() -> None:
        """Tells what was loaded."""
        context = get_current_context()
        nothing_new = context["ti"].xcom_pull(task_ids="extract_to_staging.raw_sales_run", key=NOTHING_NEW)
        tell_success(context, feed="sales", news=not nothing_new)

    notify = notify_success()
    notify.operator.ui_color = NOTIFY

    wait >> extract >> transform >> checks >> [load, metrics] >> notify
