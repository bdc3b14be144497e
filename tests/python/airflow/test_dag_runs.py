"""Real runs of the DAG: a real scheduler, S3, chat and mail. One Airflow for all; each test has a day of its own."""

import html
import json
import re
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from orchestration.local.backfill import Days, backfill
from orchestration.local.demos import churn_files, events_files
from orchestration.local.demos import table_files as demo_tables
from orchestration.local.demos.churn import LOAD, SNAPSHOT, ChurnDemo
from orchestration.local.errors import LocalError
from orchestration.local.runtime.processes import Supervised, stop_all
from orchestration.local.services import DAGS
from orchestration.local.stand_ins.broker import KAFKA_PASSWORD
from orchestration.local.stand_ins.chat import CHAT_TOKEN
from orchestration.local.stand_ins.mail import MAIL_PASSWORD
from orchestration.local.stand_ins.s3 import KEY, SECRET
from support.airflow_fixtures import airflow_in, files_with
from support.dag_runs import (
    HEADER,
    age_of_newest,
    authenticate,
    clear,
    compare_day,
    held,
    hunt,
    kill_every_try,
    kill_scheduler,
    loaded_once,
    sales,
    scheduled_run,
    tries_of,
    write,
)
from support.metrics import Measured, in_cloudwatch
from support.reference import Reference
from support.sales_files import row

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("dag_runs")

OURS = Path(__file__).parents[1] / "support" / "dags"


def bundle(name, folder):
    """A folder of DAGs, as Airflow is told of it."""
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return {"name": name, "classpath": local, "kwargs": {"path": str(folder)}}


BUNDLES = [bundle("dags-folder", DAGS), bundle("tests", OURS)]


@pytest.fixture(scope="module")
def airflow():
    """Airflow with its schedules on, and patience for one poke and for two missed heartbeats only."""
    settings = {
        "METRICS": "datadog,cloudwatch",
        "PIPELINES_WAIT_SECONDS": "10",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
        # No file of a DAG changes here.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(BUNDLES),
    }
    # Not in pytest's own folder: the next pytest that starts takes it from PostgreSQL, which as root is another user.
    with (
        tempfile.TemporaryDirectory(prefix="airflow-runs-", ignore_cleanup_errors=True) as folder,
        airflow_in(Path(folder), schedules=True, kafka=True, settings=settings) as session,
    ):
        yield session


@pytest.fixture(scope="module")
def scheduled(airflow):
    """The run that the schedule starts by itself, of yesterday; its file has come."""
    airflow.airflow.wait_for_dag(airflow.dag_id)
    # The day whose interval has ended last; all days that it may be have a file.
    days = [datetime.fromtimestamp(time.time() - back * 86400, UTC).date().isoformat() for back in (1, 2)]
    for day in days:
        airflow.land(day, sales(day, 20))
    airflow.airflow.unpause(airflow.dag_id)
    deadline = time.monotonic() + 60
    while not (runs := airflow.airflow.call("GET", f"dags/{airflow.dag_id}/dagRuns")["dag_runs"]):
        assert time.monotonic() < deadline, "the schedule started no run"
        time.sleep(0.5)
    assert [run["run_type"] for run in runs] == ["scheduled"]
    return runs[0], airflow.airflow.wait(airflow.dag_id, runs[0]["dag_run_id"])


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


def test_the_scheduled_run_loads_the_day_before(airflow, scheduled):
    facts, run = scheduled
    day = facts["logical_date"][:10]
    assert run.state == "success"
    started = datetime.fromisoformat(facts["run_after"])
    assert (started - datetime.fromisoformat(facts["data_interval_start"])).days == 1
    assert (started.hour, started.date().isoformat()) == (2, facts["data_interval_end"][:10])
    loaded = airflow.query("select distinct source_file from prod.daily_sales")
    assert loaded == [(f"raw/sales/{day}/sales_export.csv",)]
    assert [m["text"] for m in airflow.chat.messages] == [
        f"✅ DAG daily_sales_etl_v2 completed for {day}\n"
        "Loaded 1 file, rows: 20 received, 20 current, 0 superseded, 0 rejected"
    ]
    assert airflow.mail.messages == []


