"""Tells people how a run went: chat by `slack_default`, mail by `smtp_default`.

Data never waits for alerts: every channel is tried by itself, for seconds, and what fails is one line in the log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook
from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import RetryDecision, RetryPolicy, conf
from airflow.sdk.exceptions import AirflowSensorTimeout
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.sdk.execution_time.xcom import XCom

from orchestration import messages, project, report, settings

log = logging.getLogger(__name__)

SECONDS = settings.ALERT_SECONDS
NOTHING_NEW = "nothing_new"
# The task of table_sync that finds new files, and what it says of them: their number by table.
FINDER, NEWS = "find_new_files", "news"
# What a task says once it has told that it failed: at which try.
TOLD = "told"
FILE_TO_MEND = re.compile(r"no_(\w+_)?file_to_mend")
TO_MEND = re.compile(rf"{FILE_TO_MEND.pattern}: Got ")
DBT_FAILED = "dbt invocation completed with errors: "


class QuickSmtpHook(SmtpHook):
    """The provider waits 30 seconds, six times."""

    timeout = SECONDS
    smtp_retry_limit = 0


class QuickSmtpNotifier(SmtpNotifier):
    """A notifier that does not wait for a mail server. It needs `from_email` in the connection."""

    @cached_property
    def hook(self) -> SmtpHook:
        """The hook that sends."""
        return QuickSmtpHook(self.smtp_conn_id)


def _chat() -> SlackWebhookHook:
    return SlackWebhookHook(slack_webhook_conn_id=settings.CHAT_CONNECTION, timeout=SECONDS, retry_handlers=[])


def _mail(text: str) -> QuickSmtpNotifier:
    subject = text.splitlines()[0]
    return QuickSmtpNotifier(
        to=settings.MAIL_TO,
        subject=subject,
        html_content=messages.for_mail(text),
        smtp_conn_id=settings.MAIL_CONNECTION,
    )


def _post(text: str, link: str = "", commands: Sequence[str] = ()) -> None:
    shown = messages.for_chat(text, link, commands)
    _try("chat", lambda: _chat().send_text(shown, unfurl_links=False, unfurl_media=False))


def _post_and_mail(context: Any, text: str, link: str, commands: Sequence[str] = ()) -> None:
    log.info(text)
    _post(text, link, commands)
    _try("mail", lambda: _mail(text).notify(context))


def _try(channel: str, send: Callable[[], object]) -> None:
    try:
        send()
    except Exception as error:
        log.error("No message by %s: %s", channel, messages.clipped(f"{type(error).__name__}: {error}"))


def keep_news(project_dir: str, context: Any) -> None:
    """After the load, a callback of Cosmos: keeps for `tell_success` that nothing was new."""
    ti = context["ti"]
    # An earlier try may have loaded the files before it was killed: a retry that finds nothing new knows nothing.
    first_try = ti.max_tries - ti.task.retries + 1
    ti.xcom_push(NOTHING_NEW, ti.try_number == first_try and report.found_nothing_new())


def tell_success(context: Any) -> None:
    """Posts what the run has loaded."""
    run_date = _run_date(context)
    files = _asked(report.loaded, context, None)
    extracted = context["ti"].xcom_pull(task_ids="extract_to_staging.raw_sales_run", key=NOTHING_NEW)
    text = messages.completed(
        context["dag"].dag_id, run_date, files, totals=report.totals(files or []), news=not extracted
    )
    log.info(text)
    _post(text)


def tell_synced(context: Any) -> None:
    """Posts which tables the run has loaded."""
    news = context["ti"].xcom_pull(task_ids=FINDER, key=NEWS)
    totals = {}
    for table in news:
        files = _asked(report.loaded, context, table)
        totals[table] = None if files is None else report.totals(files)
    text = messages.synced(context["dag"].dag_id, _run_name(context), news, totals)
    log.info(text)
    _post(text)


class Unheard(Exception):
    """That a task's process has ended without a word."""


def tell_failure(context: Any, table: str | None = None) -> None:
    """Posts and mails what failed, of a table or of daily sales; of no files if the table is "".

    Airflow calls it after a task's last try: in the task's own process, or, without an exception, in the dag-processor
    for one whose worker was lost. The latter is left to `tell_unheard`, so that it is told once.
    """
    ti, error = context["ti"], context.get("exception")
    if error is None:
        return
    problem, waited = str(error).removeprefix(DBT_FAILED), isinstance(error, AirflowSensorTimeout)
    if waited and (key := getattr(getattr(ti, "task", None), "bucket_key", None)):
        problem = f"{key} has not come. {problem}"
    files = [] if waited or table == "" else _asked(report.to_mend, context, table)
    mend = messages.MEND_TABLE if table else messages.MEND
    # Files are told with all that is known of them.
    found = {test: rows for test, rows in report.failing_rows().items() if not FILE_TO_MEND.fullmatch(test)}
    text = messages.failed(
        ti.dag_id,
        ti.task_id,
        (_run_date(context) if table is None else _run_name(context)) or ti.run_id,
        problem=problem,
        files=files,
        log_url=(link := getattr(ti, "log_url", "")),
        advice=messages.NO_FILE if waited else mend if files else messages.RETRY,
        found=found,
    )
    _post_and_mail(context, text, link, messages.commands(files, found))
    if not isinstance(error, Unheard):
        ti.xcom_push(TOLD, ti.try_number)


