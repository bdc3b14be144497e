"""A DAG that is watched by the one line that every DAG has; its tasks do what the file says that its run names."""

import time
from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import DAG, Param, get_current_context, task

from orchestration.alerts.timers import alert_after
from orchestration.defaults import watched

SECONDS = 6

with DAG(
    "watched_in_tests",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    params={"file": Param("", type="string")},
    **watched(minutes=2 * SECONDS / 60),
):

    def told() -> str:
        """What the task shall do."""
        return Path(get_current_context()["params"]["file"]).read_text()

    @task(**alert_after(SECONDS / 60))
    def slow() -> None:
        """Works until it is told to stop."""
        while told() == "work":
            time.sleep(0.2)

    @task
    def broken(number: int) -> None:
        """Fails when it is told to; at the first try only, or at every one."""
        what = told()
        if what == "fail" or (what == "fail once" and get_current_context()["ti"].try_number == 1):
            raise ValueError(f"broken {number}")

    slow() >> [broken.override(task_id="first")(1), broken.override(task_id="second")(2)]
