"""A real Airflow for tests: scheduler, S3, chat and mail, with a folder and a warehouse of its own."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestration.local.runtime.airflow_api import Airflow, Run
from orchestration.local.services import DAGS, Services, local_services
from orchestration.local.stand_ins.sink import Sink

DAG_ID = "daily_sales_etl_v2"


@dataclass
class AirflowSession:
    """What a test needs of a running Airflow."""

    services: Services
    warehouse: Path | None
    dag_id: str = DAG_ID

    def land(self, day: str, content: bytes, name: str = "sales_export.csv") -> None:
        """Let a file of a day arrive."""
        self.services.s3.land(f"raw/sales/{day}/{name}", content)

    @property
    def chat(self) -> Sink:
        """The chat messages received."""
        return self.services.chat

    @property
    def mail(self) -> Sink:
        """The mails received."""
        return self.services.mail

    @property
    def airflow(self) -> Airflow:
        """The client of Airflow's API."""
        return self.services.airflow

    def run(self, day: str, seconds: float = 180) -> Run:
        """Run the DAG for a day (again, if it has run); return how each task ended."""
        self.airflow.wait_for_dag(self.dag_id)
        self.airflow.unpause(self.dag_id)
        return self.airflow.wait(self.dag_id, self.airflow.start(self.dag_id, day), seconds=seconds)

    def shown(self) -> str:
        """All that Airflow shows of all runs: tasks with their rendered templates, what they tell each other, logs."""
        client, pages = self.airflow, []
        for run in client.call("GET", "dags/~/dagRuns", params={"limit": 100})["dag_runs"]:
            path = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances"
            tasks = client.call("GET", path, params={"limit": 100})["task_instances"]
            assert all("rendered_fields" in task for task in tasks)
            pages += [run, tasks]
            for task in tasks:
                one = f"{path}/{task['task_id']}"
                pages.append(client.call("GET", f"{one}/xcomEntries", params={"limit": 100}))
                for number in range(1, task["try_number"] + 1):
                    pages.append(client.call("GET", f"{one}/logs/{number}", headers={"Accept": "application/json"}))
        return json.dumps(pages)

    def query(self, sql: str) -> list[tuple]:
        """Read from the warehouse."""
        return self.services.warehouse.query(sql)


@contextmanager
def airflow_in(
    folder: Path,
    *,
    dag_id: str = DAG_ID,
    on_snowflake: bool = False,
    dags_folder: Path = DAGS,
    schedules: bool = False,
    kafka: bool = False,
    settings: dict[str, str] | None = None,
) -> Iterator[AirflowSession]:
    """Run an Airflow with all of its state in `folder`; with `schedules`, the latest past day starts when unpaused."""
    warehouse = None if on_snowflake else folder / "warehouse.duckdb"
    with local_services(
        folder / "local",
        warehouse=warehouse,
        dags_folder=dags_folder,
        schedules=schedules,
        kafka=kafka,
        settings=settings,
    ) as services:
        yield AirflowSession(services, warehouse, dag_id)


def files_with(folder: Path, secrets: Collection[str]) -> list[tuple[Path, str]]:
    """The files below a folder in which a secret stands, with each."""
    texts = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert any(path.suffix == ".log" and b"dbtRunner" in text for path, text in texts.items())
    return [(path, secret) for path, text in texts.items() for secret in secrets if secret.encode() in text]
