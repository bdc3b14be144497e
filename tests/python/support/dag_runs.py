"""What is done to runs of a real Airflow: files land, tasks and processes are killed, the warehouse is held."""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import psutil
import pytest

from orchestration.local.runtime.airflow_api import Airflow, Run
from support.airflow_fixtures import AirflowSession
from support.reference import TABLES, Reference
from support.warehouse import compare_tables

HEADER = "sale_id,store_id,customer_id,product_id,quantity,unit_price,discount_amount,currency,sold_at,updated_at\n"


def sales(day: str, count: int, prefix: str = "s") -> bytes:
    """A file of good sales."""
    row = "{key},store,,product,2,3.50,,EUR,{day}T10:00:00Z,{day}T11:00:00Z\n"
    return (HEADER + "".join(row.format(key=f"{prefix}-{day}-{i}", day=day) for i in range(count))).encode()


def loaded_once(day: str) -> Reference:
    """What ten good sales of a day come to."""
    expected = Reference()
    expected.load({f"raw/sales/{day}/sales_export.csv": sales(day, 10)})
    return expected


def compare_day(airflow: AirflowSession, expected: Reference, day: str) -> None:
    """Fails unless what production has of a day is what the reference says."""
    of_day = {name: "day" if name == "prod.sales_by_day" else "file_date" for name in TABLES}
    of_day["prod.daily_sales"] = "sold_at::date"
    rows = {
        name: Counter(airflow.query(f"select {', '.join(columns)} from {name} where {of_day[name]} = '{day}'"))
        for name, columns in TABLES.items()
    }
    compare_tables(expected.tables(), rows)


def age_of_newest(airflow: AirflowSession, table: str) -> Any:
    """How long ago the newest row of a table of production was changed, in seconds; less than 0 if it is yet to be."""
    [(newest,)] = airflow.query(f"select max(updated_at) from prod.{table}")
    return pytest.approx((datetime.now(UTC) - newest.replace(tzinfo=UTC)).total_seconds(), abs=300)


def scheduled_run(client: Airflow, dag_id: str) -> Run:
    """The run of a DAG that the schedule starts once it may."""
    client.wait_for_dag(dag_id)
    client.unpause(dag_id)
    deadline = time.monotonic() + 600
    while not (runs := client.call("GET", f"dags/{dag_id}/dagRuns")["dag_runs"]):
        assert time.monotonic() < deadline, "the schedule started no run"
        time.sleep(0.5)
    return client.wait(dag_id, runs[0]["dag_run_id"])


def clear(client: Airflow, dag_id: str, run_id: str, task: str, downstream: bool = True) -> None:
    """Lets one task of a run run again, with what follows it or without."""
    again = {"dag_run_id": run_id, "task_ids": [task], "include_downstream": downstream}
    client.call("POST", f"dags/{dag_id}/clearTaskInstances", json=again | {"dry_run": False, "only_failed": False})


def tries_of(client: Airflow, dag_id: str, run_id: str, tasks: Collection[str]) -> dict[str, str]:
    """Some tasks of a run by the ids of their first tries."""
    found = client.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"limit": 100})
    return {one["id"]: one["task_id"] for one in found["task_instances"] if one["task_id"] in tasks}


def hunt(warehouse: Path, tries: dict[str, str], worker: bool, committed: bool) -> None:
    """Kills each of some tries, by their ids, when it has opened the warehouse; or when it has committed something."""
    deadline = time.monotonic() + 900
    log = warehouse.with_name(f"{warehouse.name}.wal")
    while tries:
        assert time.monotonic() < deadline, f"these did not come to be killed: {tries}"
        processes = {"".join(one.info["cmdline"] or []).strip(): one for one in psutil.process_iter(["cmdline"])}
        for ti in list(tries):
            task = processes.get(f"airflow worker -- {ti}")
            if not (task and holds(task, warehouse)):
                continue
            parent, before = task.parent(), size(log)
            assert "LocalExecutor" in " ".join(parent.cmdline()), f"the parent of a task is no worker: {parent}"
            while committed and size(log) in (0, before):
                time.sleep(0.001)
                assert task.is_running(), f"it ended before it was killed: {tries[ti]}"
            # The worker first, or it would tell how its task has ended.
            for process in [parent, task] if worker else [task]:
                process.kill()
            del tries[ti]
        # A task holds the warehouse many times as long.
        time.sleep(0.05)


def kill_every_try(client: Airflow, tasks: Mapping[tuple[str, str], str], worker: bool) -> None:
    """Kills the process of a task, or its worker, as often as it starts, until they have failed; by DAG and run."""
    deadline = time.monotonic() + 900
    while True:
        assert time.monotonic() < deadline, f"these did not end: {tasks}"
        found = {
            one["id"]: one["state"]
            for (dag_id, run_id), task in tasks.items()
            for one in [client.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}")]
        }
        if set(found.values()) == {"failed"}:
            return
        for process in psutil.process_iter(["cmdline"]):
            if "".join(process.info["cmdline"] or []).strip() in {f"airflow worker -- {one}" for one in found}:
                # The worker first, or it would tell how its task has ended.
                for one in [process.parent(), process] if worker else [process]:
                    one.kill()
        # Each question takes from the tasks' time; they wait for the warehouse, seconds longer than this.
        time.sleep(0.2)


def scheduler() -> psutil.Process:
    """The process of Airflow's scheduler, of all that this one has started."""
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # some end meanwhile
            if one.cmdline()[1:4] == ["-m", "airflow", "scheduler"]:
                return one
    raise AssertionError("there is no scheduler")


def kill_scheduler() -> None:
    """As a machine does that is gone: with all its workers and their tasks."""
    parent = scheduler()
    for process in [parent, *parent.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def holds(process: psutil.Process, warehouse: Path) -> bool:
    """Whether a process has the warehouse open."""
    try:
        return str(warehouse) in {file.path for file in process.open_files()}
    except psutil.NoSuchProcess:
        return False


def size(file: Path) -> int:
    """A file's size; 0 if there is none."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def write(airflow: AirflowSession, statement: str) -> bool:
    """Changes the warehouse by hand, as soon as no task holds it."""
    with held(airflow.warehouse) as connection:
        connection.execute(statement)
    return True


@contextmanager
def held(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the warehouse, as soon as no task holds it; tasks wait for it meanwhile."""
    deadline = time.monotonic() + 300
    while True:
        try:
            connection = duckdb.connect(warehouse)
            break
        except duckdb.IOException:
            assert time.monotonic() < deadline, "the warehouse was held all the time"
            time.sleep(0.2)
    with connection:
        yield connection


def authenticate(airflow: AirflowSession, from_now_on: bool) -> None:
    """Whether S3 asks who reads, and takes nobody."""
    httpx.post(
        f"{airflow.services.s3.endpoint}/moto-api/reset-auth", content=b"0" if from_now_on else b"inf", trust_env=False
    ).raise_for_status()
