"""The DAGs on two Celery workers, one of which is killed: what it was at is made good by the other."""

import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from datetime import date
from pathlib import Path

import psutil
import pytest

from orchestration.local.runtime.processes import Supervised, free_port, stop_all
from support.airflow_fixtures import airflow_in
from support.reference import TABLES, Reference
from support.sales_files import file
from support.warehouse import compare_tables

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("many_workers")]

DAY, MERGE = "2024-01-05", "load_to_prod.daily_sales_model_build"
UNTIL_WORKERS = 120


def redis(folder: Path, port: int) -> Supervised:
    """A Redis on loopback that keeps nothing."""
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    return Supervised("Redis", [shutil.which("redis-server"), *options], log=folder / "redis.log")


def worker(number: int, env: dict[str, str], folder: Path) -> Supervised:
    """A Celery worker for two tasks at a time."""
    command = [sys.executable, "-m", "airflow", "celery", "worker", "--concurrency", "2", "--skip-serve-logs"]
    command += ["--celery-hostname", f"worker{number}@localhost", "--pid", str(folder / f"worker{number}.pid")]
    log = folder / f"worker{number}.log"
    return Supervised(f"worker {number}", command, log=log, env=env, cwd=Path(env["AIRFLOW_HOME"]))


def family_of(task: str, workers: list[Supervised]) -> list[psutil.Process]:
    """All processes of the worker that works on a task, given the id of its try; none if no worker does."""
    for one in workers:
        family = psutil.Process(one.pid).children(recursive=True)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                if "".join(process.cmdline()).strip() == f"airflow worker -- {task}":
                    return family
    return []


@pytest.mark.skipif(
    not shutil.which("redis-server"), reason="redis-server is missing (Debian: apt install redis-server)"
)
def test_a_day_ends_well_though_a_worker_is_killed() -> None:
    port = free_port()
    settings = {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{port}/0",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    }
    with tempfile.TemporaryDirectory(prefix="workers-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        broker = redis(folder, port)
        stack.callback(broker.stop)
        airflow = stack.enter_context(airflow_in(folder, settings=settings))
        workers = [worker(number, airflow.services.env, folder) for number in (1, 2)]
        stack.callback(stop_all, workers)
        deadline = time.monotonic() + UNTIL_WORKERS
        while not all(" ready." in (folder / f"worker{number}.log").read_text() for number in (1, 2)):
            assert time.monotonic() < deadline, [(folder / f"worker{n}.log").read_text()[-2000:] for n in (1, 2)]
            [one.check() for one in [broker, *workers]]
            time.sleep(0.5)

        content = file(date.fromisoformat(DAY), size=50)
        airflow.land(DAY, content)
        client = airflow.airflow
        client.wait_for_dag(airflow.dag_id)
        client.unpause(airflow.dag_id)
        run_id = client.start(airflow.dag_id, DAY)
        merge = client.call("GET", f"dags/{airflow.dag_id}/dagRuns/{run_id}/taskInstances/{MERGE}")["id"]
        # The worker that has begun the merge is gone, as with its machine.
        while not (family := family_of(merge, workers)):
            assert time.monotonic() < deadline + 240, "the merge was not seen at work"
            time.sleep(0.05)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        run = client.wait(airflow.dag_id, run_id, seconds=600)
        assert run.state == "success"
        assert {task.task for task in run.tasks if task.tries == 2} == {MERGE}
        assert sum(one.running for one in workers) == 1
        expected = Reference()
        expected.load({f"raw/sales/{DAY}/sales_export.csv": content})
        found = {
            name: Counter(airflow.query(f"select {', '.join(columns)} from {name}")) for name, columns in TABLES.items()
        }
        compare_tables(expected.tables(), found)
