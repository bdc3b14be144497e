"""Runs of the tables: each by itself, idle hours, a silent sender, killed syncs."""

import html

import pytest

from orchestration.local.demos import table_files as demo_tables
from support.dag_runs import age_of_newest, clear, hunt, scheduled_run, tries_of

# One Airflow is started for all of them.
pytestmark = pytest.mark.xdist_group("dag_runs")


def test_tables_are_synced_each_by_itself_and_an_idle_hour_starts_no_dbt(airflow, told, measured):
    """The run that the schedule starts by itself builds all tables; one of its files is refused."""
    client, dag_id = airflow.airflow, "table_sync"
    for key, content in (demo_tables.second_hour() | demo_tables.first_hour()).items():
        broken = key == demo_tables.path("orders", 1)
        airflow.services.s3.land(key, content.replace(b"order_total", b"total") if broken else content)
    run = scheduled_run(client, dag_id)
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


@pytest.mark.long
def test_tables_whose_syncs_are_killed_are_made_good_by_their_retries(airflow, scheduled):
    client, dag_id = airflow.airflow, "table_sync"
    scheduled_run(client, dag_id)
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
