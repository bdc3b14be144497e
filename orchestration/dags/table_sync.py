"""
### Tables

Every hour: takes what is new or restated of each configured table from the landing zone to production, behind the gate.
A table is a feed below `models/feeds` whose rows readers see in `models/marts/tables`; the tasks follow from dbt's
manifest.

| task | what |
|---|---|
| find_new_files | compares the landing zone with what is known: a table with nothing to do is skipped, without dbt |
| sync_&lt;table&gt; | load, transform, gate and merge of the table |
| validate_&lt;table&gt; | its checks in production, `<table>_quality_checks`; red while a file waits to be mended |
| notify_success | tells what was loaded |

A table that fails stops no other. A run takes all there is, of whatever day and hour, so nothing that comes late is
missed, and a run that did not happen is made up for by the next one: there is nothing to catch up or to fill in.
"""

from datetime import UTC, datetime
from functools import partial

from airflow.sdk import DAG, CronDataIntervalTimetable, get_current_context, task
from cosmos import DbtBuildLocalOperator, DbtTestLocalOperator

from orchestration.alerts.callbacks import measure_load, tell_failure, tell_synced, tell_unheard, tell_warnings
from orchestration.defaults import CHECKS, DEFAULT_ARGS, NOTIFY, WAITING
from orchestration.project import ENV, OPERATOR_KWARGS, POOL, use_connections
from orchestration.tables import tables, with_news

TABLES = tables()
# What find_new_files says to notify_success: how many new files each table with something to do has.
NEWS = "news"

with DAG(
    "table_sync",
    description="Sync every configured table from the landing zone, and check it in production",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 * * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["tables", "hourly", "production"],
    # What belongs to no table knows of no files.
    default_args=DEFAULT_ARGS | {"on_failure_callback": tell_failure},
    on_failure_callback=tell_unheard,
):

    @task.branch(**POOL)
    def find_new_files() -> list[str]:
        """Which syncs have something to do. Airflow skips the others, each with what follows it."""
        context = get_current_context()
        use_connections(context, None)
        news = with_news(TABLES)
        context["ti"].xcom_push(NEWS, news)
        return [f"sync_{name}" for name in news]

    # A table without news stops no message; one that failed does, for its own alert has said so.
    @task(trigger_rule="none_failed_min_one_success", **POOL)
    def notify_success() -> None:
        """Tells what was loaded."""
        context = get_current_context()
        tell_synced(context, news=context["ti"].xcom_pull(task_ids="find_new_files", key=NEWS) or {})

    find, notify = find_new_files(), notify_success()
    find.operator.ui_color = WAITING
    notify.operator.ui_color = NOTIFY

    # A run takes all there is, whatever its date.
    dbt = OPERATOR_KWARGS | {"env": ENV | {"RUN_DATE": ""}}
    for table in TABLES:
        told = {"on_failure_callback": partial(tell_failure, feed=table.name)}
        sync = DbtBuildLocalOperator(
            task_id=f"sync_{table.name}",
            select=table.select,
            exclude=table.exclude,
            # Only tests that read nothing of another table.
            indirect_selection="cautious",
            callback=partial(measure_load, feed=table.name, table=table.name),
            **dbt,
            **told,
        )
        validate = DbtTestLocalOperator(
            task_id=f"validate_{table.name}",
            select=table.checks,
            on_warning_callback=tell_warnings,
            **dbt,
            **told,
        )
        validate.ui_color = CHECKS
        find >> sync >> validate >> notify
