"""Tells that a task takes long, while it runs; it is not stopped."""

from __future__ import annotations

import threading
from typing import Any

from orchestration.alerts.callbacks import tell_long

# The timer of the task that this process runs: each try of a task has a process of its own.
_running: list[threading.Timer] = []


def alert_after(minutes: float) -> dict[str, Any]:
    """What an operator is given to tell, once a try, that it has run for so many minutes.

    Airflow has deadlines of runs, none of tasks, and `execution_timeout` ends a task.
    """

    def begin(context: Any) -> None:
        timer = threading.Timer(minutes * 60, tell_long, args=(context, minutes))
        timer.daemon = True  # a task that fails ends its process, and nothing is left to tell
        timer.start()
        _running.append(timer)

    def end(context: Any, result: Any = None) -> None:
        while _running:
            _running.pop().cancel()

    return {"pre_execute": begin, "post_execute": end}