def test_a_run_by_hand_without_a_date_loads_today_though_chat_hangs_a_worker_is_lost_and_a_model_fails_once(
    airflow, scheduled, measured, monkeypatch
):
    """The worker is lost in the merge. The model fails on a table that somebody has changed, and is healed by its retry
    once that is mended."""
    today = datetime.now(UTC).date().isoformat()
    airflow.land(today, sales(today, 30))
    monkeypatch.setattr(airflow.chat, "keep", lambda message: time.sleep(60))
    lost, broken = "load_to_prod.daily_sales_model_build", "load_to_prod.sales_by_day_model_build"
    write(airflow, "alter table prod.sales_by_day rename column net to earned")

    client = airflow.airflow
    run_id = client.call("POST", f"dags/{airflow.dag_id}/dagRuns", json={"logical_date": None})["dag_run_id"]
    hunt(airflow.warehouse, tries_of(client, airflow.dag_id, run_id, [lost]), worker=True, committed=False)
    mended = []

    def mend(task):
        if task.task == broken and task.state == "up_for_retry" and not mended:
            mended.append(write(airflow, "alter table prod.sales_by_day rename column earned to net"))

    run = client.wait(airflow.dag_id, run_id, on_change=mend)
    tasks = {task.task: task for task in run.tasks}
    assert run.state == "success"
    assert tasks[lost].tries == 2
    assert tasks[broken].tries >= 2
    assert {task.tries for name, task in tasks.items() if name not in (lost, broken)} == {1}
    assert tasks["notify_success"].seconds < 15
    assert "No message by chat: TimeoutError" in client.log(airflow.dag_id, run_id, tasks["notify_success"])
    expected = Reference()
    expected.load({f"raw/sales/{today}/sales_export.csv": sales(today, 30)})
    compare_day(airflow, expected, today)
    assert airflow.mail.messages == []
    # A retry is no failure, neither where the worker was lost nor where the model failed.
    took = measured.last("airflow.dag.duration", dag=airflow.dag_id, state="success")
    known = client.call("GET", f"dags/{airflow.dag_id}/dagRuns/{run_id}")
    assert took == pytest.approx(known["duration"] * 1000, abs=1)
    assert measured.counts("airflow.task.success", dag=airflow.dag_id) == dict.fromkeys(tasks, 1)
    assert measured.counts("airflow.task.retry", dag=airflow.dag_id) == {lost: 1, broken: tasks[broken].tries - 1}
    assert measured.counts("airflow.task.failure", dag=airflow.dag_id) == {}
    for task in run.tasks:
        took = measured.last("airflow.task.duration", dag=airflow.dag_id, task=task.task)
        assert took == pytest.approx(task.seconds * 1000, abs=500)


def test_tables_are_synced_each_by_itself_and_an_idle_hour_starts_no_dbt(airflow, told, measured):
    """The run that the schedule starts by itself builds all tables; one of its files is refused."""
    client, dag_id = airflow.airflow, "table_sync"
    for key, content in (demo_tables.second_hour() | demo_tables.first_hour()).items():
        broken = key == demo_tables.path("orders", 1)
        airflow.services.s3.land(key, content.replace(b"order_total", b"total") if broken else content)
    run = scheduled_tables(client)
    states = {task.task: task.state for task in run.tasks}
    assert run.state == "failed"
    # Freshness is not asked of tables that were not there.
    assert {task: state for task, state in states.items() if state != "success"} == {
        "validate_orders": "failed", "notify_success": "upstream_failed", "check_freshness": "skipped"
    }  # fmt: skip
    assert airflow.query("select count(*) from prod.customers") == [(demo_tables.CUSTOMERS - 3,)]
    assert airflow.query("select count(*) from prod.orders") == [(demo_tables.ORDERS,)]
    chat, mail = told()
    # Sales of other tests have no product and warn.
    for texts in (chat, mail):
        (text,) = (text for text in texts if "DAG table_sync failed for " in text)
        assert "Task: validate_orders" in text
        assert "the header lacks order_total and has total, which the contract does not know" in text

    # Nothing has changed, so the refused file makes no second alert. In the first run of a day freshness is asked.
    for hour, asked in ((4, {"check_freshness", "notify_success"}), (5, set())):
        idle = client.wait(dag_id, client.start(dag_id, f"2024-01-03T0{hour}:00"))
        assert idle.state == "success"
        assert {task.task for task in idle.tasks if task.state != "skipped"} == {"find_new_files"} | asked

    # Mended; an order whose customer has not come is told, and loaded.
    key = demo_tables.path("orders", 1)
    airflow.services.s3.land(key, demo_tables.second_hour()[key])
    run = client.wait(dag_id, client.start(dag_id, "2024-01-03T06:00"))
    assert run.state == "success"
    assert {task.task for task in run.tasks if task.state == "success"} == {
        "find_new_files", "sync_orders", "validate_orders", "notify_success"
    }  # fmt: skip
    warned, synced = told()[0][-2:]
    assert "validate_orders, orders_have_their_customers: Got 1 result, configured to warn if != 0\n" in warned
    assert "\n  from_field=C" in warned
    assert (
        "\n  All of it: `.venv/bin/dbt show --limit 1000 --output json --select orders_have_their_customers`" in warned
    )
    [validated] = [task for task in run.tasks if task.task == "validate_orders"]
    assert "orders_have_their_customers has found: from_field=C" in client.log(dag_id, run.run_id, validated, lines=200)
    assert "orders: 1 new file; rows now: 521 received, 421 current, 100 superseded, 0 rejected" in synced
    load = measured.load(dag_id, "orders")
    assert (load["rows_received"], load["rows_merged"], load["files_refused"]) == (521, 421, 0)
    assert load["freshness"] == age_of_newest(airflow, "orders")

    # A sync that is cleared by itself does its work once more.
    clear(client, dag_id, run.run_id, "sync_orders", downstream=False)
    run = client.wait(dag_id, run.run_id)
    [sync] = [task for task in run.tasks if task.task == "sync_orders"]
    assert (run.state, sync.state, sync.tries) == ("success", "success", 2)
    assert "staging.newest_orders" in client.log(dag_id, run.run_id, sync, lines=200)
    client.call("PATCH", f"dags/{dag_id}", json={"is_paused": True})


