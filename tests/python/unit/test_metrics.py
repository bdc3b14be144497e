"""Metrics: what is sent of a task, a run and a load, where to, and that none of it stops or delays anything."""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from airflow.sdk import TaskInstanceState
from airflow.sdk._shared.listeners.listener import ListenerManager
from airflow.sdk._shared.listeners.spec import taskinstance
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from orchestration import churn_tasks, kafka, metrics, report, settings
from orchestration.alerts import callbacks, unheard
from orchestration.churn.errors import DeploymentError, RefusedError
from orchestration.events import lander
from orchestration.events.lander import Landed, Partition
from orchestration.local.stand_ins.agent import agent
from orchestration.local.stand_ins.s3 import KEY, REGION, SECRET, storage
from orchestration.local.stand_ins.serving import Handler, serving
from orchestration.metrics import cloudwatch, listener, sending
from support.metrics import Measured, in_cloudwatch, key
from support.reference import PROJECT

START = datetime(2024, 1, 5, 2, tzinfo=UTC)
ONE = metrics.count("a", dag="d")


@pytest.fixture
def asked(monkeypatch):
    """Sets METRICS, as it is read."""

    def names(*words):
        monkeypatch.setattr(settings, "METRICS", words)
        sending._channels.cache_clear()

    yield names
    for thread in sending._threads:
        thread.join(10)
    sending._channels.cache_clear()


@pytest.fixture
def measured(asked, monkeypatch, tmp_path):
    """What Datadog's agent receives."""
    asked("datadog")
    with agent(tmp_path / "metrics.jsonl") as sink:
        host, port = sink.address.split(":")
        monkeypatch.setenv("DD_AGENT_HOST", host)
        monkeypatch.setenv("DD_DOGSTATSD_PORT", port)
        yield Measured(sink)


@pytest.fixture
def aws(monkeypatch):
    """Sets the connection of AWS, to a server of this machine."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def leads_to(address):
        extra = {"endpoint_url": address, "region_name": REGION}
        parts = {"conn_type": "aws", "login": KEY, "password": SECRET, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(parts))

    monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT", raising=False)
    return leads_to


@pytest.fixture
def said(caplog):
    """What is told of metrics that were not sent."""
    caplog.set_level(logging.ERROR)
    return lambda: [one.getMessage() for one in caplog.records if one.name == sending.__name__]


@contextmanager
def silent():
    """A server that takes every connection and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def arrived(measured, number):
    """All values, once there are so many."""
    deadline = time.monotonic() + 120
    while len(measured.sink.messages) < number:
        assert time.monotonic() < deadline, measured.values()
        time.sleep(0.01)
    return measured.values()


def test_one_packet_has_all_metrics_of_a_task(asked, monkeypatch):
    asked("datadog")
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as listening:
        listening.bind(("127.0.0.1", 0))
        monkeypatch.setenv("DD_AGENT_HOST", "127.0.0.1")
        monkeypatch.setenv("DD_DOGSTATSD_PORT", str(listening.getsockname()[1]))
        metrics.send(
            lambda: [
                metrics.count("airflow.task.success", dag="d", task="g.t"),
                metrics.timing("airflow.task.duration", 1.5, dag="d", task="g.t"),
                metrics.gauge("pipeline.model.auc", 0.75, metrics.RATIO, dag="d"),
            ]
        )
        # It has been sent when the call is over.
        listening.settimeout(0.5)
        lines = [line.partition("|c:")[0] for line in listening.recv(65535).decode().splitlines()]
        assert lines == [
            "airflow.task.success:1|c|#dag:d,task:g.t",
            "airflow.task.duration:1500.0|ms|#dag:d,task:g.t",
            "pipeline.model.auc:0.75|g|#dag:d",
        ]
        with pytest.raises(TimeoutError):
            listening.recv(65535)


