"""Runs of daily sales: by the schedule and by hand, with files that are held or do not come, and with killed tasks."""

import time
from collections import Counter
from datetime import UTC, datetime

import pytest

from support.dag_runs import HEADER, age_of_newest, compare_day, hunt, sales, tries_of, write
from support.reference import Reference
from support.sales_files import row

# One Airflow is started for all of them.
pytestmark = pytest.mark.xdist_group("dag_runs")


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
