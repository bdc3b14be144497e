"""What `make backfill` asks of Airflow, and what it says; a real one runs in runs/test_backfill.py."""

from datetime import UTC, date, datetime, timedelta
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from orchestration.daily_sales import look_once_at_the_past
from orchestration.local import backfill as command
from orchestration.local.backfill import Days, backfill, days_of
from orchestration.local.errors import LocalError

TODAY = date(2024, 1, 10)
DAYS = Days(date(2024, 1, 1), date(2024, 1, 2))


@pytest.mark.parametrize(
    ("first", "last", "says"),
    [
        ("2024-1-1", "2024-01-02", "FROM is '2024-1-1': it must be a day"),
        ("2024-01-01", "tomorrow", "TO is 'tomorrow': it must be a day"),
        ("2024-01-03", "2024-01-02", "FROM=2024-01-03 is after TO=2024-01-02"),
        ("2024-01-09", "2024-01-10", "TO=2024-01-10 has not ended; the last day that has is 2024-01-09"),
        ("2024-02-30", "2024-03-01", "FROM is '2024-02-30': it must be a day"),
    ],
)
def test_a_range_that_cannot_be_is_said_in_a_sentence(first, last, says):
    with pytest.raises(LocalError, match=says):
        days_of(first, last, TODAY)


def test_a_range_has_both_its_ends():
    days = days_of("2024-01-08", "2024-01-09", TODAY)
    assert (len(days), [str(day) for day in days]) == (2, ["2024-01-08", "2024-01-09"])
    assert days.times == {"from_date": "2024-01-08T00:00:00Z", "to_date": "2024-01-09T23:59:59Z"}


def run(day: int, state: str, hour: int = 2, started: str | None = "2024-01-10T00:00:00Z"):
    """A run as Airflow shows it."""
    return {
        "dag_run_id": f"{day}-{hour}", "logical_date": f"2024-01-0{day}T0{hour}:00:00Z", "state": state,
        "start_date": started, "end_date": "2024-01-10T00:01:00Z", "duration": 60.0,
    }  # fmt: skip


class Airflow:
    """Answers as Airflow does; each poll shows the next of some states of its runs."""

    def __init__(self, *polls, backfills=(), wanted=()) -> None:
        self.polls, self.backfills, self.wanted, self.calls = list(polls), list(backfills), list(wanted), []

    def call(self, method, path, **asked):
        self.calls.append(f"{method} {path}")
        if path.endswith("/dagRuns"):
            runs = self.polls.pop(0) if len(self.polls) > 1 else self.polls[0]
            return {"dag_runs": runs, "total_entries": len(runs)}
        if path == "backfills/dry_run":
            everything = asked["json"]["reprocess_behavior"] == "completed"
            return {"backfills": [{"logical_date": one} for one in (DAYS if everything else self.wanted)]}
        if path.endswith("/details"):
            return {"start_date": "2024-01-01T00:00:00Z"}
        if method == "GET" and path == "backfills":
            return {"backfills": self.backfills}
        return {"id": 7, "is_paused": False}

    def wait_for_dag(self, dag_id):
        pass

    def unpause(self, dag_id):
        self.calls.append("unpause")

    def check(self):
        pass

    def tasks(self, dag_id, run_id):
        return [SimpleNamespace(task="wait_for_sales_file", state="failed")]

    def said(self, dag_id, run_id, task, key):
        return "raw/sales/2024-01-02/sales_export.csv has not come."


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(command, "POLL_SECONDS", 0)


def begun(behaviour="failed", paused=False):
    """A backfill of the days that has not ended."""
    return {
        "id": 7, "from_date": "2024-01-01T00:00:00Z", "to_date": "2024-01-02T23:59:59Z", "completed_at": None,
        "reprocess_behavior": behaviour, "is_paused": paused, "dag_id": "d",
    }  # fmt: skip


def said_by(airflow, again=False):
    """Whether all has ended well, and what is said."""
    out = Console(file=StringIO(), width=200)
    return backfill(airflow, "d", DAYS, again, out), out.file.getvalue()


def test_days_are_followed_to_their_end_though_a_run_by_hand_of_the_same_day_has_ended():
    """Airflow clears a run that it does again, and with it when it was begun."""
    by_hand, queued = [run(1, "success", 0), run(2, "success", 0)], [run(1, "queued", started=None), run(2, "queued")]
    done = [run(1, "success", started="2024-01-11T00:00:00Z"), run(2, "failed", started="2024-01-11T00:00:00Z")]
    airflow = Airflow(by_hand + queued, by_hand + queued, by_hand + done, wanted=DAYS)
    good, said = said_by(airflow, again=True)
    assert "POST backfills" in airflow.calls
    assert not good
    assert (
        "2024-01-02  failed    60 s  wait_for_sales_file: raw/sales/2024-01-02/sales_export.csv has not come." in said
    )
    assert said.endswith("1 of 2 days have ended well.\n")


def test_a_backfill_that_was_interrupted_goes_on_though_it_was_paused():
    airflow = Airflow([run(1, "running")], [run(1, "success"), run(2, "success")], backfills=[begun(paused=True)])
    good, said = said_by(airflow)
    assert good
    assert "PUT backfills/7/unpause" in airflow.calls
    assert "POST backfills" not in airflow.calls
    assert "Going on with the backfill of d, 2024-01-01 to 2024-01-02" in said


def test_another_one_is_named_with_what_finishes_it():
    airflow = Airflow([run(1, "running")], backfills=[begun("completed")])
    finish = "`make backfill DAG=d FROM=2024-01-01 TO=2024-01-02 REPROCESS=yes`"
    with pytest.raises(LocalError, match=f"has not ended, .*finish it by {finish}"):
        said_by(airflow)


def test_one_whose_runs_have_ended_is_in_nobodys_way():
    ended = [run(1, "success"), run(2, "success")]
    good, said = said_by(Airflow(ended, backfills=[begun()]))
    assert good
    assert "Nothing to do: d has run for every day, 2024-01-01 to 2024-01-02." in said


def test_a_day_that_is_not_due_is_no_day_that_has_run():
    good, said = said_by(Airflow([run(1, "success")]))
    assert not good
    assert "Nothing to begin of d" in said
    assert "2024-01-02  no run          its run is not due yet" in said


@pytest.mark.parametrize(
    ("run_type", "age", "waits"),
    [("backfill", 0, False), ("scheduled", 2, False), ("scheduled", 0, True), ("manual", 900, True)],
)
def test_a_file_of_the_past_is_not_waited_for(run_type, age, waits):
    task = SimpleNamespace(timeout=3600)
    run = SimpleNamespace(run_type=run_type, run_after=datetime.now(UTC) - timedelta(days=age))
    look_once_at_the_past({"dag_run": run, "task": task})
    assert task.timeout == (3600 if waits else 0)