def test_a_sender_that_is_silent_is_told_once_a_day_until_it_sends_again(airflow, told):
    """The tables are those of the test before, whose files are of 2024-01-03. An hour in which nothing came."""
    client, dag_id = airflow.airflow, "table_sync"
    client.unpause(dag_id)

    def run(time_of):
        ended = client.wait(dag_id, client.start(dag_id, time_of))
        return ended.state, {task.task: task.tries for task in ended.tasks if task.state not in ("skipped", "success")}

    assert run("2024-01-09T00:00") == ("failed", {"check_freshness": 1, "notify_success": 0})
    for texts in told():
        [text] = [html.unescape(text) for text in texts if "2024-01-09T00:00" in text]
        assert "Task: check_freshness\nProblem: " in text
        assert "orders_is_fresh: Got 1 result" in text
        assert "newest_updated_at=2024-01-0" in text
        assert "What to do: Ask who sends it." in text
    assert run("2024-01-09T01:00") == ("success", {})
    assert "2024-01-09T01:00" not in str(told())
    files = demo_tables.second_hour()
    for key in (demo_tables.path("orders", 1), demo_tables.path("inventory", 1)):
        content = files[key].replace(b"2024-01-03", b"2024-01-10")
        airflow.services.s3.land(key.replace("2024-01-03", "2024-01-10"), content)
    assert run("2024-01-10T00:00") == ("success", {})
    client.call("PATCH", f"dags/{dag_id}", json={"is_paused": True})


def test_one_line_of_a_dag_file_has_it_watched(airflow, told, measured, tmp_path):
    """A retry is told to nobody; a task and a run that take long are, once; of tasks that fail each says what has
    failed before it."""
    client, dag_id, file = airflow.airflow, "watched_in_tests", tmp_path / "what"
    client.wait_for_dag(dag_id)
    client.unpause(dag_id)
    says = {
        "task": "⏰ DAG watched_in_tests, run of 2024-01-05T01:00: slow has run for 6 s at try 1, and goes on\n",
        "run": "⏰ DAG watched_in_tests is not complete for 2024-01-05T01:00, 0.2 minutes after it was queued\n",
    }
    file.write_text("work")
    run_id = client.start(dag_id, "2024-01-05T01:00", {"file": str(file)})
    deadline = time.monotonic() + 120
    while not all(any(html.unescape(text).startswith(("<pre>" + line, line)) for text in texts)
                  for texts in told() for line in says.values()):  # fmt: skip
        assert time.monotonic() < deadline, told()
        time.sleep(0.5)
    file.write_text("fail once")
    run = client.wait(dag_id, run_id)
    assert (run.state, {task.task: task.tries for task in run.tasks}) == (
        "success", {"slow": 1, "first": 2, "second": 2}
    )  # fmt: skip
    assert [len(texts) for texts in told()] == [2, 2]
    assert measured.last("airflow.deadline.missed", dag=dag_id) == 1
    assert measured.counts("airflow.task.retry", dag=dag_id) == {"first": 1, "second": 1}
    assert measured.counts("airflow.task.failure", dag=dag_id) == {}

    file.write_text("fail")
    run = client.wait(dag_id, client.start(dag_id, "2024-01-05T02:00", {"file": str(file)}))
    assert (run.state, {task.task: task.tries for task in run.tasks}) == (
        "failed", {"slow": 1, "first": 4, "second": 4}
    )  # fmt: skip
    for texts in told():
        texts = [html.unescape(text) for text in texts if "❌" in text and "2024-01-05T02:00" in text]
        assert [text.count("\nProblem: broken ") for text in texts] == [1, 1]
        others = [re.findall("\nFailed in this run too: (first|second)\n", text) for text in texts]
        assert max(map(len, others)) == 1