def tell_unheard(context: Any) -> None:
    """Tells of a failed run what none of its tasks has told. Airflow's dag-processor calls it when the run has ended.

    A process that was killed tells nothing, and Airflow calls no task for it (apache/airflow#60858). What a person ends
    in Airflow is told if it is a task, for the run goes on and fails; it is not if it is the run.
    """
    dag, run_id, last = context["dag"], context["run_id"], context.get("ti")
    failed, unheard = [], []
    try:
        states = RuntimeTaskInstance.get_task_states(dag.dag_id, run_ids=[run_id]).get(run_id, {})
        if context["reason"] == "task_failure" and states and "failed" not in states.values():
            return  # somebody has cleared the run since
        failed = [task for task in dag.tasks if states.get(task.task_id) == "failed" and task.on_failure_callback]
        for task in failed:
            told = XCom.get_one(key=TOLD, dag_id=dag.dag_id, task_id=task.task_id, run_id=run_id) or 0
            # A task that was cleared since, and died before it could begin, has told of an earlier try.
            if told < (last.try_number if last and last.task_id == task.task_id else 1):
                unheard.append(task)
    except Exception as error:  # told twice is better than never
        log.warning("Airflow was not asked which tasks have failed: %s", messages.clipped(error))
        failed, unheard = [], []
    for task in unheard:
        ti = RuntimeTaskInstance.model_construct(
            dag_id=dag.dag_id, task_id=task.task_id, run_id=run_id, task=task, map_index=-1, try_number=0
        )
        for tell in task.on_failure_callback:
            tell(context | {"ti": ti, "exception": Unheard(messages.UNHEARD)})
    if not failed or context["reason"] != "task_failure":
        base = conf.get("api", "base_url", fallback="http://localhost:8080/").rstrip("/")
        text = messages.failed(
            dag.dag_id,
            None,
            _run_name(context) or run_id,
            problem=messages.REASONS.get(context["reason"], context["reason"]),
            files=[],
            log_url=(link := f"{base}/dags/{dag.dag_id}/runs/{quote(run_id)}"),
            advice=messages.RETRY,
        )
        _post_and_mail(context, text, link)


def tell_warnings(context: Any) -> None:
    """Posts what the checks of a table found unusual. A callback of Cosmos, after a test task that has not failed."""
    ti, results = context["ti"], dict(zip(context["test_names"], context["test_results"], strict=True))
    if not results:
        return
    link = getattr(ti, "log_url", "")
    text = messages.unusual(
        ti.dag_id, ti.task_id, _run_name(context) or ti.run_id, results, report.failing_rows(), link
    )
    log.warning(text)
    _post(text, link, messages.commands(tests=results))


async def tell_late(context: dict[str, Any]) -> None:
    """Posts and mails that a run is not complete in time. Airflow's triggerer calls it at the deadline."""
    run = context["dag_run"]
    # A run that failed has told so; one that fills in the past is in nobody's way.
    if run["state"] not in ("queued", "running") or run["run_type"] == "backfill":
        return
    text = messages.late(
        run["dag_id"], run["dag_run_id"], (run["logical_date"] or run["run_after"])[:10], hours=settings.LATE_HOURS
    )
    sends = {
        "chat": lambda: _chat().async_send(text=messages.for_chat(text)),
        "mail": lambda: _mail(text).async_notify(context),
    }
    for channel, send in sends.items():
        try:
            await send()
        except Exception as error:
            log.error("No message by %s: %s", channel, messages.clipped(f"{type(error).__name__}: {error}"))


class RetryUnlessToMend(RetryPolicy):
    """No retry mends a file: where that is all that failed, the alert goes out at once."""

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """Ends the task's tries if a test `no_file_to_mend` or `no_<table>_file_to_mend`, and nothing else, failed."""
        failed = str(exception).removeprefix(DBT_FAILED).splitlines()
        if failed and all(TO_MEND.match(line) for line in failed):
            return RetryDecision.fail(reason="a file is to be mended")
        return RetryDecision.default()


def _asked(
    question: Callable[[str, str | None], list[report.Row]], context: Any, table: str | None
) -> list[report.Row] | None:
    """What the warehouse answers of a table, or else of the sales of the run's date; None if it does not."""
    try:
        run_date = _run_date(context)
        if not (table or run_date):
            raise ValueError("the run's date is not known")
        project.use_connections(context, None)
        return question(table, None) if table else question("sales", run_date)
    except Exception as error:
        log.warning("The warehouse was not asked: %s", messages.clipped(error))
        return None


def _run_time(context: Any) -> datetime | None:
    """The run's time; None where Airflow tells nothing of the run, as of a task whose process was killed."""
    run = context.get("dag_run")
    return (run.logical_date or run.run_after) if run else None


def _run_date(context: Any) -> str | None:
    time = _run_time(context)
    return time.date().isoformat() if time else None


def _run_name(context: Any) -> str | None:
    time = _run_time(context)
    return f"{time:%Y-%m-%dT%H:%M}" if time else None