def test_cloudwatch_has_the_same_in_one_call(asked, aws, tmp_path, monkeypatch, said):
    asked("cloudwatch")
    monkeypatch.setattr(settings, "METRICS_NAMESPACE", "Of tests")
    with storage("lake", tmp_path) as server:
        aws(server.endpoint)
        for _ in range(2):
            metrics.send(
                lambda: [
                    metrics.count("airflow.task.success", dag="d", task="g.t"),
                    metrics.timing("airflow.task.duration", 1.5, dag="d", task="g.t"),
                    metrics.gauge("pipeline.load.freshness", 60, metrics.SECONDS, dag="d"),
                    metrics.gauge("pipeline.model.auc", 0.75, metrics.RATIO, dag="d"),
                ]
            )
        assert said() == []
        assert in_cloudwatch(server.endpoint, "Of tests") == {
            key("airflow.task.success", dag="d", task="g.t"): (2, 2, "Count"),
            key("airflow.task.duration", dag="d", task="g.t"): (2, 3000, "Milliseconds"),
            key("pipeline.load.freshness", dag="d"): (2, 120, "Seconds"),
            key("pipeline.model.auc", dag="d"): (2, 1.5, "None"),
        }


# What every task reads, with what Airflow has imported before it does.
READS_THE_PLUGIN = """
import json, runpy, sys
import orchestration.deadlines
before = set(sys.modules)
found = runpy.run_path("orchestration/plugins/reference_pipeline.py")
from orchestration import metrics
if not metrics.sending.settings.METRICS:
    metrics.send(lambda: sys.exit("measured though nobody asks for it"))
new = {name for name in set(sys.modules) - before if not name.startswith("airflow.")}
print(json.dumps([[one.__name__ for one in found["ReferencePipeline"].listeners], sorted(new)]))
"""
LIGHT = ["orchestration.metrics", "orchestration.metrics.metric", "orchestration.metrics.sending"]
LISTENER = "orchestration.metrics.listener"


@pytest.mark.parametrize(
    ("asks", "listeners", "imported"),
    [("", [], LIGHT), ("datadog,cloudwatch", [LISTENER], sorted([LISTENER, *LIGHT]))],
)
def test_a_task_imports_nothing_that_is_heavy_and_nothing_that_is_not_asked_for(asks, listeners, imported):
    environment = os.environ | {"METRICS": asks}
    done = subprocess.run(
        [sys.executable, "-c", READS_THE_PLUGIN], cwd=PROJECT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        listeners,
        sorted([*imported, "orchestration.settings"]),
    ]


def test_what_cannot_be_measured_stops_nothing(asked, said):
    asked("datadog")
    metrics.send(lambda: [metrics.gauge("a", 1 / 0)])
    assert said() == ["No metrics by any channel: ZeroDivisionError: division by zero"]


def test_a_wrong_word_is_told_once_and_stops_nothing(measured, asked, said):
    """Also no DAG file: it is read by the settings, which other wrong values stop."""
    asked("statsd", "datadog", "datadog")
    for _ in range(2):
        metrics.send(lambda: [ONE])
    assert arrived(measured, 2) == {key("a", dag="d"): [1, 1]}
    [line] = said()
    assert line == (
        "METRICS names 'statsd', which nothing is sent to: it may name datadog and cloudwatch, divided by a comma."
    )
    code = "from orchestration import settings; print(settings.METRICS)"
    environment = os.environ | {"METRICS": " statsd ,, datadog"}
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("('statsd', 'datadog')\n", "")


def test_an_agent_that_is_gone_is_not_noticed(asked, monkeypatch, said):
    """UDP is not answered."""
    asked("datadog")
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as gone:
        gone.bind(("127.0.0.1", 0))
        monkeypatch.setenv("DD_DOGSTATSD_PORT", str(gone.getsockname()[1]))
    monkeypatch.setenv("DD_AGENT_HOST", "127.0.0.1")
    for _ in range(3):
        metrics.send(lambda: [ONE, ONE])
    assert said() == []


def test_a_name_that_is_unknown_is_told(asked, monkeypatch, said):
    asked("datadog")
    monkeypatch.setenv("DD_AGENT_HOST", "no-such-host.invalid")
    metrics.send(lambda: [ONE, ONE])
    [line] = said()
    assert line.startswith("No metrics by datadog: gaierror: ")


def test_a_name_that_nobody_answers_for_is_given_up(measured, monkeypatch, said):
    """A resolver may take half a minute; the other channel does not wait for it."""
    monkeypatch.setattr(settings, "ALERT_SECONDS", 1)
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(30) and [])
    begun = time.monotonic()
    metrics.send(lambda: [ONE])
    assert 0.9 < time.monotonic() - begun < 3
    assert said() == ["No metrics by datadog: not sent within 1 seconds"]
    answered.set()