def test_a_backfill_whose_scheduler_is_killed_ends_each_day_once(airflow, scheduled, told, second_scheduler):
    """Six days, three at a time, of which one has no file; then the same again."""
    client, out, dag_id = airflow.airflow, Console(quiet=True), airflow.dag_id
    days = Days(date(2024, 3, 1), date(2024, 3, 6))
    came = [str(day) for day in days if str(day) != "2024-03-05"]
    for day in came:
        airflow.land(day, sales(day, 10))
    at_once = []

    def states():
        runs = client.call("GET", f"dags/{dag_id}/dagRuns", params={"logical_date_gte": "2024-03-01T00:00:00Z",
            "logical_date_lte": "2024-03-07T00:00:00Z"})["dag_runs"]  # fmt: skip
        at_once.append(sum(run["state"] == "running" for run in runs))
        return {run["logical_date"][:10]: (run["state"], run["end_date"]) for run in runs}

    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(backfill, client, dag_id, days, False, out)
        deadline = time.monotonic() + 600
        while sum(state == "success" for state, _ in states().values()) < 1:
            assert time.monotonic() < deadline, states()
            time.sleep(0.2)
        kill_scheduler()
        with pytest.raises(LocalError, match="Airflow's scheduler has ended unexpectedly"):
            first.result(timeout=60)
    ended = {day: state for day, state in states().items() if state[0] == "success"}
    second_scheduler()
    with pytest.raises(LocalError, match="Another backfill of daily_sales_etl_v2, 2024-03-01 to 2024-03-06, has not"):
        backfill(client, dag_id, Days(date(2024, 3, 4), date(2024, 3, 8)), False, out)
    out = Console(file=StringIO(), width=200)
    assert backfill(client, dag_id, days, False, out) is False
    said = out.file.getvalue()
    assert "Going on with the backfill" in said
    assert re.search(r"2024-03-05 +failed .*wait_for_sales_file: raw/sales/2024-03-05/sales_export.csv has not", said)
    assert said.endswith("5 of 6 days have ended well.\n")
    last = states()
    assert {day: state for day, (state, _) in last.items()} == {
        str(day): "failed" if str(day) == "2024-03-05" else "success" for day in days
    }
    for texts in told():
        # Killed while it told, it would have told again.
        text = [html.unescape(text) for text in texts if "❌" in text and "2024-03-05" in text][-1]
        assert "Problem: raw/sales/2024-03-05/sales_export.csv has not come." in text
        assert "What to do: The day" in text
    # What had ended well was not run again.
    assert {day: last[day] for day in ended} == ended
    assert max(at_once) == 3
    for day in came:
        compare_day(airflow, loaded_once(day), day)

    # The file has come: that day alone is run.
    airflow.land("2024-03-05", sales("2024-03-05", 10))
    assert backfill(client, dag_id, days, False, Console(quiet=True)) is True
    assert {day: state for day, state in states().items() if day != "2024-03-05"} == {
        day: state for day, state in last.items() if day != "2024-03-05"
    }
    compare_day(airflow, loaded_once("2024-03-05"), "2024-03-05")
    with pytest.raises(LocalError, match="table_sync runs more often than once a day and takes whatever has come"):
        backfill(client, "table_sync", days, False, out)
    with pytest.raises(LocalError, match="FROM=2023-12-31 is before 2024-01-01, when daily_sales_etl_v2 begins"):
        backfill(client, dag_id, Days(date(2023, 12, 31), date(2024, 1, 2)), False, out)


@pytest.mark.long
def test_the_dag_that_catches_up_begins_at_its_first_day_and_ends_in_the_same_state(airflow, scheduled):
    client, dag_id = airflow.airflow, "sales_etl"
    days = ["2024-01-01", "2024-01-02"]
    for day in days:
        airflow.land(day, sales(day, 10))
    client.wait_for_dag(dag_id)
    assert client.call("GET", f"dags/{dag_id}")["is_paused"]
    client.unpause(dag_id)
    asked = {"order_by": "logical_date", "limit": 3}
    deadline = time.monotonic() + 600
    while True:
        runs = client.call("GET", f"dags/{dag_id}/dagRuns", params=asked)["dag_runs"]
        if len(runs) == 3 and {run["state"] for run in runs} <= {"success", "failed"}:
            break
        assert time.monotonic() < deadline, runs
        time.sleep(0.5)
    client.call("PATCH", f"dags/{dag_id}", json={"is_paused": True})
    client.end_unfinished(dag_id)
    # Of the third day no file has come, which holds up nothing.
    assert [(run["logical_date"][:10], run["state"]) for run in runs] == [
        ("2024-01-01", "success"), ("2024-01-02", "success"), ("2024-01-03", "failed")
    ]  # fmt: skip
    for day in days:
        compare_day(airflow, loaded_once(day), day)


@pytest.fixture(scope="module")
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


