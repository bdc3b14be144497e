"""
### Tables

Every hour: takes what is new or restated of each configured table from the landing zone to production, behind the gate.
A table is a feed below `models/feeds` whose rows readers see in `models/marts/tables`; the tasks follow from dbt's
manifest.

| task | what |
|---|---|
| find_new_files | compares the landing zone with what is known: a table with nothing to do is skipped, without dbt |
| sync_&lt;table&gt; | load, transform, gate and merge of the table |
| validate_&lt;table&gt; | its checks in production, `<table>_quality_checks`; red if a file waits to be mended |
| check_freshness | once a day: red, or a warning, if nothing new has come of a table for days |
| notify_success | tells what was loaded |

A table that fails stops no other. A run takes all there is, of whatever day and hour, so nothing that comes late is
missed, and a run that did not happen is made up for by the next one: there is nothing to catch up or to fill in.
"""

import logging
from datetime import UTC, datetime
from functools import partial

from airflow.sdk import DAG, CronDataIntervalTimetable, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from cosmos import DbtBuildLocalOperator, DbtTestLocalOperator

from orchestration import settings
from orchestration.alerts.callbacks import keep_warnings, measure_load, tell_failure, tell_synced
from orchestration.alerts.timers import alert_after
from orchestration.defaults import CHECKS, NOTIFY, WAITING, watched
from orchestration.project import ENV, OPERATOR_KWARGS, POOL, use_connections
from orchestration.runs import is_first_of_day
from orchestration.tables import tables, with_news

log = logging.getLogger(__name__)

TABLES = tables()
# What find_new_files says to the others: how many new files each table with something to do has, and which tables are
# to be asked whether they are fresh.
NEWS, ASKED = "news", "asked"


def ask_of_the_tables_there_are(context):
    """Before the check of freshness: once a day, for a sender that is silent is not told of each hour."""
    asked = context["ti"].xcom_pull(task_ids="find_new_files", key=ASKED)
    if not asked:
        raise AirflowSkipException("Freshness is asked in the first run of a day, of tables that have been built.")
    context["task"].select = " ".join(table.freshness for table in TABLES if table.name in asked)


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
    **watched(),
):

    @task.branch(**POOL)
    def find_new_files() -> list[str]:
        """Which syncs have something to do. Airflow skips the others, each with what follows it."""
        context = get_current_context()
        use_connections(context, None)
        news, built = with_news(TABLES)
        asked = built if is_first_of_day(context) else []
        if not news:
            log.info("Nothing to do: no file of a table is new, restated or gone.")
        context["ti"].xcom_push(NEWS, news)
        context["ti"].xcom_push(ASKED, asked)
        return [f"sync_{name}" for name in news] + (["check_freshness"] if asked else [])

    # A table without news stops no message; one that failed does, for its own alert has said so.
    @task(trigger_rule="none_failed_min_one_success", **POOL)
    def notify_success() -> None:
        """Tells what was loaded."""
        context = get_current_context()
        tell_synced(context, news=context["ti"].xcom_pull(task_ids="find_new_files", key=NEWS) or {})

    find, notify = find_new_files(), notify_success()
    find.operator.ui_color = WAITING
    notify.operator.ui_color = NOTIFY

    freshness = DbtTestLocalOperator(
        task_id="check_freshness",
        select="test_name:is_fresh",
        pre_execute=ask_of_the_tables_there_are,
        # After what has just come, loaded or not. By the run's date: who is silent sends no file to go by.
        trigger_rule="all_done",
        on_warning_callback=keep_warnings,
        **OPERATOR_KWARGS,
    )
    freshness.ui_color = CHECKS
    find >> freshness >> notify

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
            **alert_after(settings.TASK_LATE_MINUTES),
        )
        validate = DbtTestLocalOperator(
            task_id=f"validate_{table.name}",
            select=table.checks,
            on_warning_callback=keep_warnings,
            **dbt,
            **told,
        )
        validate.ui_color = CHECKS
        find >> sync >> validate >> [freshness, notify]