class Broken(Handler):
    """Answers 500 to everything."""

    asked = 0

    def do_POST(self) -> None:
        """Counts."""
        self.body()
        type(self).asked += 1
        self.answer(500, "application/json", b'{"message": "it is broken"}')


def test_a_cloudwatch_that_is_broken_hangs_or_is_gone_is_told_once_each(measured, asked, aws, said):
    """And does not keep Datadog's agent from its metrics."""
    asked("datadog", "cloudwatch")
    with serving(Broken) as address:
        aws(address)
        metrics.send(lambda: [ONE])
    assert Broken.asked == 1
    with silent() as address:
        aws(address)
        begun = time.monotonic()
        metrics.send(lambda: [ONE])
        # Its client is made anew for each task, which takes a moment, too.
        assert cloudwatch.SECONDS - 0.1 < time.monotonic() - begun < settings.ALERT_SECONDS + 1
    aws("http://127.0.0.1:9")
    metrics.send(lambda: [ONE])
    broken, hanging, gone = said()
    assert broken.startswith("No metrics by cloudwatch: ClientError: An error occurred (500)")
    assert hanging.startswith(
        ("No metrics by cloudwatch: ReadTimeoutError", "No metrics by cloudwatch: not sent within")
    )
    assert gone.startswith("No metrics by cloudwatch: EndpointConnectionError")
    assert arrived(measured, 3) == {key("a", dag="d"): [1, 1, 1]}
    assert SECRET not in str(said())


def test_a_connection_that_is_missing_is_told(asked, aws, said):
    asked("cloudwatch")
    metrics.send(lambda: [ONE])
    [line] = said()
    assert line == "No metrics by cloudwatch: NoRegionError: You must specify a region."


def test_the_scheduler_waits_for_nothing_and_nothing_piles_up_in_it(asked, monkeypatch, said):
    asked("cloudwatch")
    run = SimpleNamespace(dag_id="d", start_date=START, end_date=START)
    freed = threading.Event()
    monkeypatch.setattr(cloudwatch, "send", lambda _: freed.wait(30))
    begun = time.monotonic()
    for _ in range(sending.MOST + 3):
        listener.on_dag_run_success(run)
    assert time.monotonic() - begun < 1
    assert said() == [f"No metrics by cloudwatch: {sending.MOST} are still on their way"] * 3
    freed.set()


def test_a_fork_waits_for_what_is_on_its_way(asked, monkeypatch):
    """Airflow's scheduler forks its workers: what a thread has locked would stay so in them."""
    asked("cloudwatch")
    monkeypatch.setattr(cloudwatch, "send", lambda _: time.sleep(0.5))
    metrics.send(lambda: [ONE], wait=False)
    if (child := os.fork()) == 0:
        os._exit(threading.active_count() + 10 * sum(thread.is_alive() for thread in sending._threads))
    [thread] = sending._threads
    assert not thread.is_alive()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def runtime_ti(state, seconds=2.5, **more):
    """A task's instance in its own process, at its end."""
    return RuntimeTaskInstance.model_construct(
        dag_id="d", task_id="g.t", state=state, start_date=START, end_date=START + timedelta(seconds=seconds), **more
    )


def other_ti(state):
    """A task's instance as the scheduler or the API server has it."""
    return SimpleNamespace(dag_id="d", task_id="g.t", state=state, start_date=START, end_date=START)


RUNNING = TaskInstanceState.RUNNING
FAILED, AGAIN = TaskInstanceState.FAILED, TaskInstanceState.UP_FOR_RETRY


def airflow_tells(hook, previous_state, ti):
    """As Airflow calls a listener, by its name."""
    manager = ListenerManager()
    manager.add_hookspecs(taskinstance)
    manager.add_listener(listener)
    error = {"error": ValueError("x")} if hook.endswith("failed") else {}
    getattr(manager.hook, hook)(previous_state=previous_state, task_instance=ti, **error)


@pytest.mark.parametrize(
    ("hook", "state", "ended"),
    [("success", "success", "success"), ("failed", FAILED, "failure"), ("failed", AGAIN, "retry")],
)
def test_a_task_tells_how_it_has_ended_and_how_long_it_took(measured, hook, state, ended):
    airflow_tells(f"on_task_instance_{hook}", RUNNING, runtime_ti(state))
    tags = {"dag": "d", "task": "g.t"}
    assert arrived(measured, 2) == {
        key(f"airflow.task.{ended}", **tags): [1],
        key("airflow.task.duration", **tags): [2500],
    }


