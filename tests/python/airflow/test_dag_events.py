"""The DAG of events: its tasks, what they are given, and what is told of them. No scheduler is needed."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from airflow.sdk.definitions.mappedoperator import MappedOperator
from cosmos import DbtBuildLocalOperator
from dbt.cli.main import dbtRunner

from orchestration import arrivals, kafka, report
from orchestration import project as of_dags
from orchestration.alerts import callbacks, channels, facts, unheard
from orchestration.alerts.timers import alert_after
from orchestration.arrivals import Arrivals
from orchestration.deadlines import RunQueued
from orchestration.local.demos import events_files
from support.events import run
from support.warehouse import DATABASE, Project, Warehouse, environment

# Airflow is imported once for all tests of DAGs.
pytestmark = pytest.mark.xdist_group("dags")

DAG_ID = "realtime_event_ingestion"
DAG_FILE = of_dags.PROJECT / "orchestration" / "dags" / f"{DAG_ID}.py"
CONSUME, TRANSFORM, LOAD = "consume_kafka_events", "transform_events", "load_to_warehouse"
# How another process reads the DAG: with which of its settings.
READ = f"""
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({str(DAG_FILE)!r})
assert not bag.import_errors, bag.import_errors
consume = bag.dags[{DAG_ID!r}].get_task({CONSUME!r})
heavy = ("confluent_kafka", "pyarrow", "dbt.cli", "dbt.adapters")
print(json.dumps([
    type(consume).__name__, consume.retries, sorted(consume.downstream_task_ids),
    getattr(getattr(consume, "op_kwargs_expand_input", None), "value", None),
    bag.dags[{DAG_ID!r}].params["topic"], [name for name in heavy if name in sys.modules],
]))
"""


def test_three_tasks_one_after_the_other(dag):
    after = {name: task.downstream_task_ids for name, task in dag.task_dict.items()}
    assert after == {CONSUME: {TRANSFORM}, TRANSFORM: {LOAD}, LOAD: set()}
    assert {task.trigger_rule for task in dag.tasks} == {"all_success"}
    retries = {name: (task.retries, task.retry_delay) for name, task in dag.task_dict.items()}
    late = timedelta(minutes=5)
    assert retries == {CONSUME: (3, timedelta(seconds=60)), TRANSFORM: (2, late), LOAD: (3, late)}
    assert not dag.get_task(CONSUME).retry_exponential_backoff
    # Kafka is read beside whatever else holds the warehouse.
    pools = {name: task.pool for name, task in dag.task_dict.items()}
    assert pools == {CONSUME: "default_pool", TRANSFORM: "warehouse", LOAD: "warehouse"}


def test_dbt_is_started_once_a_task_and_not_without_news(dag):
    for name in (TRANSFORM, LOAD):
        task = dag.get_task(name)
        assert (type(task), task.selector, task.indirect_selection) == (DbtBuildLocalOperator, name, "buildable")
        # All that has landed, whatever the environment of the scheduler says.
        assert task.env["RUN_DATE"] == ""
    assert dag.get_task(TRANSFORM)._pre_execute_hook == kafka.skip_unless_arrived
    # It tells if it takes long, and does nothing else.
    assert dag.get_task(LOAD)._pre_execute_hook.__qualname__.startswith(alert_after.__name__)


def test_schedule_and_settings(dag):
    assert dag.timetable.expression == "*/5 * * * *"
    assert type(dag.timetable).__name__ == "CronDataIntervalTimetable"
    assert dag.start_date == datetime(2024, 1, 1, tzinfo=UTC)
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert dag.description and dag.doc_md
    assert {task.owner for task in dag.tasks} == {"data-engineering"}
    [deadline] = dag.deadline
    assert (type(deadline.reference), deadline.interval) == (RunQueued, timedelta(minutes=30))
    assert deadline.callback.kwargs == {"minutes": 30}


def test_parameters_are_of_a_run_and_checked(dag):
    assert dag.params.dump() == {
        "topic": "user.events.v1", "batch_size": 10_000, "most_events": 2_000_000, "most_seconds": 240,
        "start": "earliest", "accept_loss": False,
    }  # fmt: skip
    for name, wrong in (("batch_size", 0), ("start", "yesterday"), ("accept_loss", "maybe"), ("topic", "")):
        with pytest.raises(ValueError, match=f"(?s)Failed validating .*On instance:\\s+{wrong!r}"):
            dag.params.get_param(name).resolve(wrong)


def test_whom_a_task_tells(dag):
    assert dag.on_failure_callback == callbacks.tell_unheard
    assert dag.get_task(CONSUME).on_failure_callback == [callbacks.tell_failure]
    for name in (TRANSFORM, LOAD):
        (told,) = dag.get_task(name).on_failure_callback
        assert isinstance(told, partial)
        assert (told.func, told.keywords) == (callbacks.tell_failure, {"feed": "events"})
    told = {name: list(task.on_success_callback) for name, task in dag.task_dict.items()}
    assert told == {CONSUME: [], TRANSFORM: [], LOAD: [callbacks.tell_events]}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["_PythonDecoratedOperator", 3, [TRANSFORM], None, "user.events.v1", []]),
        (
            {"PIPELINES_CONSUMERS": "3", "PIPELINES_TOPIC": "other"},
            ["DecoratedMappedOperator", 3, [TRANSFORM], {"share": [0, 1, 2]}, "other", []],
        ),
    ],
)
def test_partitions_are_shared_out_and_reading_the_file_loads_little(settings, expected):
    """Airflow reads it again and again."""
    environ = os.environ | {"PYTHONPATH": str(of_dags.PROJECT), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"} | settings
    out = subprocess.run([sys.executable, "-c", READ], env=environ, capture_output=True, text=True, check=True).stdout
    assert json.loads(out.splitlines()[-1]) == expected


def test_every_model_and_test_of_events_is_in_its_tasks(project: Project, dag):
    selected = set()
    with environment(WAREHOUSE_PATH=DATABASE):
        for name in (TRANSFORM, LOAD):
            options = ["--selector", name, "--indirect-selection", dag.get_task(name).indirect_selection]
            listed = dbtRunner(manifest=project.manifest).invoke(
                ["ls", "--output", "name", *options, *project.options()]
            )
            assert listed.success
            selected |= set(listed.result)
    folders = ("models/feeds/events/", "models/marts/usage/")
    nodes = project.manifest.nodes
    models = {name for name, node in nodes.items() if node.original_file_path.startswith(folders)}
    tests = {
        name for name, node in nodes.items() if node.resource_type == "test" and models & set(node.depends_on.nodes)
    }
    # What is of several feeds is another DAG's.
    ours = {name for name in models | tests if "churn" not in nodes[name].tags}
    wanted = {nodes[name].name for name in ours if nodes[name].resource_type in ("model", "test")}
    assert {"usage_events", "event_chains_are_whole"} <= wanted
    assert wanted - selected == set()


def test_what_there_is_to_do_after_loads(project: Project, kafka_server, tmp_path, monkeypatch):
    """On a warehouse: nothing once all is loaded; what a load that was killed has left; and only what is new."""
    warehouse, topic = Warehouse(project, tmp_path / "warehouse"), "events.that.wait"
    monkeypatch.setitem(of_dags.ENV, "LANDING_ROOT", str(warehouse.root))
    monkeypatch.setenv("WAREHOUSE_PATH", str(warehouse.folder / DATABASE))
    monkeypatch.setattr(report, "PROJECT", warehouse.project.root)
    kafka_server.create(topic, 2)
    sent = [event for event in events_files.events(300) if event[0] < 2]
    folders = [f"raw/events/{topic}/0/{partition}" for partition in range(2)]

    def objects(root):
        return {path.relative_to(root).as_posix() for path in root.rglob("*.parquet")}

    def dbt(selector):
        options = ("--indirect-selection", "buildable", "--exclude-resource-type", "unit_test")
        assert warehouse.dbt("build", "--selector", selector, *options).succeeded

    def consume(events):
        kafka_server.send(topic, events)
        return run(kafka_server.address, warehouse.root, topic, batch_size=50).events

    assert arrivals.find() == Arrivals({}, [], False)
    consume(sent[:100])
    first = arrivals.find()
    assert first == Arrivals(dict.fromkeys(folders, ""), [], False)
    dbt(TRANSFORM)
    assert not arrivals.find().is_built
    dbt(LOAD)
    assert not arrivals.find()
    assert facts.loaded_events(first.condition())[0]["received"] == 100

    last = {folder: max(path.name for path in (warehouse.root / folder).iterdir()) for folder in folders}
    before, count = objects(warehouse.root), consume(sent[100:])
    new = {path for path in objects(warehouse.root) if path not in before}
    assert arrivals.find() == Arrivals(last, [], True)
    # A run that was killed between the two.
    dbt(TRANSFORM)
    unfinished = arrivals.find()
    assert unfinished == Arrivals({}, sorted(new), True)
    dbt(LOAD)
    assert not arrivals.find()
    [loaded] = facts.loaded_events(Arrivals(last, [], True).condition())
    assert (loaded["objects"], loaded["received"]) == (len(new), count)
    assert facts.loaded_events(unfinished.condition()) == [loaded]
    kafka_server.delete(topic)


LAG = {"behind": 0, "age": 0, "since": None, "told": False}
BEHIND = {"behind": 700, "age": 4000, "since": "2024-01-05T10:00:00", "told": False}
LOADED = {"objects": 2, "received": 1200, "current": 1100, "superseded": 60, "rejected": 40, "held": 0}


@pytest.mark.parametrize(
    ("consumed", "rows", "says"),
    [
        ({"lag": LAG}, [LOADED], "Loaded 2 objects, events: 1,200 received, 1,100 current, 60 duplicates, 40 rejected\n"
         "Lag: none"),
        ([{"lag": LAG}, {"lag": BEHIND}, {"lag": BEHIND}], [LOADED | {"objects": 1, "held": 3}],
         "Loaded 1 object, events: 1,200 received, 1,100 current, 60 duplicates, 40 rejected, 3 held\n"
         "Lag: 1,400 offsets, the oldest of their events has waited for 67 min"),
        ({"lag": LAG}, None, "The warehouse could not be asked what was loaded; the table prod.load_ledger has it.\n"
         "Lag: none"),
    ],
    ids=["one", "shared out", "no answer"],
)  # fmt: skip
def test_what_was_loaded_is_told(monkeypatch, consumed, rows, says):
    told, asked = [], []

    def ask(query):
        asked.append(query)
        return rows if rows else 1 / 0

    monkeypatch.setattr(callbacks, "_post", told.append)
    monkeypatch.setattr(of_dags, "use_connections", lambda *_: None)
    monkeypatch.setattr(report, "ask", ask)
    arrived = {"folders": {"raw/events/it's/0/1": "00000000000000000007.parquet"}, "objects": ["a"], "is_built": True}
    said = {(TRANSFORM, "arrived"): arrived, (CONSUME, "return_value"): consumed}
    ti = SimpleNamespace(xcom_pull=lambda task_ids, key="return_value": said[task_ids, key])
    run = SimpleNamespace(logical_date=datetime(2024, 1, 5, 10, 5, tzinfo=UTC), run_after=None)
    callbacks.tell_events({"ti": ti, "dag": SimpleNamespace(dag_id=DAG_ID), "dag_run": run})
    assert told == [f"✅ DAG {DAG_ID} completed for 2024-01-05T10:05\n{says}"]
    condition = (
        "((source_file > 'raw/events/it''s/0/1/00000000000000000007.parquet' and "
        "source_file < 'raw/events/it''s/0/10') or source_file in ('a'))"
    )
    assert asked[0].endswith(condition)


def test_a_run_that_is_late_is_told_by_the_minute(dag, monkeypatch):
    sent = []

    async def send(context, posted, subject, content):
        sent.append(subject)

    monkeypatch.setattr(channels, "post_and_mail_late", send)
    run = {"dag_id": DAG_ID, "dag_run_id": "r", "state": "running", "run_type": "scheduled"}
    run |= {"logical_date": "2024-01-05T10:05:00Z", "run_after": "2024-01-05T10:10:00Z"}
    asyncio.run(callbacks.tell_late({"dag_run": run}, **dag.deadline[0].callback.kwargs))
    assert sent == [f"⏰ DAG {DAG_ID} is not complete for 2024-01-05T10:05, 30 minutes after it was queued"]


def test_a_share_whose_process_was_killed_is_told_once(dag, monkeypatch):
    """Of a task that is mapped Airflow knows each instance by its number."""
    told = []
    task = MappedOperator.__new__(MappedOperator)
    monkeypatch.setattr(MappedOperator, "task_id", CONSUME)
    monkeypatch.setattr(MappedOperator, "on_failure_callback", lambda context: told.append(context["ti"].task_id))
    shared = SimpleNamespace(dag_id=DAG_ID, tasks=[task, dag.get_task(TRANSFORM)])
    context = {"dag": shared, "run_id": "r", "reason": "task_failure"}
    states = {f"{CONSUME}_0": "success", f"{CONSUME}_1": "failed", TRANSFORM: "upstream_failed"}
    monkeypatch.setattr(unheard.RuntimeTaskInstance, "get_task_states", lambda _, run_ids: {"r": states})
    said = {}
    monkeypatch.setattr(unheard.XCom, "get_one", lambda map_index, **_: said.get(map_index))
    assert unheard.failures(context) == unheard.Failures((task,), (task,))
    said[1] = 1
    assert unheard.failures(context) == unheard.Failures((task,), ())