def test_events_are_landed_and_loaded_once_each_whatever_is_killed(airflow, told, measured):
    """The topic is another one than that of the schedule, whose runs find nothing in it."""
    client, dag_id, kafka = airflow.airflow, "realtime_event_ingestion", airflow.services.kafka
    topic, tasks = "events.of.tests", ("consume_kafka_events", "transform_events", "load_to_warehouse")
    for name in (topic, events_files.TOPIC):
        kafka.create(name, events_files.PARTITIONS)
    sent = list(events_files.events(1500))
    kafka.send(topic, sent[:1000])
    scheduled_run(client, dag_id)

    def run(minute, act=lambda tries: None, **parameters):
        run_id = client.start(dag_id, f"2024-01-05T10:{minute:02}", {"topic": topic} | parameters)
        found = client.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        act({one["id"]: one["task_id"] for one in found})
        return client.wait(dag_id, run_id)

    def loaded():
        return airflow.query(
            f"select count(*), count(distinct event_id) from prod.usage_events where kafka_topic = '{topic}'"
        )

    first = run(0)
    assert {task.task: task.state for task in first.tasks} == dict.fromkeys(tasks, "success")
    events = ids(sent[:1000])
    assert loaded() == [(len(events), len(events))]
    rejected = airflow.query(f"select count(*) from staging.rejected_events where kafka_topic = '{topic}'")[0][0]
    [text] = [text for text in told()[0] if "2024-01-05T10:00" in text]
    assert text == (
        f"✅ DAG {dag_id} completed for 2024-01-05T10:00\nLoaded 4 objects, events: 1,000 received, {len(events)} "
        f"current, {1000 - rejected - len(events)} duplicates, {rejected} rejected\nLag: none"
    )

    # Nothing new: no dbt, and no word of it.
    assert {task.task: task.state for task in run(5).tasks} == dict(
        zip(tasks, ("success", "skipped", "skipped"), strict=True)
    )
    assert "2024-01-05T10:05" not in str(told())
    load = measured.load(dag_id, "events")
    assert load.pop("freshness") > 0
    assert load == {"rows_received": 1000, "rows_merged": len(events), "rows_rejected": rejected, "rows_held": 0}
    lag = {"dag": dag_id, "topic": topic, "share": 0}
    assert (measured.last("pipeline.events.lag", **lag), measured.last("pipeline.events.lag_age", **lag)) == (0, 0)

    # Lost before it landed: told at once, without a retry.
    kafka.send(topic, sent[1000:])
    old = sum(1 for partition, *_ in sent[:1000] if partition == 2)
    kafka.expire(topic, 2, old + 7)
    failed = run(10)
    assert [(task.state, task.tries) for task in failed.tasks if task.task == tasks[0]] == [("failed", 1)]
    for texts in told():
        [text] = [html.unescape(text) for text in texts if "2024-01-05T10:10" in text]
        assert f"Lost: partition 2: offsets {old} to {old + 6} have expired before they were landed" in text
        assert "trigger the DAG by hand with accept_loss true" in text

    # Gone on from on purpose, by tasks that are killed when they have opened the warehouse: their retries finish it.
    killed = set(tasks[1:])

    def kill_them(tries):
        hunt(airflow.warehouse, {ti: task for ti, task in tries.items() if task in killed}, False, False)

    healed = run(15, kill_them, accept_loss=True)
    assert healed.state == "success"
    assert {task.task for task in healed.tasks if task.tries == 2} == killed
    of_partition = [event for event in sent[1000:] if event[0] == 2]
    there = [event for event in sent[1000:] if event[0] != 2] + of_partition[7:]
    assert loaded() == [(len(ids(sent[:1000] + there)),) * 2]
    client.call("PATCH", f"dags/{dag_id}", json={"is_paused": True})


def ids(messages):
    """The ids of the events that some messages are; those that are none are left out."""
    return {json.loads(value)["event_id"] for _, _, value, _ in messages if value not in events_files.BAD.values()}


def scheduled_tables(client):
    """The run of the tables that the schedule starts once it may."""
    return scheduled_run(client, "table_sync")


SECRETS = (KEY, SECRET, KAFKA_PASSWORD, CHAT_TOKEN, CHAT_TOKEN.partition("/")[2], MAIL_PASSWORD)


def test_no_credential_is_shown_though_all_of_them_are_refused(airflow, told):
    """Neither in a log nor in a rendered template, an error or a message, of these runs or any other."""
    client, day, tables = airflow.airflow, "2024-01-14", "table_sync"
    scheduled_tables(client)
    airflow.land(day, sales(day, 10))
    airflow.chat.refuses = airflow.mail.refuses = True
    authenticate(airflow, from_now_on=True)
    try:
        runs = {airflow.dag_id: client.start(airflow.dag_id, day), tables: client.start(tables, f"{day}T00:00")}
        ended = {dag_id: client.wait(dag_id, run_id) for dag_id, run_id in runs.items()}
        assert not [text for texts in told() for text in texts if day in text]
    finally:
        authenticate(airflow, from_now_on=False)
        airflow.chat.refuses = airflow.mail.refuses = False
    shown = airflow.shown()
    for dag_id, run in ended.items():
        assert run.state == "failed"
        [failed] = [task for task in run.tasks if task.state == "failed"]
        log = client.log(dag_id, run.run_id, failed, lines=100)
        refused = "HeadObject operation: Forbidden" if dag_id == airflow.dag_id else "the connection aws_default"
        for says in (refused, "No message by chat: ", "No message by mail: SMTPAuthenticationError: (535"):
            assert says in log, log
    assert [secret for secret in SECRETS if secret in shown] == []
    # Logs, messages, the warehouse and what PostgreSQL keeps for Airflow.
    assert files_with(airflow.warehouse.parent, SECRETS) == []
    client.call("PATCH", f"dags/{tables}", json={"is_paused": True})