def test_of_a_lost_worker_the_scheduler_tells_a_retry_and_nobody_what_a_person_marks(measured):
    """The failure is counted by its run: the process may have been killed, of which no listener hears."""
    airflow_tells("on_task_instance_failed", RUNNING, other_ti(AGAIN))
    airflow_tells("on_task_instance_failed", RUNNING, other_ti(FAILED))
    for hook, state in (("success", "success"), ("failed", FAILED), ("failed", AGAIN)):
        airflow_tells(f"on_task_instance_{hook}", None, other_ti(state))
    tags = {"dag": "d", "task": "g.t"}
    assert arrived(measured, 2) == {
        key("airflow.task.retry", **tags): [1], key("airflow.task.duration", **tags): [0]
    }  # fmt: skip


def test_a_run_tells_how_long_it_took(measured, said):
    run = SimpleNamespace(dag_id="d", start_date=START, end_date=START + timedelta(minutes=2))
    listener.on_dag_run_success(run)
    listener.on_dag_run_failed(run)
    # One that a person has ended before it began.
    listener.on_dag_run_failed(SimpleNamespace(dag_id="d", start_date=None, end_date=START))
    assert arrived(measured, 2) == {
        key("airflow.dag.duration", dag="d", state=state): [120_000] for state in ("success", "failure")
    }
    assert said() == []


def test_a_task_pays_less_than_five_milliseconds(measured):
    """With what has been imported before, as the scheduler has; the median, for the machine may be busy."""
    ti, took = runtime_ti("success"), []
    for _ in range(101):
        begun = time.perf_counter()
        listener.on_task_instance_success(RUNNING, ti)
        took.append(time.perf_counter() - begun)
    assert sorted(took)[50] < 0.005, took
    arrived(measured, 202)


def test_a_run_that_failed_counts_its_killed_tasks_once(measured, monkeypatch):
    tasks = [SimpleNamespace(task_id=name, on_failure_callback=lambda context: None) for name in ("told", "killed")]
    known = unheard.Failures(failed=tuple(tasks), untold=(tasks[1],))
    monkeypatch.setattr(callbacks, "failures", lambda context: known)
    context = {"dag": SimpleNamespace(dag_id="d", tasks=[]), "run_id": "r", "reason": "task_failure"}
    callbacks.tell_unheard(context)
    assert arrived(measured, 1) == {key("airflow.task.failure", dag="d", task="killed"): [1]}
    # It was cleared, and is at work again.
    monkeypatch.setattr(callbacks, "failures", lambda context: unheard.Failures(untold=(tasks[1],), cleared=True))
    callbacks.tell_unheard(context)
    time.sleep(0.2)
    assert len(measured.sink.messages) == 1


@pytest.mark.parametrize(
    ("state", "kind", "late"),
    [("running", "scheduled", True), ("failed", "manual", False), ("running", "backfill", False)],
)
def test_a_deadline_that_is_missed_is_counted(measured, monkeypatch, state, kind, late):
    async def nowhere(*_):
        pass

    monkeypatch.setattr(callbacks.channels, "post_and_mail_late", nowhere)
    run = {
        "dag_id": "d", "dag_run_id": "r", "state": state, "run_type": kind,
        "logical_date": "2024-01-05T02:00:00Z", "run_after": "2024-01-05T02:00:00Z",
    }  # fmt: skip
    asyncio.run(callbacks.tell_late({"dag_run": run}))
    if late:
        assert arrived(measured, 1) == {key("airflow.deadline.missed", dag="d"): [1]}
    else:
        time.sleep(0.2)
        assert measured.values() == {}


CONTEXT = {
    "dag": SimpleNamespace(dag_id="d"),
    "dag_run": SimpleNamespace(logical_date=datetime(2024, 1, 5, tzinfo=UTC), run_after=None),
    "run_id": "r",
}


