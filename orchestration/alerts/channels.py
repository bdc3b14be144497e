"""Sends texts: chat and mail by the Airflow connections that the settings name.

Data never waits for alerts: each channel is tried by itself, for seconds, and what fails is one line in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import Any

from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook
from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk.exceptions import AirflowNotFoundException

from orchestration import settings
from orchestration.alerts.bounded import side_by_side

log = logging.getLogger(__name__)


class QuickSmtpHook(SmtpHook):
    """The provider waits 30 seconds, six times."""

    timeout = settings.ALERT_SECONDS
    smtp_retry_limit = 0


class QuickSmtpNotifier(SmtpNotifier):
    """A notifier that does not wait for a mail server. It needs `from_email` in the connection."""

    @cached_property
    def hook(self) -> SmtpHook:
        """The hook that sends."""
        return QuickSmtpHook(self.smtp_conn_id)


def post(text: str) -> None:
    """Posts a text, in Slack's own notation, to chat."""
    _try({"chat": _posts(text)})


def post_and_mail(context: Any, posted: str, subject: str, content: str) -> None:
    """Posts a text, and mails one in HTML, at the same time."""
    _try({"chat": _posts(posted), "mail": lambda: _mail(subject, content).notify(context)})


async def post_and_mail_late(context: Any, posted: str, subject: str, content: str) -> None:
    """Posts and mails from Airflow's triggerer, where nothing may block."""
    sends = {
        "chat": lambda: _chat().async_send(text=posted),
        "mail": lambda: _mail(subject, content).async_notify(context),
    }
    for channel, send in sends.items():
        try:
            await asyncio.wait_for(send(), most_seconds())
        except Exception as error:
            _failed(channel, error)


def _chat() -> SlackWebhookHook:
    return SlackWebhookHook(
        slack_webhook_conn_id=settings.CHAT_CONNECTION, timeout=settings.ALERT_SECONDS, retry_handlers=[]
    )


def _mail(subject: str, content: str) -> QuickSmtpNotifier:
    return QuickSmtpNotifier(
        to=settings.MAIL_TO, subject=subject, html_content=content, smtp_conn_id=settings.MAIL_CONNECTION
    )


def most_seconds() -> float:
    """How long a channel is tried: each of its answers is waited for, and one that comes byte by byte has no end. And
    the warehouse, of what failed: Airflow kills a failed task's process 25 seconds after its end, whatever it has still
    to say (`task_success_overtime`)."""
    return 2 * settings.ALERT_SECONDS


def _posts(text: str) -> Callable[[], object]:
    return lambda: _chat().send_text(text, unfurl_links=False, unfurl_media=False)


def _try(sends: Mapping[str, Callable[[], object]]) -> None:
    for channel, ended in side_by_side(most_seconds(), sends).items():
        if isinstance(ended, Exception):
            _failed(channel, ended)


def _failed(channel: str, error: Exception) -> None:
    # The hook of mail says it in its own words.
    if isinstance(error, AirflowNotFoundException) or isinstance(error.__context__, AirflowNotFoundException):
        _say_off(channel)
    else:
        log.error("No message by %s: %s", channel, " ".join(f"{type(error).__name__}: {error}".split())[:300])


@lru_cache  # once a task, however many messages it has
def _say_off(channel: str) -> None:
    name = {"chat": settings.CHAT_CONNECTION, "mail": settings.MAIL_CONNECTION}[channel]
    log.warning("Messages by %s are off: Airflow has no connection %s.", channel, name)
