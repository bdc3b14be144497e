"""What Airflow knows of a failed run: which of its tasks have failed, and which of these have told nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.sdk.execution_time.xcom import XCom

# What a task says once it has told that it failed: at which try.
TOLD = "told"


class Unheard(Exception):
    """That a task's process has ended without a word."""


@dataclass(frozen=True)
class Failures:
    """The failed tasks of a run that have somebody to tell, those that have not told, and whether the run goes on."""

    failed: tuple[Any, ...] = ()
    untold: tuple[Any, ...] = ()
    cleared: bool = False


def failures(context: Any) -> Failures:
    """What of a run has failed, given the context of its callback; raises what Airflow raises if it does not answer."""
    dag, run_id, last = context["dag"], context["run_id"], context.get("ti")
    states = RuntimeTaskInstance.get_task_states(dag.dag_id, run_ids=[run_id]).get(run_id, {})
    if context["reason"] == "task_failure" and states and not {"failed", "upstream_failed"} & set(states.values()):
        return Failures(cleared=True)
    failed = [task for task in dag.tasks if states.get(task.task_id) == "failed" and task.on_failure_callback]
    untold = []
    for task in failed:
        told = XCom.get_one(key=TOLD, dag_id=dag.dag_id, task_id=task.task_id, run_id=run_id) or 0
        # A task that was cleared since, and died before it could begin, has told of an earlier try.
        if told < (last.try_number if last and last.task_id == task.task_id else 1):
            untold.append(task)
    return Failures(tuple(failed), tuple(untold))


def instance_of(task: Any, context: Any) -> RuntimeTaskInstance:
    """A task's instance in a run, of which nothing is known but that."""
    return RuntimeTaskInstance.model_construct(
        dag_id=context["dag"].dag_id, task_id=task.task_id, run_id=context["run_id"], task=task, map_index=-1,
        try_number=0,
    )  # fmt: skip
