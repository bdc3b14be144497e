"""A small client of Airflow's REST API."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from orchestration.local.errors import LocalError

FINISHED = {"success", "failed"}
ENDED = FINISHED | {"upstream_failed", "skipped", "removed"}
POLL_SECONDS = 0.5
# An answer may take its time on a busy machine; until it is known who listens, nobody is waited for that long.
ANSWER_SECONDS = 120
FIRST_ANSWER_SECONDS = 30


@dataclass(frozen=True)
class TaskState:
    """One task of a run, as it is now."""

    task: str
    state: str | None
    tries: int
    seconds: float | None


@dataclass(frozen=True)
class Run:
    """How a run ended."""

    run_id: str
    state: str
    seconds: float
    tasks: list[TaskState]


class Airflow:
    """Talks to an Airflow without passwords; `check` raises if its processes are gone."""

    def __init__(self, url: str, check: Callable[[], object] = lambda: None) -> None:
        self.url = url
        self.check = check
        self.started = datetime.now(UTC)
        self._http = httpx.Client(base_url=url, timeout=ANSWER_SECONDS, trust_env=False)

    def __enter__(self) -> "Airflow":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, **parameters: Any) -> Any:
        """Call `/api/v2/<path>`; return the answer's JSON."""
        if "Authorization" not in self._http.headers:
            token = self._http.get("/auth/token").raise_for_status().json()["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"
        answer = self._http.request(method, f"/api/v2/{path}", **parameters)
        if answer.status_code == 401:  # the token is a day old
            del self._http.headers["Authorization"]
            return self.call(method, path, **parameters)
        return answer.raise_for_status().json() if answer.content else None

    def _until(self, what: str, seconds: float, ready: Callable[[], Any]) -> Any:
        """Ask again until there is an answer; the error says what was awaited."""
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            try:
                if answer := ready():
                    return answer
            except httpx.HTTPError as problem:
                if isinstance(problem, httpx.HTTPStatusError) and problem.response.status_code not in (404, 503):
                    raise
            if time.monotonic() > deadline:
                raise LocalError(f"{what} within {seconds:.0f} seconds; the logs of Airflow are in .local/logs.")
            time.sleep(POLL_SECONDS)

    def wait_healthy(self, seconds: float) -> None:
        """Wait until all four components have reported since this client was made."""

        def healthy() -> bool:
            # Its first answer takes seconds, for which a task would wait, give up, and try again.
            self._http.get("/execution/health", timeout=FIRST_ANSWER_SECONDS).raise_for_status()
            health = self._http.get("/api/v2/monitor/health", timeout=FIRST_ANSWER_SECONDS).raise_for_status().json()
            for component in ("scheduler", "dag_processor", "triggerer"):
                status = health[component]
                heartbeat = status.get(f"latest_{component}_heartbeat")
                if status["status"] != "healthy" or datetime.fromisoformat(heartbeat) < self.started:
                    return False
            return health["metadatabase"]["status"] == "healthy"

        self._until("Airflow did not get ready", seconds, healthy)

    def set_pool(self, name: str, slots: int, description: str) -> None:
        """Make a pool, or set its size."""
        pool = {"name": name, "slots": slots, "description": description}
        try:
            self.call("POST", "pools", json=pool)
        except httpx.HTTPStatusError as problem:
            if problem.response.status_code != 409:
                raise
            same = {"pool": name, "slots": slots, "description": description, "include_deferred": False}
            self.call("PATCH", f"pools/{name}", json=same)

    def wait_for_dag(self, dag_id: str, seconds: float = 60) -> None:
        """Wait until the DAG's file has been read since this Airflow was started."""

        def parsed() -> bool:
            if errors := self.call("GET", "importErrors")["import_errors"]:
                reason = errors[0]["stack_trace"].strip().splitlines()[-1]
                raise LocalError(f"Airflow cannot read {errors[0]['filename']}: {reason}")
            dag = self.call("GET", f"dags/{dag_id}")
            return bool(dag["last_parsed_time"]) and datetime.fromisoformat(dag["last_parsed_time"]) > self.started

        self._until(f"Airflow did not find the DAG {dag_id}", seconds, parsed)

    def unpause(self, dag_id: str) -> None:
        """Let the DAG run."""
        self.call("PATCH", f"dags/{dag_id}", json={"is_paused": False})

    def start(self, dag_id: str, time_of: str, parameters: dict[str, Any] | None = None) -> str:
        """Run a day or a time to the minute, by clearing its run if it has one already; return the run's id.

        `parameters` are those of a new run that are not the DAG's own.
        """
        run_id, date = f"manual__{time_of}", time_of if "T" in time_of else f"{time_of}T00:00"
        try:
            run = {"dag_run_id": run_id, "logical_date": f"{date}:00Z", "conf": parameters or {}}
            self.call("POST", f"dags/{dag_id}/dagRuns", json=run)
        except httpx.HTTPStatusError as problem:
            if problem.response.status_code != 409:
                raise
            self.clear(dag_id, run_id)
        return run_id

    def has_run(self, dag_id: str, time_of: str) -> bool:
        """Whether a day or a time to the minute has a run."""
        runs = self.call("GET", f"dags/{dag_id}/dagRuns", params={"run_id_pattern": f"manual__{time_of}"})
        return bool(runs["total_entries"])

    def clear(self, dag_id: str, run_id: str, only_failed: bool = False) -> None:
        """Let a run that has ended run again, all of it or what has failed in it."""
        options = {"dry_run": False, "only_failed": only_failed, "run_on_latest_version": True}
        self.call("POST", f"dags/{dag_id}/dagRuns/{run_id}/clear", json=options)

    def end_unfinished(self, dag_id: str) -> None:
        """Give up the runs that an interrupted session has left, which would hold up all others."""
        for state in ("running", "queued"):
            for run in self.call("GET", f"dags/{dag_id}/dagRuns", params={"state": state})["dag_runs"]:
                self.call("PATCH", f"dags/{dag_id}/dagRuns/{run['dag_run_id']}", json={"state": "failed"})

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """All tasks of a run, in the order in which they started."""
        answer = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"limit": 100})
        found = sorted(answer["task_instances"], key=lambda task: task["start_date"] or "later")
        return [TaskState(task["task_id"], task["state"], task["try_number"], task["duration"]) for task in found]

    def said(self, dag_id: str, run_id: str, task: str, key: str) -> str | None:
        """What a task has left under a key (XCom); None if nothing."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}/xcomEntries"
        entries = self.call("GET", path, params={"xcom_key": key})["xcom_entries"]
        if not entries:
            return None
        return self.call("GET", f"{path}/{key}", params={"deserialize": False})["value"]

    def wait(
        self, dag_id: str, run_id: str, on_change: Callable[[TaskState], None] = lambda _: None, seconds: float = 300
    ) -> Run:
        """Wait for a run to end, calling `on_change` for each task that has changed its state."""
        begun = time.monotonic()
        last: dict[str, tuple[str | None, int]] = {}

        def ended() -> Run | None:
            tasks = self.tasks(dag_id, run_id)
            for task in tasks:
                if last.get(task.task, (None, 0)) != (task.state, task.tries):
                    last[task.task] = (task.state, task.tries)
                    on_change(task)
            # Asked only when it may be so: each question takes from the tasks' time.
            if any(task.state not in ENDED for task in tasks):
                return None
            state = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]
            return Run(run_id, state, time.monotonic() - begun, tasks) if state in FINISHED else None

        return self._until(f"The run {run_id} of {dag_id} did not end", seconds, ended)

    def log(self, dag_id: str, run_id: str, task: TaskState, lines: int = 10) -> str:
        """The last lines of a task's log."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task}/logs/{max(task.tries, 1)}"
        events = self.call("GET", path, headers={"Accept": "application/json"})["content"]
        text = []
        for event in events:
            text.append(event["event"])
            text += [f"{error['exc_type']}: {error['exc_value']}" for error in event.get("error_detail") or []]
        return "\n".join("\n".join(text).splitlines()[-lines:])
