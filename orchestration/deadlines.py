"""When a run is late, as Airflow counts it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseDeadlineReference


class RunQueued(BaseDeadlineReference):
    """From when a run was queued, that is made, whatever its date.

    Airflow's own `DAGRUN_QUEUED_AT` is the same, but Airflow 3.3 answers 500 to clearing a run that has it
    (apache/airflow#70368). Airflow knows this one by the plugin in `orchestration/plugins`.
    """

    def _evaluate_with(self, **_: Any) -> datetime:
        """Airflow asks while it makes the run."""
        return datetime.now(UTC)
