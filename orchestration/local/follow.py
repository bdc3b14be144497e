"""What happens in an Airflow, as lines of one log: runs that begin and end, what fails, and the messages sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from orchestration.alerts.text import PROBLEM
from orchestration.local.runtime.airflow_api import FINISHED, Airflow
from orchestration.local.services import Services

NEWEST = 50


class Follower:
    """Says what is new since it was asked last; what was before it was made is not."""

    def __init__(self, services: Services) -> None:
        self.client: Airflow = services.airflow
        self.sinks = {"chat": services.chat, "mail": services.mail}
        self.sent = {name: len(sink.messages) for name, sink in self.sinks.items()}
        self.runs = {key: run["state"] for key, run in self._runs().items()}
        self.failed: set[tuple[str, str, str, int]] = set()

    def news(self) -> Iterator[tuple[str, str]]:
        """Yields lines, each with the state that it is about."""
        for (dag_id, run_id), run in self._runs().items():
            before, state = self.runs.get((dag_id, run_id)), run["state"]
            what = f"{dag_id}, {_date(run)}"
            if state == before and state in FINISHED:
                continue
            self.runs[dag_id, run_id] = state
            if state == "running" and before != "running":
                yield f"{what}: runs", "dim"
            if state != "queued":
                yield from self._failures(dag_id, run_id, what)
            if state in FINISHED and before != state:
                took = f" after {run['duration']:.0f} s" if run["duration"] is not None else ""
                yield f"{what}: {state}{took}", state
        for name, sink in self.sinks.items():
            for message in sink.messages[self.sent[name] :]:
                first = (message.get("subject") or message["text"]).strip().splitlines()[0]
                yield f"  {name}: {first}", name
            self.sent[name] = len(sink.messages)

    def _runs(self) -> dict[tuple[str, str], dict[str, Any]]:
        asked = {"order_by": "-updated_at", "limit": NEWEST}
        runs = self.client.call("GET", "dags/~/dagRuns", params=asked)["dag_runs"]
        return {(run["dag_id"], run["dag_run_id"]): run for run in reversed(runs)}

    def _failures(self, dag_id: str, run_id: str, what: str) -> Iterator[tuple[str, str]]:
        for task in self.client.tasks(dag_id, run_id):
            key = (dag_id, run_id, task.task, task.tries)
            if task.state not in ("failed", "up_for_retry") or key in self.failed:
                continue
            self.failed.add(key)
            if task.state == "failed":
                why = self.client.said(dag_id, run_id, task.task, PROBLEM) or "its process ended without a word"
                yield f"{what}: {task.task} failed: {why}", "failed"
            else:
                yield f"{what}: {task.task} failed at try {task.tries}, and is tried again", "up_for_retry"


def _date(run: dict[str, Any]) -> str:
    return f"{datetime.fromisoformat(run['logical_date'] or run['run_after']):%Y-%m-%dT%H:%M}"
