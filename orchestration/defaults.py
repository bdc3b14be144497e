"""What all DAGs have in common."""

from __future__ import annotations

import os
from datetime import timedelta

from orchestration.retries import RetryUnlessToMend

# Of tasks in the graph.
WAITING, CHECKS, NOTIFY = "#e3f2fd", "#fff3e0", "#e8f5e9"


def seconds(name: str, default: int) -> int:
    """A time that tests and the local Airflow shorten."""
    return int(os.environ.get(f"PIPELINES_{name}_SECONDS", default))


DEFAULT_ARGS = {
    "owner": "data-engineering",
    "depends_on_past": False,
    "retries": 3,
    "retry_delay": timedelta(seconds=seconds("RETRY", 300)),
    "retry_exponential_backoff": 2,
    "max_retry_delay": timedelta(minutes=30),
    # The client of a warehouse that is gone would ask for ever.
    "execution_timeout": timedelta(hours=2),
    "retry_policy": RetryUnlessToMend(),
}