def test_a_held_file_touches_nothing_and_is_told_while_the_others_load_and_loads_once_mended(airflow, told, measured):
    """Mended, the failed run is cleared, as a person does after an alert: its deadline must not be in the way."""
    day = "2024-01-06"
    before = airflow.query("select * from prod.daily_sales order by all")
    airflow.land(day, HEADER.encode())
    airflow.land(day, sales(day, 10), name="late_stores.csv")
    airflow.land(day, sales(day, 10) + b'"', name="broken.csv")
    run = airflow.run(day)
    states = {task.task: task.state for task in run.tasks}
    assert run.state == "failed"
    assert [task for task, state in states.items() if state == "failed"] == ["update_metrics"]
    assert states["load_to_prod.sales_by_day_model_build"] == "success"
    after = airflow.query("select * from prod.daily_sales order by all")
    assert set(before) <= set(after)
    assert {row[-2] for row in set(after) - set(before)} == {f"raw/sales/{day}/late_stores.csv"}

    # A run that ends red is measured, too, as the ledger has it.
    load = measured.load(airflow.dag_id, "sales")
    assert load.pop("freshness") == age_of_newest(airflow, "daily_sales")
    assert load == {
        "rows_received": 10, "rows_merged": 10, "rows_rejected": 0, "rows_held": 0, "files_refused": 1, "files_held": 1
    }  # fmt: skip
    [failed] = [task for task, state in states.items() if state == "failed"]
    assert measured.counts("airflow.task.failure", dag=airflow.dag_id) == {failed: 1}

    chat, mail = told()
    for (text,) in (chat, mail):
        assert f"DAG daily_sales_etl_v2 failed for {day}" in text
        assert f"File held: raw/sales/{day}/sales_export.csv. Check: row_count. Rows: 0 of 0." in text
        assert f"File refused: raw/sales/{day}/broken.csv" in text
        assert "/tasks/update_metrics" in text
    assert airflow.mail.messages[-1]["to"] == ["data-alerts@company.com"]
    # The log, which the alert links to, says the same, and what to type.
    [failed] = [task for task in run.tasks if task.state == "failed"]
    log = airflow.airflow.log(airflow.dag_id, run.run_id, failed, lines=200)
    assert f"no_file_to_mend has found: state=held, source_file=raw/sales/{day}/sales_export.csv, " in log
    assert f"state=refused, source_file=raw/sales/{day}/broken.csv, source_record=12, " in log
    assert f"  If it is right as it is: make release FILE=raw/sales/{day}/sales_export.csv REASON=" in log
    [load] = [task for task in run.tasks if task.task == "extract_to_staging.raw_sales_run"]
    assert f"REFUSED raw/sales/{day}/broken.csv" in airflow.airflow.log(airflow.dag_id, run.run_id, load, lines=200)

    airflow.land(day, sales(day, 12))
    airflow.land(day, sales(day, 10), name="broken.csv")
    airflow.airflow.clear(airflow.dag_id, run.run_id)
    assert airflow.airflow.wait(airflow.dag_id, run.run_id).state == "success"
    assert airflow.query(f"select count(*) from prod.daily_sales where source_file like '%{day}%'") == [(12,)]
    chat, _ = told()
    assert [text.split("\n")[0] for text in chat] == [
        f"❌ DAG daily_sales_etl_v2 failed for {day}",
        f"✅ DAG daily_sales_etl_v2 completed for {day}",
    ]


@pytest.mark.long
def test_a_file_that_does_not_come_is_told(airflow, told, measured):
    run = airflow.run("2024-01-07")
    states = {task.task: task.state for task in run.tasks}
    assert run.state == "failed"
    assert states.pop("wait_for_sales_file") == "failed"
    assert set(states.values()) == {"upstream_failed"}
    chat, mail = told()
    for (text,) in (chat, mail):
        assert "Problem: raw/sales/2024-01-07/sales_export.csv has not come." in text
        assert "What to do: The day" in text
    assert measured.counts("airflow.task.failure", dag=airflow.dag_id) == {"wait_for_sales_file": 1}
    assert measured.counts("airflow.task.success", dag=airflow.dag_id) == {}


# A callback that comes while the dag-processor reads the file waits until it is read again, 60 seconds later.
UNTIL_TOLD = 150


