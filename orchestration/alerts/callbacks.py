"""What Airflow and Cosmos call: each asks for facts, puts them into words and sends them.

The DAG file says of which feed a callback speaks, `partial(tell_failure, feed="orders")`, and by `by_day` whether only
of the files of the run's day.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from airflow.sdk import conf
from airflow.sdk.exceptions import AirflowSensorTimeout
from airflow.sdk.execution_time.xcom import XCom

from orchestration import arrivals, metrics, project, report, settings
from orchestration.alerts import channels, facts, text
from orchestration.alerts.unheard import TOLD, Failures, Unheard, callbacks_of, failed_too, failures, instance_of
from orchestration.events.errors import LossError
from orchestration.events.lag import Lag

log = logging.getLogger(__name__)

# What a load says to the task that tells of the run: that it found nothing new.
NOTHING_NEW = "nothing_new"
# What checks that warn leave for who tells of the run.
WARNED = "warned"
# What the transform of events says to the load: what has arrived.
ARRIVED = "arrived"
# What is sent of a load, by what the warehouse calls it.
MEASURED = {
    "received": "pipeline.load.rows_received",
    "current": "pipeline.load.rows_merged",
    "rejected": "pipeline.load.rows_rejected",
    "held": "pipeline.load.rows_held",
    "refused_files": "pipeline.load.files_refused",
    "held_files": "pipeline.load.files_held",
}


def keep_news(project_dir: str, context: Any) -> None:
    """After a load, a callback of Cosmos: keeps for `tell_success` that nothing was new."""
    ti = context["ti"]
    # An earlier try may have loaded the files before it was killed: a retry that finds nothing new knows nothing.
    first_try = ti.max_tries - ti.task.retries + 1
    ti.xcom_push(NOTHING_NEW, ti.try_number == first_try and report.found_nothing_new())


def measure_load(project_dir: str, context: Any, feed: str, table: str, by_day: bool = False) -> None:
    """After a load of a feed into a table of production, a callback of Cosmos: sends what is measured of it, also if
    the run is to end red. Of all of the feed's files, or by `by_day` of those of the run's day."""
    if settings.METRICS:
        rows = _asked(partial(facts.measured, table=table), context, feed, by_day)
        _send_load(context, feed, rows)


def tell_success(context: Any, feed: str, news: bool) -> None:
    """Posts what the run has loaded of a feed for its day; without `news`, that nothing was new."""
    files = _asked(facts.loaded, context, feed, by_day=True)
    message = text.completed(
        context["dag"].dag_id, facts.run_day(context), files, totals=facts.totals(files or []), news=news
    )
    log.info(message)
    _post(message)


def tell_synced(context: Any, news: Mapping[str, int]) -> None:
    """Posts which feeds the run has loaded, given how many new files each of them had, and what checks warn of."""
    _tell_warnings(context)
    if not news:
        return
    totals = {}
    for feed in news:
        files = _asked(facts.loaded, context, feed)
        totals[feed] = None if files is None else facts.totals(files)
    message = text.synced(context["dag"].dag_id, facts.run_minute(context), news, totals)
    log.info(message)
    _post(message)


def tell_events(context: Any) -> None:
    """Posts what a run has loaded of events. A callback of the load, which the tasks before it have told."""
    ti = context["ti"]
    arrived = arrivals.Arrivals(**ti.xcom_pull(task_ids="transform_events", key=ARRIVED))
    consumed = ti.xcom_pull(task_ids="consume_kafka_events")
    lags = [one["lag"] for one in (consumed if isinstance(consumed, list) else [consumed])]

    def ask() -> list[facts.Row]:
        project.use_connections(context, None)
        return facts.loaded_events(arrived.condition(), newest=bool(settings.METRICS))

    rows = facts.answer(ask)
    message = text.loaded(context["dag"].dag_id, facts.run_minute(context), rows[0] if rows else None, lags)
    log.info(message)
    _post(message)
    _send_load(context, "events", rows)


def tell_model(context: Any, decided: Mapping[str, Any], scored: Mapping[str, Any]) -> None:
    """Posts what a run has decided on its model, and whether customers have moved."""
    run = facts.run_day(context) or context["run_id"]
    message = text.model(context["dag"].dag_id, run, decided, json.loads(decided["measures"]), scored)
    log.info(message)
    _post(message)


def tell_lag(context: Any, topic: str, share: str, lag: Lag) -> None:
    """Posts and mails that the landing zone has fallen behind a topic, or a share of its partitions, for long."""
    link = getattr(context["ti"], "log_url", "")
    message = text.lag_grows(context["dag"].dag_id, topic, share, lag.behind, lag.age, lag.since, link)
    _post_and_mail(context, message, link)


def tell_silence(context: Any, topic: str, share: str, since: str) -> None:
    """Posts and mails that nothing comes of a topic, or of a share of its partitions."""
    link = getattr(context["ti"], "log_url", "")
    _post_and_mail(context, text.silent(context["dag"].dag_id, topic, share, since, link), link)


def tell_failure(context: Any, feed: str | None = None, by_day: bool = False) -> None:
    """Posts and mails what failed, and which files of a feed wait to be mended; of no files without a feed.

    Airflow calls it after a task's last try: in the task's own process, or, without an exception, in the dag-processor
    for one whose worker was lost. The latter is left to `tell_unheard`, so that it is told once.
    """
    ti, error = context["ti"], context.get("exception")
    if error is None:
        return
    failed = report.failures_behind(error)
    problem, waited = "\n".join(map(": ".join, failed)) or str(error), isinstance(error, AirflowSensorTimeout)
    if waited and (key := getattr(getattr(ti, "task", None), "bucket_key", None)):
        problem = f"{key} has not come. {problem}"
    lost = error.lost if isinstance(error, LossError) else []
    if lost:
        problem = error.summary
    files = [] if waited or not feed else _asked(facts.to_mend, context, feed, by_day, seconds=channels.most_seconds())
    silent = bool(failed) and all(facts.asks_the_sender(node) for node, _ in failed)
    advice = (
        (waited, text.NO_FILE), (lost, text.LOSS), (files, text.MEND if by_day else text.MEND_TABLE),
        (silent, text.SILENT), (True, text.RETRY),
    )  # fmt: skip
    # Files are told with all that is known of them.
    found = {test: rows for test, rows in report.failing_rows().items() if not facts.asks_to_mend(test)}
    message = text.failed(
        ti.dag_id,
        ti.task_id,
        (facts.run_day(context) if by_day else facts.run_minute(context)) or ti.run_id,
        problem=problem,
        files=files,
        log_url=(link := getattr(ti, "log_url", "")),
        advice=next(words for holds, words in advice if holds),
        found=found,
        lost=lost,
        others=failed_too(context),
    )
    _post_and_mail(context, message, link, text.commands(files, found))
    if not isinstance(error, Unheard):
        ti.xcom_push(TOLD, ti.try_number)
        ti.xcom_push(text.PROBLEM, text.in_short(problem, files or []))


def tell_unheard(context: Any) -> None:
    """Tells of a failed run what none of its tasks has told. Airflow's dag-processor calls it when the run has ended;
    if it reads the DAG file just then, when it reads it next, `min_file_process_interval` later.

    A process that was killed tells nothing, and Airflow calls no task for it (apache/airflow#60858). What a person ends
    in Airflow is told if it is a task, for the run goes on and fails; it is not if it is the run.
    """
    try:
        known = failures(context)
    except Exception as error:  # told twice is better than never
        log.warning("Airflow was not asked which tasks have failed: %s", text.clipped(error))
        known = Failures()
    if known.cleared:
        return
    for task in known.untold:
        for tell in callbacks_of(task):
            tell(context | {"ti": instance_of(task, context), "exception": Unheard(text.UNHEARD)})
    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    untold = [task.task_id for task in known.untold]
    metrics.send(lambda: [metrics.count("airflow.task.failure", dag=dag_id, task=task) for task in untold])
    if not known.failed or context["reason"] != "task_failure":
        message = text.failed(
            dag_id,
            None,
            facts.run_minute(context) or run_id,
            problem=text.REASONS.get(context["reason"], context["reason"]),
            files=[],
            log_url=(link := _link_of_run(context)),
            advice=text.RETRY,
        )
        _post_and_mail(context, message, link)
    _tell_warnings(context)


def keep_warnings(context: Any) -> None:
    """Keeps what the checks of a task found unusual, for who tells of the run. A callback of Cosmos, after a test task
    that has not failed."""
    results = dict(zip(context["test_names"], context["test_results"], strict=True))
    if results:
        kept = {"results": results, "rows": report.failing_rows()}
        log.warning("\n".join(text.unusual_of_task(context["ti"].task_id, **kept)))
        context["ti"].xcom_push(WARNED, kept)


def _tell_warnings(context: Any) -> None:
    """Posts what the checks of a run found unusual, in one message."""
    dag, run_id = context["dag"], context["run_id"]
    warn = [task.task_id for task in dag.tasks if getattr(task, "on_warning_callback", None)]
    try:
        kept = {task: XCom.get_one(key=WARNED, dag_id=dag.dag_id, task_id=task, run_id=run_id) for task in warn}
    except Exception as error:
        log.warning("Airflow was not asked what checks warn of: %s", text.clipped(error))
        return
    kept = {task: one for task, one in kept.items() if one}
    if kept:
        run = facts.run_minute(context) or run_id
        tests = [test for one in kept.values() for test in one["results"]]
        _post(text.unusual(dag.dag_id, run, kept, link := _link_of_run(context)), link, text.commands(tests=tests))


def _link_of_run(context: Any) -> str:
    base = conf.get("api", "base_url", fallback="http://localhost:8080/").rstrip("/")
    return f"{base}/dags/{context['dag'].dag_id}/runs/{quote(context['run_id'])}"


def tell_long(context: Any, minutes: float) -> None:
    """Posts and mails that a task still runs after so many minutes. A timer calls it, beside the task."""
    ti = context["ti"]
    run = facts.run_minute(context) or ti.run_id
    metrics.send(lambda: [metrics.count("airflow.deadline.missed", dag=ti.dag_id, task=ti.task_id)])
    message = text.long(ti.dag_id, ti.task_id, run, ti.try_number, minutes, link := getattr(ti, "log_url", ""))
    _post_and_mail(context, message, link)


async def tell_late(context: dict[str, Any], minutes: float | None = None) -> None:
    """Posts and mails that a run is not complete in time, that of a day or, with `minutes`, that of a minute. Airflow's
    triggerer calls it at the deadline."""
    run = context["dag_run"]
    # A run that failed has told so; one that fills in the past is in nobody's way.
    if run["state"] not in ("queued", "running") or run["run_type"] == "backfill":
        return
    time = (run["logical_date"] or run["run_after"])[: 16 if minutes else 10]
    after = f"{minutes:g} minutes" if minutes else f"{settings.LATE_HOURS:g} hours"
    metrics.send(lambda: [metrics.count("airflow.deadline.missed", dag=run["dag_id"])], wait=False)
    message = text.late(run["dag_id"], run["dag_run_id"], time, after)
    await channels.post_and_mail_late(context, text.for_chat(message), *_as_mail(message))


def _asked(
    question: Callable[[str, str | None], list[facts.Row]],
    context: Any,
    feed: str,
    by_day: bool = False,
    seconds: float = facts.PATIENCE,
) -> list[facts.Row] | None:
    """What the warehouse answers of a feed, or of its files of the run's day; None if it does not in time."""

    def ask() -> list[facts.Row]:
        day = facts.run_day(context)
        if by_day and not day:
            raise ValueError("the run's date is not known")
        project.use_connections(context, None)
        return question(feed, day if by_day else None)

    return facts.answer(ask, seconds)


def _send_load(context: Any, feed: str, rows: Sequence[facts.Row] | None) -> None:
    """Sends what the warehouse says of a load, if it says anything."""

    def measure(row: facts.Row) -> list[metrics.Metric]:
        tags = {"dag": context["dag"].dag_id, "feed": feed}
        found = [metrics.gauge(name, int(row[of]), **tags) for of, name in MEASURED.items() if of in row]
        if row.get("newest"):
            age = (datetime.now(UTC) - row["newest"].replace(tzinfo=UTC)).total_seconds()
            found.append(metrics.gauge("pipeline.load.freshness", age, metrics.SECONDS, **tags))
        return found

    for row in rows or ():
        metrics.send(partial(measure, row))


def _post(message: str, link: str = "", commands: Sequence[str] = ()) -> None:
    channels.post(text.for_chat(message, link, commands))


def _post_and_mail(context: Any, message: str, link: str, commands: Sequence[str] = ()) -> None:
    log.info(message)
    channels.post_and_mail(context, text.for_chat(message, link, commands), *_as_mail(message))


def _as_mail(message: str) -> tuple[str, str]:
    """Its subject, the first line, and its content."""
    return message.splitlines()[0], text.for_mail(message)
