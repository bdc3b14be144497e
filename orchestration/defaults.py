"""What all DAGs have in common."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from airflow.sdk import AsyncCallback, DeadlineAlert

from orchestration import settings
from orchestration.alerts.callbacks import tell_failure, tell_late, tell_unheard
from orchestration.deadlines import RunQueued
from orchestration.retries import RetryUnlessToMend

# Of tasks in the graph.
WAITING, CHECKS, NOTIFY = "#e3f2fd", "#fff3e0", "#e8f5e9"

DEFAULT_ARGS = {
    "owner": settings.OWNER,
    "depends_on_past": False,
    "retries": settings.RETRIES,
    "retry_delay": timedelta(seconds=settings.RETRY_SECONDS),
    "retry_exponential_backoff": 2,
    "max_retry_delay": timedelta(seconds=settings.MOST_RETRY_SECONDS),
    # The client of a warehouse that is gone would ask for ever.
    "execution_timeout": timedelta(seconds=settings.TASK_SECONDS),
    "retry_policy": RetryUnlessToMend(),
}


def watched(feed: str | None = None, *, by_day: bool = False, minutes: float | None = None) -> dict[str, Any]:
    """What every DAG is given: how its tasks are tried again, and who is told when one fails or a run is late.

    An alert names the files that wait to be mended: those of a feed, `by_day` of the run's day alone. A run is late
    after the hours that the settings say, or after so many minutes, from when it is made: a run of a date long past,
    or of none, has as long as any other.
    """
    told = partial(tell_failure, feed=feed, by_day=by_day) if feed else tell_failure
    return {
        "default_args": DEFAULT_ARGS | {"on_failure_callback": told},
        "on_failure_callback": tell_unheard,
        "deadline": DeadlineAlert(
            reference=RunQueued(),
            interval=timedelta(minutes=minutes) if minutes else timedelta(hours=settings.LATE_HOURS),
            callback=AsyncCallback(tell_late, kwargs={"minutes": minutes}),
        ),
    }
