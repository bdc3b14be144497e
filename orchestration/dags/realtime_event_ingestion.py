"""
### Events

Every five minutes: lands what is new in a Kafka topic, then loads it into `prod.usage_events`, each event once.

| task | what |
|---|---|
| consume_kafka_events | lands the events as immutable objects in `raw/events/`, up to the end that the log then has |
| transform_events | typed and judged: `staging.clean_events`; skipped, without dbt, if all that has landed is loaded |
| load_to_warehouse | merge into `prod.usage_events` and its ledger |

Every task may be run again at any time: what has landed is read on from, and what is loaded is not loaded twice. A run
that was killed is finished by the next one, which loads all that has landed. Events that cannot be used are in
`staging.rejected_events`, with their reasons and offsets.

The parameters are for a run by hand. `start` is where the very first run begins. `accept_loss` goes on past events that
went from the log before they were landed, and writes down which.
"""

from datetime import UTC, datetime, timedelta
from functools import partial

from airflow.sdk import DAG, CronDataIntervalTimetable, Param, get_current_context, task
from cosmos import DbtBuildLocalOperator

from orchestration import settings
from orchestration.alerts.callbacks import tell_events, tell_failure
from orchestration.alerts.timers import alert_after
from orchestration.defaults import WAITING, watched
from orchestration.kafka import consume, skip_unless_arrived
from orchestration.project import ENV, OPERATOR_KWARGS

with DAG(
    "realtime_event_ingestion",
    description="Ingest events from Kafka, transform, load to the warehouse",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("*/5 * * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["events", "realtime", "production"],
    params={
        "topic": Param(settings.TOPIC, type="string", minLength=1),
        "batch_size": Param(settings.BATCH_SIZE, type="integer", minimum=1),
        "most_events": Param(settings.MOST_EVENTS, type="integer", minimum=1),
        "most_seconds": Param(settings.MOST_SECONDS, type="integer", minimum=1),
        "start": Param("earliest", enum=["earliest", "latest"]),
        "accept_loss": Param(False, type="boolean"),
    },
    # What lands events knows of no files.
    **watched(minutes=settings.EVENTS_LATE_MINUTES),
):

    @task(retries=3, retry_delay=timedelta(seconds=settings.KAFKA_RETRY_SECONDS), retry_exponential_backoff=0)
    def consume_kafka_events(share: int = 0) -> dict:
        """Lands what is new, of one share of the partitions."""
        return consume(get_current_context(), share)

    shares = settings.CONSUMERS
    consumed = consume_kafka_events() if shares == 1 else consume_kafka_events.expand(share=list(range(shares)))
    consumed.operator.ui_color = WAITING

    # A run takes all that has landed, whatever its date.
    dbt = OPERATOR_KWARGS | {"env": ENV | {"RUN_DATE": ""}}
    # With tests of what the tasks before have built, too.
    dbt |= {"indirect_selection": "buildable", "on_failure_callback": partial(tell_failure, feed="events")}
    transform = DbtBuildLocalOperator(
        task_id="transform_events", selector="transform_events", retries=2, pre_execute=skip_unless_arrived, **dbt
    )
    load = DbtBuildLocalOperator(
        task_id="load_to_warehouse",
        selector="load_to_warehouse",
        retries=3,
        on_success_callback=tell_events,
        **dbt,
        **alert_after(settings.TASK_LATE_MINUTES),
    )

    consumed >> transform >> load
