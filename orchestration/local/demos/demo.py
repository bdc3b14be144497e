"""What `make run`, `make run-tables` and `make run-events` have in common: they run a DAG and show what comes of it."""

import os
import time
from pathlib import Path

from rich.console import Console

from orchestration import settings
from orchestration.local.demos.sales_files import GOOD_DAYS, landing_key
from orchestration.local.errors import LocalError
from orchestration.local.runtime.airflow_api import Run, TaskState
from orchestration.local.services import PROJECT, Services
from orchestration.local.stand_ins.s3 import write_whole
from orchestration.local.stand_ins.sink import Sink
from orchestration.local.warehouses import DuckDBFile

FOLDER = PROJECT / "demo" / "landing"
ALERT_SECONDS = 30
COLOURS = {"success": "green", "failed": "red", "up_for_retry": "yellow"}
SHOWN = ("success", "failed", "up_for_retry", "upstream_failed", "skipped")


class Demo:
    """Runs of one DAG by a real Airflow, told as they go."""

    # The task after which chat is told that a run has ended well.
    teller = "notify_success"

    def __init__(self, dag_id: str, services: Services, out: Console) -> None:
        self.dag_id = dag_id
        self.services = services
        self.warehouse = services.warehouse
        self.out = out

    def begin(self) -> None:
        """Let the DAG run, once Airflow has read it."""
        self.services.airflow.wait_for_dag(self.dag_id)
        self.services.airflow.end_unfinished(self.dag_id)
        self.services.airflow.unpause(self.dag_id)

    def land(self, key: str, content: bytes, what: str) -> None:
        """Land a file, unless it is there already."""
        new = self.services.s3.land(settings.PREFIX + key, content)
        self.out.print(f"{what}: {key}" + ("" if new else " (there already)"))

    def keep(self, key: str, content: bytes) -> None:
        """Put a file where `dbt build` will find it too; it would not find the local Snowflake."""
        if isinstance(self.warehouse, DuckDBFile):
            write_whole(FOLDER / key, content)

    def run(self, time_of: str, expected: str, **parameters: object) -> Run:
        """Run the DAG for a day or a time, show what its tasks do and what chat is told; insist on how it ends."""
        airflow, seen = self.services.airflow, len(self.services.chat.messages)
        self.out.print(f"\nRun of {time_of}")

        def show(task: TaskState) -> None:
            if task.state in SHOWN:
                took = f"{task.seconds:5.1f} s" if task.seconds is not None else ""
                self.out.print(f"  {task.state:<16}{took:>8}  {task.task}", style=COLOURS.get(task.state, "dim"))

        run = airflow.wait(self.dag_id, airflow.start(self.dag_id, time_of, parameters), show)
        self.out.print(f"  {run.state} after {run.seconds:.0f} s", style=COLOURS[run.state])
        if run.state != expected:
            for task in run.tasks:
                if task.state == "failed":
                    log = airflow.log(self.dag_id, run.run_id, task)
                    self.out.print(f"\nThe end of the log of {task.task}:\n{log}\n")
            raise LocalError(
                f"the run of {time_of} ended as {run.state}, not as {expected}; the reason is above, the whole of it "
                "in .local/airflow/logs, and `make up` shows it in the browser."
            )
        if any(task.task == self.teller and task.state == "success" for task in run.tasks):
            for message in self.arrived(self.services.chat, seen, "chat", time_of):
                for line in message["text"].splitlines()[1:]:
                    self.out.print(f"  chat: {line}", style="green")
        return run

    def show_alerts(self, time_of: str, chats: int, mails: int) -> None:
        """Show what chat and mail were told of a run, after so many messages before it."""
        self.out.print("\nThe alerts that came:")
        for message in self.arrived(self.services.chat, chats, "chat", time_of):
            self.out.print("  chat: " + message["text"].strip().replace("\n", "\n    "), style="yellow")
        for message in self.arrived(self.services.mail, mails, "mail", time_of):
            self.out.print(f"  mail to {', '.join(message['to'])}: {message['subject']}", style="yellow")

    @staticmethod
    def arrived(sink: Sink, seen: int, name: str, time_of: str) -> list[dict]:
        """The messages of a run; waits for the first of them."""
        deadline = time.monotonic() + ALERT_SECONDS
        while not (new := [message for message in sink.messages[seen:] if time_of in str(message)]):
            if time.monotonic() > deadline:
                raise LocalError(f"no {name} alert came for {time_of}; the logs are in .local/airflow/logs.")
            time.sleep(0.2)
        return new


def land_demo(services: Services) -> None:
    """Land all files that `make setup` has made."""
    for path in sorted(FOLDER.rglob("*.csv")):
        services.s3.land(settings.PREFIX + path.relative_to(FOLDER).as_posix(), path)


def duckdb_file() -> Path | None:
    """The DuckDB file that `dbt build` writes too; None if DBT_TARGET asks for Snowflake."""
    target = os.environ.get("DBT_TARGET") or "duckdb"
    if target == "snowflake":
        return None
    if target != "duckdb":
        raise LocalError(f"DBT_TARGET is {target}: this runs on duckdb, the default, or on snowflake.")
    return Path(os.environ.get("WAREHOUSE_PATH") or PROJECT / "warehouse.duckdb").resolve()


def require_setup() -> None:
    """Raise unless `make setup` has been here."""
    target = "" if duckdb_file() else "snowflake"
    wanted = [PROJECT / "profiles.yml", PROJECT / "target" / target / "manifest.json"]
    wanted += [FOLDER / landing_key(day) for day in GOOD_DAYS]
    for path in wanted:
        if not path.exists():
            raise LocalError(f"{path.relative_to(PROJECT)} is missing; type `make setup`, then run this again.")
