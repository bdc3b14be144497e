"""Tells people how a run went: chat by `slack_default`, mail by `smtp_default`.

Data never waits for alerts: every channel is tried by itself, for seconds, and what fails is one line in the log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import Any

from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook
from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowSensorTimeout

from orchestration import messages, project, report

log = logging.getLogger(__name__)

MAIL_TO = "data-alerts@company.com"
SECONDS = 5
LATE_HOURS = 2
NOTHING_NEW = "nothing_new"
# The task of table_sync that finds new files, and what it says of them: their number by table.
FINDER, NEWS = "find_new_files", "news"
TO_MEND = re.compile(r"no_(\w+_)?file_to_mend: Got ")
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
    return SlackWebhookHook(slack_webhook_conn_id="slack_default", timeout=SECONDS, retry_handlers=[])


def _mail(text: str) -> QuickSmtpNotifier:
    subject = text.splitlines()[0]
    return QuickSmtpNotifier(
        to=MAIL_TO, subject=subject, html_content=messages.for_mail(text), smtp_conn_id="smtp_default"
    )


def _post(text: str, link: str = "") -> None:
    _try("chat", lambda: _chat().send_text(messages.for_chat(text, link), unfurl_links=False, unfurl_media=False))


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


def tell_failure(context: Any, table: str | None = None) -> None:
    """Posts and mails what failed, of a table or of daily sales. Airflow calls it after a task's last try."""
    ti, error = context["ti"], context.get("exception")
    problem, waited = str(error or "").removeprefix(DBT_FAILED), isinstance(error, AirflowSensorTimeout)
    if waited and (key := getattr(getattr(ti, "task", None), "bucket_key", None)):
        problem = f"{key} has not come. {problem}"
    files = [] if waited else _asked(report.to_mend, context, table)
    mend = messages.MEND_TABLE if table else messages.MEND
    text = messages.failed(
        ti.dag_id,
        ti.task_id,
        (_run_name(context) if table else _run_date(context)) or ti.run_id,
        problem=problem,
        files=files,
        log_url=(link := getattr(ti, "log_url", "")),
        advice=messages.NO_FILE if waited else mend if files else messages.RETRY,
    )
    log.info(text)
    _post(text, link)
    _try("mail", lambda: _mail(text).notify(context))


def tell_warnings(context: Any) -> None:
    """Posts what the checks of a table found unusual. A callback of Cosmos, after a test task that has not failed."""
    ti, found = context["ti"], dict(zip(context["test_names"], context["test_results"], strict=True))
    if not found:
        return
    link = getattr(ti, "log_url", "")
    text = messages.unusual(ti.dag_id, ti.task_id, _run_name(context) or ti.run_id, found, link)
    log.warning(text)
    _post(text, link)


async def tell_late(context: dict[str, Any]) -> None:
    """Posts and mails that a run is not complete in time. Airflow's triggerer calls it at the deadline."""
    run = context["dag_run"]
    # A run that failed has told so; one that fills in the past is in nobody's way.
    if run["state"] not in ("queued", "running") or run["run_type"] == "backfill":
        return
    text = messages.late(
        run["dag_id"], run["dag_run_id"], (run["logical_date"] or run["run_after"])[:10], hours=LATE_HOURS
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
