"""What Airflow knows of a failed run: which of its tasks have failed, and which of these have told nobody."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.sdk.execution_time.xcom import XCom

log = logging.getLogger(__name__)

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
    failed, untold = [], []
    for task in dag.tasks:
        indexes = [index for index, state in _instances(task, states) if state == "failed"]
        if not (indexes and task.on_failure_callback):
            continue
        failed.append(task)
        for index in indexes:
            told = XCom.get_one(
                key=TOLD, dag_id=dag.dag_id, task_id=task.task_id, run_id=run_id, map_index=index
            ) or 0  # fmt: skip
            # A task that was cleared since, and died before it could begin, has told of an earlier try.
            is_last = last and (last.task_id, getattr(last, "map_index", -1)) == (task.task_id, index)
            if told < (last.try_number if is_last else 1):
                untold.append(task)
                break
    return Failures(tuple(failed), tuple(untold))


def failed_too(context: Any) -> list[str]:
    """The other tasks of a run that have failed so far; none if Airflow does not answer."""
    ti = context["ti"]
    try:
        states = RuntimeTaskInstance.get_task_states(ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    except Exception as error:
        log.warning("Airflow was not asked which other tasks have failed: %s", error)
        return []
    # A mapped task stands there with its index.
    own = {ti.task_id, f"{ti.task_id}_{ti.map_index}"}
    return [name for name, state in states.items() if state == "failed" and name not in own]


def callbacks_of(task: Any) -> list[Any]:
    """Whom a task tells that it failed; a mapped one has them as its DAG file does."""
    found = task.on_failure_callback
    return list(found) if isinstance(found, list | tuple) else [found]


def _instances(task: Any, states: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    """The instances of a task, by their index, -1 of one that is not mapped, and their states."""
    for name, state in states.items():
        index = name.removeprefix(f"{task.task_id}_")
        if name == task.task_id:
            yield -1, state
        elif isinstance(task, MappedOperator) and index != name and index.isdecimal():
            yield int(index), state


def instance_of(task: Any, context: Any) -> RuntimeTaskInstance:
    """A task's instance in a run, of which nothing is known but that."""
    return RuntimeTaskInstance.model_construct(
        dag_id=context["dag"].dag_id, task_id=task.task_id, run_id=context["run_id"], task=task, map_index=-1,
        try_number=0,
    )  # fmt: skip