@pytest.mark.parametrize(
    ("worker", "tables", "day"),
    [
        pytest.param(False, False, None, id="task"),
        pytest.param(False, True, "2024-01-13", id="task of each DAG", marks=pytest.mark.long),
        pytest.param(True, True, "2024-01-15", id="worker of each DAG", marks=pytest.mark.long),
    ],
)
def test_what_is_killed_at_every_try_is_told_once_by_its_run(airflow, scheduled, told, measured, worker, tables, day):
    """Most often it is out of memory. Airflow calls no task then; for a lost worker it does, without saying why."""
    client, (facts, loaded) = airflow.airflow, scheduled
    if day:
        airflow.land(day, sales(day, 10))
        loaded = airflow.run(day)
    else:
        day = facts["logical_date"][:10]
    assert loaded.state == "success"
    killed = {(airflow.dag_id, loaded.run_id): "extract_to_staging.raw_sales_run"}
    wanted = [f"❌ DAG {airflow.dag_id} failed for {day}"]
    if tables:
        scheduled_tables(client)
        key = f"raw/products/{day}/00/products.csv"
        airflow.services.s3.land(key, demo_tables.second_hour()[demo_tables.path("products", 1)])
        run_id = client.start("table_sync", f"{day}T00:00")
        assert client.wait("table_sync", run_id).state == "success"
        killed["table_sync", run_id] = "sync_products"
        wanted.append(f"❌ DAG table_sync failed for {day}T00:00")
    # They wait for the warehouse, so that none of them can end before it is killed.
    with held(airflow.warehouse):
        for (dag_id, run_id), task in killed.items():
            clear(client, dag_id, run_id, task)
        kill_every_try(client, killed, worker)
    for (dag_id, run_id), task in killed.items():
        run = client.wait(dag_id, run_id)
        assert run.state == "failed"
        assert {one.task: (one.state, one.tries) for one in run.tasks}[task] == ("failed", 5)
    deadline = time.monotonic() + UNTIL_TOLD
    while not all(any(line in text for text in texts) for texts in told() for line in wanted):
        assert time.monotonic() < deadline, f"nobody was told: {told()}"
        time.sleep(0.5)
    for texts in told():
        for line, task in zip(wanted, killed.values(), strict=True):
            [text] = [html.unescape(text) for text in texts if f"{line}\n" in text]
            assert f"\nTask: {task}\nProblem: the task's process ended without a word: it was killed" in text
            assert f"/tasks/{task}" in text
    # Nor does it send anything itself; of a lost worker the scheduler does while there is another try.
    for (dag_id, _), task in killed.items():
        assert measured.last("airflow.task.failure", dag=dag_id, task=task) == 1
        assert measured.counts("airflow.task.failure", dag=dag_id) == {task: 1}
    # Airflow has been through all failures of this session by now: none was told twice, by its task and by its run.
    failures = [text.split("\nProblem: ")[0] for text in (m["text"] for m in airflow.chat.messages) if text[0] == "❌"]
    assert max(Counter(failures).values()) == 1
    if tables:
        client.call("PATCH", "dags/table_sync", json={"is_paused": True})


def test_a_model_is_trained_and_deployed_though_both_are_killed_and_not_of_late_features(airflow, told, measured):
    """The last but the next and the long ones: its customers are none of the other tests'."""
    client, dag_id = airflow.airflow, "churn_training"
    demo = ChurnDemo(dag_id, airflow.services, Console(quiet=True))
    demo.land_all("", count=500)
    demo.dbt("", *LOAD)
    demo.dbt("", *SNAPSHOT, day=str(churn_files.SNAPSHOT))
    # Of yesterday nothing has come.
    late = scheduled_run(client, dag_id)
    states = {task.task: task.state for task in late.tasks}
    assert (late.state, states.pop("ml_training.fresh_feeds")) == ("failed", "failed")
    assert states.pop("ml_deployment.results") == "success"
    assert set(states.values()) == {"upstream_failed"}
    [text] = [text for text in told()[0] if f"❌ DAG {dag_id}" in text]
    assert "feeds_of_snapshots_are_fresh" in text
    assert f"feed=customers, newest_day={churn_files.LAST}" in text
    assert airflow.query("select count(*) from prod.model_runs") == [(0,)]

    run_id = client.start(dag_id, str(churn_files.LAST))
    killed = {"ml_training.trained_model", "ml_deployment.deployed_model"}
    hunt(airflow.warehouse, tries_of(client, dag_id, run_id, killed), worker=False, committed=False)
    run = client.wait(dag_id, run_id)
    assert run.state == "success", run
    assert {task.task for task in run.tasks if task.tries == 2} == killed
    [(decision, snapshot, hash)] = airflow.query("select decision, snapshot_date, model_hash from prod.model_runs")
    assert (decision, snapshot) == ("deployed", churn_files.SNAPSHOT)
    [endpoint] = airflow.services.sagemaker.endpoints.values()
    assert hash[:16] in endpoint.serves
    scored = airflow.query("select count(*), min(model_hash), max(model_hash) from prod.churn_scores")
    there = airflow.query(f"select count(*) from prod.customer_features where snapshot_date = '{churn_files.LAST}'")
    assert scored == [(*there[0], hash, hash)]
    [text] = [text for text in told()[0] if f"✅ DAG {dag_id} completed for {churn_files.LAST}" in text]
    assert "\nModel AUC 0." in text
    assert "\nDecision: deployed. Its AUC is 0." in text
    [(auc,)] = airflow.query("select auc from prod.model_runs")
    assert measured.last("pipeline.model.auc", dag=dag_id) == pytest.approx(float(auc), abs=1e-6)
    assert measured.last("pipeline.model.decision", dag=dag_id, decision="deployed") == 1
    client.call("PATCH", f"dags/{dag_id}", json={"is_paused": True})


