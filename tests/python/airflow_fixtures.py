"""A real Airflow for tests: scheduler, S3, chat and mail, with a folder and a warehouse of its own.

Use it with `from airflow_fixtures import airflow_session  # noqa: F401`. It takes about 30 seconds to start.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestration.local.airflow_api import Airflow, Run
from orchestration.local.report import Warehouse
from orchestration.local.services import DAGS, Services, local_services
from orchestration.local.sinks import Sink
from orchestration.local.storage import Storage

DAG_ID = "daily_sales_etl_v2"


@dataclass
class LandingZone:
    """Where tests let files arrive."""

    storage: Storage

    def land(self, day: str, content: bytes, name: str = "sales_export.csv") -> None:
        """Land a file of a day."""
        self.storage.land(f"raw/sales/{day}/{name}", content)


@dataclass
class AirflowSession:
    """What a test needs of a running Airflow."""

    services: Services
    warehouse: Path
    dag_id: str = DAG_ID

    @property
    def env(self) -> dict[str, str]:
        """The environment of Airflow and its tasks."""
        return self.services.env

    @property
    def s3(self) -> LandingZone:
        """The landing zone."""
        return LandingZone(self.services.s3)

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

    def trigger(self, day: str, seconds: float = 180) -> str:
        """Run the DAG for a day; return `success` or `failed`."""
        return self.run(day, seconds).state

    def query(self, sql: str) -> list[tuple]:
        """Read from the warehouse."""
        return Warehouse(self.warehouse).query(sql)


@contextmanager
def airflow_in(
    folder: Path,
    *,
    dag_id: str = DAG_ID,
    dags_folder: Path = DAGS,
    schedules: bool = False,
    settings: dict[str, str] | None = None,
) -> Iterator[AirflowSession]:
    """Run an Airflow with all of its state in `folder`; with `schedules`, the latest past day starts when unpaused."""
    warehouse = folder / "warehouse.duckdb"
    with local_services(
        folder / "local", warehouse=warehouse, dags_folder=dags_folder, schedules=schedules, settings=settings
    ) as services:
        yield AirflowSession(services, warehouse, dag_id)


@pytest.fixture(scope="session")
def airflow_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowSession]:
    """One Airflow for the whole test session; a test uses days of its own."""
    with airflow_in(tmp_path_factory.mktemp("airflow")) as session:
        yield session