def test_a_load_is_measured_and_one_that_the_warehouse_says_nothing_of_is_not(measured, monkeypatch):
    newest = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=2)
    numbers = dict(
        zip(("received", "current", "superseded", "rejected", "held"), map(Decimal, (9, 4, 2, 1, 2)), strict=True)
    )
    row = numbers | {"refused_files": 1, "held_files": 2, "newest": newest}
    queries = []
    monkeypatch.setattr(report, "ask", lambda query: queries.append(query) or [row])
    monkeypatch.setattr(callbacks.project, "use_connections", lambda *_: None)
    callbacks.measure_load("/project", CONTEXT, feed="sales", table="daily_sales", by_day=True)
    found = arrived(measured, 7)
    assert 7190 < found.pop(key("pipeline.load.freshness", dag="d", feed="sales"))[0] < 7300
    names = ("rows_received", "rows_merged", "rows_rejected", "rows_held", "files_refused", "files_held")
    wanted = zip(names, (9, 4, 1, 2, 1, 2), strict=True)
    assert found == {key(f"pipeline.load.{name}", dag="d", feed="sales"): [value] for name, value in wanted}
    assert "from prod.daily_sales" in queries[0]
    assert queries[0].count("file_date = cast('2024-01-05' as date)") == 2

    def is_gone(query):
        raise OSError("the warehouse is gone")

    monkeypatch.setattr(report, "ask", is_gone)
    callbacks.measure_load("/project", CONTEXT, feed="sales", table="daily_sales", by_day=True)
    time.sleep(0.2)
    assert len(measured.sink.messages) == 7


def test_the_warehouse_is_not_asked_for_metrics_that_nobody_wants(asked, monkeypatch):
    asked()
    monkeypatch.setattr(report, "ask", lambda query: pytest.fail(query))
    monkeypatch.setattr(callbacks.project, "use_connections", lambda *_: None)
    callbacks.measure_load("/project", CONTEXT, feed="sales", table="daily_sales")


def test_the_lag_of_events_is_sent_by_topic_and_share(measured, monkeypatch):
    parts = [Partition(2, 0, 5, behind=3, age=60.0), Partition(4, 0, 5, behind=4, age=90.0)]
    monkeypatch.setattr(lander, "land", lambda *_, **__: Landed("raw/events/t/0", parts, [], []))
    for name in ("kafka_settings", "use_landing_zone"):
        monkeypatch.setattr(kafka, name, lambda: {})
    ti = SimpleNamespace(xcom_push=lambda *_: None, map_index=1)
    limits = {"start": "earliest", "accept_loss": False, "batch_size": 1, "most_events": 1, "most_seconds": 1}
    run = SimpleNamespace(logical_date=None, run_after=datetime.now(UTC))
    kafka.consume({"dag": CONTEXT["dag"], "params": {"topic": "t"} | limits, "ti": ti, "dag_run": run}, 1)
    tags = {"dag": "d", "topic": "t", "share": 1}
    assert arrived(measured, 2) == {
        key("pipeline.events.lag", **tags): [7],
        key("pipeline.events.lag_age", **tags): [90],
    }


def test_a_model_that_was_not_deployed_or_not_trained_is_counted_too(measured, monkeypatch):
    from orchestration.churn import results, runs

    for name in ("use_connections", "_objects", "_client", "_features", "_former"):
        monkeypatch.setattr(churn_tasks, name, lambda *_: None)
    for name in ("land_refusal", "land_run"):
        monkeypatch.setattr(results, name, lambda *_: None)
    monkeypatch.setattr(results, "from_plain", lambda trained: SimpleNamespace(snapshot_date=None))

    def refuses(*_):
        raise RefusedError("too few")

    @dataclass
    class Run:
        decision: str = "failed"
        measures: str = '{"model": {"auc": 0.75}}'
        decided_at: datetime | None = None

    def fails(*_, **__):
        error = DeploymentError("it did not answer")
        error.run = Run()
        raise error

    monkeypatch.setattr(churn_tasks, "_to_train_on", refuses)
    monkeypatch.setattr(runs, "deploy_run", fails)
    context = CONTEXT | {"params": {"snapshot": None}}
    with pytest.raises(RefusedError):
        churn_tasks.train(context)
    with pytest.raises(DeploymentError):
        churn_tasks.deploy(context, {})
    assert arrived(measured, 3) == {
        key("pipeline.model.decision", dag="d", decision="refused"): [1],
        key("pipeline.model.decision", dag="d", decision="failed"): [1],
        key("pipeline.model.auc", dag="d"): [0.75],
    }
