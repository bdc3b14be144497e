"""What holds of every DAG, present and coming: its file is read quickly and alone, and somebody is told of its runs."""

import json
import subprocess
import sys

import pytest

from orchestration.commands.graph import pages
from orchestration.local.services import DAGS
from support.warehouse import PROJECT

FILES = sorted(DAGS.glob("*.py"))

# In a process of its own, in which nothing answers: no network, no warehouse, nothing that Airflow keeps.
READ = """
import json, socket, sys, time

def refuse(*_, **__):
    raise AssertionError("a DAG file asks for something while it is read")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse

import duckdb
duckdb.connect = refuse
from airflow.sdk import BaseHook, Variable
Variable.get = BaseHook.get_connection = refuse
from airflow.dag_processing.dagbag import DagBag

facts = {}
for file in sys.argv[1:]:
    begun = time.process_time()
    bag = DagBag(file)
    took = time.process_time() - begun
    assert not bag.import_errors, bag.import_errors
    [(dag_id, dag)] = bag.dags.items()
    [deadline] = dag.deadline
    facts[dag_id] = {
        "seconds": took, "doc": dag.doc_md, "description": dag.description, "tags": sorted(dag.tags),
        "schedule": dag.timetable.expression, "timetable": type(dag.timetable).__name__,
        "start": str(dag.start_date), "catchup": dag.catchup, "runs": dag.max_active_runs,
        "told": dag.on_failure_callback.__name__, "late": deadline.callback.path,
        "minutes": deadline.interval.total_seconds() / 60,
        "tasks": {
            task.task_id: {
                "owner": task.owner, "retries": task.retries, "delay": task.retry_delay.total_seconds(),
                "limit": task.execution_timeout and task.execution_timeout.total_seconds(),
                "past": task.depends_on_past,
                "told": [getattr(one, "func", one).__name__ for one in
                    (task.on_failure_callback if isinstance(task.on_failure_callback, (list, tuple))
                     else [task.on_failure_callback])],
                "retry_told": bool(task.on_retry_callback),
                "measured": getattr(getattr(task, "callback", None), "keywords", {}).get("feed"),
                "timer": [getattr(one, "__qualname__", "").split(".")[0] for one in
                    (getattr(task, "_pre_execute_hook", None), getattr(task, "_post_execute_hook", None)) if one],
            }
            for task in dag.tasks
        },
    }
print(json.dumps({"dags": facts, "local": [name for name in sys.modules if name.startswith("orchestration.local")]}))
"""


@pytest.fixture(scope="module")
def read():
    """What the files say, read in one process, the first twice: its first time is that of imports."""
    command = [sys.executable, "-c", READ, str(FILES[0]), *map(str, FILES)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def dags(read):
    """The DAGs by their ids."""
    return read["dags"]


def test_a_file_is_one_dag_of_its_name(dags):
    assert sorted(dags) == [file.stem for file in FILES]
    assert all(dag["doc"] and dag["description"] and dag["tags"] for dag in dags.values())


def test_a_file_is_read_in_a_moment_and_imports_nothing_local(read):
    assert read["local"] == []
    # Airflow reads it for every task; it ends a reading after 30 seconds.
    assert {name: dag["seconds"] for name, dag in read["dags"].items() if dag["seconds"] > 3} == {}


@pytest.mark.parametrize(
    ("dag_id", "schedule", "catchup", "runs", "minutes"),
    [
        ("churn_training", "0 2 * * *", False, 1, 120),
        ("daily_sales_etl_v2", "0 2 * * *", False, 1, 120),
        ("realtime_event_ingestion", "*/5 * * * *", False, 1, 30),
        ("sales_etl", "0 0 * * *", True, 3, 120),
        ("table_sync", "0 * * * *", False, 1, 120),
    ],
)
def test_it_is_scheduled_as_the_business_wants_it(dags, dag_id, schedule, catchup, runs, minutes):
    dag = dags[dag_id]
    assert (dag["schedule"], dag["timetable"]) == (schedule, "CronDataIntervalTimetable")
    assert dag["start"] == "2024-01-01 00:00:00+00:00"
    assert (dag["catchup"], dag["runs"], dag["minutes"]) == (catchup, runs, minutes)


def test_every_task_is_tried_again_and_ended_and_its_failure_is_told_once(dags):
    for dag_id, dag in dags.items():
        assert (dag["told"], dag["late"]) == ("tell_unheard", "orchestration.alerts.callbacks.tell_late"), dag_id
        assert dag["tasks"]
        for name, task in dag["tasks"].items():
            assert (task["owner"], task["past"]) == ("data-engineering", False), name
            assert task["retries"] >= 2, name
            assert task["delay"] > 0, name
            assert task["limit"] == 7200, name
            assert (task["told"], task["retry_told"]) == (["tell_failure"], False), name


def test_a_load_and_the_training_are_told_when_they_take_long(dags):
    timed = {
        dag_id: {name for name, task in dag["tasks"].items() if "alert_after" in task["timer"]}
        for dag_id, dag in dags.items()
    }
    load = {"load_to_prod.daily_sales_model_build", "load_to_prod.sales_by_day_model_build"}
    assert timed.pop("table_sync") == {name for name in dags["table_sync"]["tasks"] if name.startswith("sync_")}
    assert timed == {
        "churn_training": {"ml_training.trained_model"},
        "daily_sales_etl_v2": load,
        "realtime_event_ingestion": {"load_to_warehouse"},
        "sales_etl": load,
    }


def test_a_load_is_measured(dags):
    """Of events by who tells of them."""
    measured = {
        dag_id: {name: task["measured"] for name, task in dag["tasks"].items() if task["measured"]}
        for dag_id, dag in dags.items()
    }
    tables = [name for name in dags["table_sync"]["tasks"] if name.startswith("sync_")]
    assert measured == {
        "churn_training": {},
        "daily_sales_etl_v2": {"load_to_prod.daily_sales_model_build": "sales"},
        "realtime_event_ingestion": {},
        "sales_etl": {"load_to_prod.daily_sales_model_build": "sales"},
        "table_sync": {name: name.removeprefix("sync_") for name in tables},
    }


def test_what_is_drawn_is_what_the_dags_are():
    drawn = pages()
    assert set(drawn) == {PROJECT / "docs" / "graph.md", PROJECT / "README.md"}
    for path, text in drawn.items():
        assert path.read_text() == text, f"{path.name}: `make graph` draws it anew"
