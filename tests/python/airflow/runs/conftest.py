"""Real runs: one Airflow for all of them, with S3, Kafka, SageMaker, chat and mail; each test has a day of its own."""

import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestration.local.runtime.processes import Supervised, stop_all
from orchestration.local.services import DAGS
from support.airflow_fixtures import airflow_in
from support.dag_runs import sales, scheduled_run
from support.metrics import Measured

# The first finds an Airflow in which nothing has run, the last looks at all that was measured.
ORDER = (
    *("test_daily_sales", "test_table_sync", "test_watching", "test_backfill"),
    *("test_events", "test_churn", "test_all_measures"),
)
OURS = Path(__file__).parents[2] / "support" / "dags"


def pytest_collection_modifyitems(items):
    """Each in its place."""
    here = Path(__file__).parent
    items.sort(key=lambda item: ORDER.index(item.path.stem) if item.path.parent == here else -1)


def bundle(name, folder):
    """A folder of DAGs, as Airflow is told of it."""
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return {"name": name, "classpath": local, "kwargs": {"path": str(folder)}}


BUNDLES = [bundle("dags-folder", DAGS), bundle("tests", OURS)]


@pytest.fixture(scope="package")
def airflow():
    """Airflow with its schedules on, and patience for one poke and for two missed heartbeats only."""
    settings = {
        "METRICS": "datadog,cloudwatch",
        "PIPELINES_WAIT_SECONDS": "10",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
        # No file of a DAG changes here. But what is to be told while one is read is told when it is read next.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(BUNDLES),
    }
    # Not in pytest's own folder: the next pytest that starts takes it from PostgreSQL, which as root is another user.
    with (
        tempfile.TemporaryDirectory(prefix="airflow-runs-", ignore_cleanup_errors=True) as folder,
        airflow_in(Path(folder), schedules=True, kafka=True, settings=settings) as session,
    ):
        yield session


@pytest.fixture(scope="package")
def scheduled(airflow):
    """The run that the schedule starts by itself, of yesterday; its file has come."""
    # The day whose interval has ended last; all days that it may be have a file.
    days = [datetime.fromtimestamp(time.time() - back * 86400, UTC).date().isoformat() for back in (1, 2)]
    for day in days:
        airflow.land(day, sales(day, 20))
    run = scheduled_run(airflow.airflow, airflow.dag_id)
    [facts] = airflow.airflow.call("GET", f"dags/{airflow.dag_id}/dagRuns")["dag_runs"]
    assert facts["run_type"] == "scheduled"
    return facts, run


@pytest.fixture
def told(airflow, scheduled):
    """What chat and mail receive from now on."""
    chat, mail = len(airflow.chat.messages), len(airflow.mail.messages)
    return lambda: (
        [m["text"] for m in airflow.chat.messages[chat:]],
        [m["text"] for m in airflow.mail.messages[mail:]],
    )


@pytest.fixture
def measured(airflow, scheduled):
    """What Datadog's agent receives from now on."""
    return Measured(airflow.services.metrics)


@pytest.fixture(scope="package")
def second_scheduler(airflow):
    """Starts one in place of one that was killed."""
    started = []

    def start():
        env, folder = airflow.services.env, airflow.warehouse.parent
        command = [sys.executable, "-m", "airflow", "scheduler", "--skip-serve-logs"]
        started.append(
            Supervised("the second scheduler", command, log=folder / "second.log", env=env, cwd=env["AIRFLOW_HOME"])
        )
        airflow.airflow.check = started[0].check

    yield start
    stop_all(started)