def test_cloudwatch_has_what_datadog_has(airflow):
    """Of what the tests before have measured: but for those moments in which AWS took nobody."""
    everything = Measured(airflow.services.metrics, since=0)
    refused = {airflow.dag_id, "table_sync"}
    sent = {one: values for one, values in everything.values().items() if not refused & set(dict(one[1]).values())}
    wanted = {one: (len(values), pytest.approx(sum(values))) for one, values in sent.items()}
    kept = in_cloudwatch(airflow.services.s3.endpoint, "Pipelines")
    assert {one: kept[one][:2] for one in wanted} == wanted
    names = {name for name, _ in kept}
    assert names == {name for name, _ in everything.values()}
    assert {unit for (name, _), (_, _, unit) in kept.items() if name.endswith("duration")} == {"Milliseconds"}


@pytest.mark.long
@pytest.mark.parametrize("committed", [False, True], ids=["at work", "committed"])
@pytest.mark.parametrize("worker", [False, True], ids=["task", "worker"])
def test_a_day_of_which_every_group_is_killed_ends_well(airflow, told, worker, committed):
    tasks = [
        "extract_to_staging.raw_sales_run",
        "transform_sales.typed_sales_run",
        "load_to_prod.daily_sales_model_build",
        "update_metrics",
    ]
    # The checks write nothing.
    tasks += [] if committed else ["quality_checks"]
    kill(airflow, told, day := f"2024-02-0{1 + worker + 2 * committed}", tasks, worker, committed)
    # A run that is cleared without need says so, though it is not the first of its day.
    assert airflow.run(day).state == "success"
    assert "Nothing to do: no file is new or restated. Loaded before: 2 files" in told()[0][-1]


@pytest.mark.long
def test_tables_whose_syncs_are_killed_are_made_good_by_their_retries(airflow, scheduled):
    client, dag_id = airflow.airflow, "table_sync"
    scheduled_tables(client)
    # The changes of the second hour at eight o'clock, which no other test has loaded.
    second = demo_tables.second_hour()
    changes = {key.replace("/01/", "/08/"): data.replace(b"T01:", b"T08:") for key, data in second.items()}
    everything = demo_tables.first_hour() | changes
    names = ("customers", "inventory", "orders", "products")
    for hour, files, committed in ((8, everything, False), (9, demo_tables.mended_orders(), True)):
        for key, content in files.items():
            airflow.services.s3.land(key, content)
        syncs = {"sync_orders"} if committed else {f"sync_{name}" for name in names}
        run_id = client.start(dag_id, f"2024-01-03T{hour:02}:00")
        hunt(airflow.warehouse, tries_of(client, dag_id, run_id, syncs), worker=False, committed=committed)
        run = client.wait(dag_id, run_id)
        assert run.state == "success"
        assert {task.task for task in run.tasks if task.tries == 2} == syncs
        ended = {task.task: task.state for task in run.tasks if task.task.startswith(("sync_", "validate_"))}
        assert {task.partition("_")[2] for task, state in ended.items() if state != "skipped"} == {
            sync.removeprefix("sync_") for sync in syncs
        }
    assert airflow.query("select count(*) from prod.customers") == [(demo_tables.CUSTOMERS - 3,)]
    rows = airflow.query("select count(*), count(*) filter (where source_file like '%/02/%') from prod.orders")
    # A hundred and twenty-one of them came in the second hour.
    assert rows == [(demo_tables.ORDERS + 121, 50)]
    client.call("PATCH", f"dags/{dag_id}", json={"is_paused": True})


def kill(airflow, told, day, tasks, worker, committed):
    """Runs a day, the first try of some tasks killed, and with it a restatement of its files: it ends as if not."""
    client, dag, expected, tries = airflow.airflow, airflow.dag_id, Reference(), Counter()
    corrected, rejected = row(f"s-{day}-3", day, updated_at=f"{day}T12:00:00Z"), row("x", day, quantity="0")
    states = [
        {"late_stores.csv": sales(day, 20, "late"), "sales_export.csv": sales(day, 30)},
        {
            "late_stores.csv": sales(day, 20, "late") + f"{corrected}\n{rejected}\n".encode(),
            "sales_export.csv": sales(day, 29),
        },
    ]
    for files in states:
        for name, content in files.items():
            airflow.land(day, content, name=name)
        expected.load({f"raw/sales/{day}/{name}": content for name, content in files.items()})
        if files is not states[-1]:
            first = airflow.run(day)
            assert first.state == "success"
            tries.update({task.task: task.tries for task in first.tasks})
    run_id = client.start(dag, day)
    hunt(airflow.warehouse, tries_of(client, dag, run_id, tasks), worker, committed)
    run = client.wait(dag, run_id)
    assert run.state == "success", run
    again = {task.task: task.tries - tries[task.task] for task in run.tasks}
    assert again == {task: 2 if task in tasks else 1 for task in again}
    compare_day(airflow, expected, day)
    # Of another DAG an earlier test may still be told something.
    chat, mail = ([text for text in texts if f" {dag} " in text] for texts in told())
    assert [text.split(", rows")[0] for text in chat] == [
        f"✅ DAG daily_sales_etl_v2 completed for {day}\nLoaded 2 files"
    ] * len(states)
    assert mail == []
