"""What Airflow tells of tasks and runs that have ended.

A task tells in its own process, a run in the scheduler, where nothing may be waited for.
"""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl

from orchestration.metrics.metric import Metric, count, timing
from orchestration.metrics.sending import send

SUCCESS, FAILURE, RETRY = "success", "failure", "retry"


@hookimpl
def on_task_instance_success(previous_state: Any, task_instance: Any) -> None:
    """Counts a task that has done its work, not one that a person has marked."""
    if previous_state and _is_own(task_instance):
        _task_ended(task_instance, SUCCESS, wait=True)


@hookimpl
def on_task_instance_failed(previous_state: Any, task_instance: Any) -> None:
    """Counts a try that has failed: a retry if there is another one.

    In the scheduler it is one whose worker was lost. `tell_unheard` counts the last try of such a task, and of one
    whose process was killed, of which Airflow tells nobody.
    """
    ended = RETRY if task_instance.state == "up_for_retry" else FAILURE
    own = _is_own(task_instance)
    if previous_state and (own or ended == RETRY):
        _task_ended(task_instance, ended, wait=own)


@hookimpl
def on_dag_run_success(dag_run: Any) -> None:
    """How long a run took that has ended well."""
    _run_ended(dag_run, SUCCESS)


@hookimpl
def on_dag_run_failed(dag_run: Any) -> None:
    """How long a run took that has failed."""
    _run_ended(dag_run, FAILURE)


def _is_own(task_instance: Any) -> bool:
    """Whether it is this process that works on the task, not one that writes down what has become of it."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    return isinstance(task_instance, RuntimeTaskInstance)


def _task_ended(ti: Any, ended: str, wait: bool) -> None:
    def measure() -> list[Metric]:
        tags = {"dag": ti.dag_id, "task": ti.task_id}
        return [count(f"airflow.task.{ended}", **tags), *_duration("airflow.task.duration", ti, **tags)]

    send(measure, wait=wait)


def _run_ended(run: Any, ended: str) -> None:
    send(lambda: _duration("airflow.dag.duration", run, dag=run.dag_id, state=ended), wait=False)


def _duration(name: str, of: Any, **tags: str) -> list[Metric]:
    """How long a task or a run took; nothing of one that a person has ended before it began."""
    if not (of.start_date and of.end_date):
        return []
    return [timing(name, (of.end_date - of.start_date).total_seconds(), **tags)]
