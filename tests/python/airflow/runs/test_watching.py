"""What is told and measured of a run, whatever its DAG: once, by whom it concerns, and no credential."""

import html
import re
import time
from collections import Counter

import pytest

from orchestration.local.demos import table_files as demo_tables
from orchestration.local.stand_ins.broker import KAFKA_PASSWORD
from orchestration.local.stand_ins.chat import CHAT_TOKEN
from orchestration.local.stand_ins.mail import MAIL_PASSWORD
from orchestration.local.stand_ins.s3 import KEY, SECRET
from support.airflow_fixtures import files_with
from support.dag_runs import authenticate, clear, held, kill_every_try, sales, scheduled_run

# One Airflow is started for all of them.
pytestmark = pytest.mark.xdist_group("dag_runs")


SECRETS = (KEY, SECRET, KAFKA_PASSWORD, CHAT_TOKEN, CHAT_TOKEN.partition("/")[2], MAIL_PASSWORD)


def test_no_credential_is_shown_though_all_of_them_are_refused(airflow, told):
    """Neither in a log nor in a rendered template, an error or a message, of these runs or any other. No DAG but theirs
    is at work: what would be measured of it then, CloudWatch would not get."""
    client, day, tables = airflow.airflow, "2024-01-14", "table_sync"
    scheduled_run(client, tables)
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
    deadline = time.monotonic() + 600
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


# The dag-processor tells it, a process of its own; if it reads the DAG file just then, when it reads it next.
UNTIL_TOLD = 1200


@pytest.mark.parametrize(
    ("worker", "tables", "day"),
    [
        pytest.param(False, False, None, id="task"),
        # The tables of the tests before are fresh until then.
        pytest.param(False, True, "2024-01-04", id="task of each DAG", marks=pytest.mark.long),
        pytest.param(True, True, "2024-01-05", id="worker of each DAG", marks=pytest.mark.long),
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
        scheduled_run(client, "table_sync")
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
