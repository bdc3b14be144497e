"""Days of the past: by `make backfill`, and by the DAG that catches up."""

import html
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from io import StringIO

import pytest
from rich.console import Console

from orchestration.local.backfill import Days, backfill
from orchestration.local.errors import LocalError
from support.dag_runs import compare_day, kill_scheduler, loaded_once, sales

# One Airflow is started for all of them.
pytestmark = pytest.mark.xdist_group("dag_runs")


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
            first.result(timeout=600)
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
