"""What all DAGs have in common."""

from __future__ import annotations

from datetime import timedelta

from orchestration import settings
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
