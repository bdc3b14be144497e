"""
### Tables

Every hour: takes what is new or restated of each configured table from the landing zone to production, behind the gate.
A table is a folder below `models/tables` with one contract; the tasks follow from dbt's manifest.

| task | what |
|---|---|
| find_new_files | compares the landing zone with what is known: a table with nothing to do is skipped, without dbt |
| sync_and_validate_together | what follows, for all tables that have something to do, by one dbt |
| sync_&lt;table&gt; | load, transform, gate and merge of the table, unless that has been done together |
| validate_&lt;table&gt; | its checks in production, `<table>_quality_checks`, likewise; red while a file waits |
| notify_success | tells what was loaded |

A table that fails stops no other. A run takes all there is, of whatever day and hour, so nothing that comes late is
missed, and a run that did not happen is made up for by the next one: there is nothing to catch up or to fill in.
"""

from datetime import UTC, datetime
from functools import partial

from airflow.sdk import DAG, CronDataIntervalTimetable, get_current_context, task

from orchestration import alerts
from orchestration.defaults import CHECKS, DEFAULT_ARGS, NOTIFY, WAITING
from orchestration.project import ENV, OPERATOR_KWARGS, POOL, use_connections
from orchestration.sync import TOGETHER, Sync, Together, Validate
from orchestration.tables import tables, with_news

TABLES = tables()

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
    default_args=DEFAULT_ARGS | {"on_failure_callback": partial(alerts.tell_failure, table="")},
    on_failure_callback=alerts.tell_unheard,
):

    @task.short_circuit(task_id=alerts.FINDER, **POOL)
    def find_new_files() -> bool:
        """Whether there is something to do, and for which tables."""
        context = get_current_context()
        use_connections(context, None)
        news = with_news(TABLES)
        context["ti"].xcom_push(alerts.NEWS, news)
        return bool(news)

    # What ran was a part of the run, if a table failed: that is told by the table's own alert.
    @task(trigger_rule="none_failed_min_one_success", **POOL)
    def notify_success() -> None:
        """Tells what was loaded."""
        alerts.tell_synced(get_current_context())

    find, notify = find_new_files(), notify_success()
    find.operator.ui_color = WAITING
    notify.operator.ui_color = NOTIFY

    # Only tests that read nothing of another table.
    build = OPERATOR_KWARGS | {"env": ENV | {"RUN_DATE": ""}, "indirect_selection": "cautious"}
    # Whatever becomes of it is made good by the syncs, which come after it and tell of it.
    together = Together(task_id=TOGETHER, tables=TABLES, retries=0, on_failure_callback=None, **build)
    find >> together
    for table in TABLES:
        told = {"on_failure_callback": partial(alerts.tell_failure, table=table.name)}
        sync = Sync(
            task_id=f"sync_{table.name}",
            select=table.select,
            exclude=table.exclude,
            trigger_rule="all_done_min_one_success",
            **build,
            **told,
        )
        validate = Validate(
            task_id=f"validate_{table.name}",
            select=table.checks,
            on_warning_callback=alerts.tell_warnings,
            **OPERATOR_KWARGS | {"env": build["env"]},
            **told,
        )
        validate.ui_color = CHECKS
        [find, together] >> sync
        sync >> validate >> notify
