"""`make backfill`: a range of days by Airflow's own backfill, three at a time, with a table of how each day ended.

What was begun and not ended goes on where it was: Airflow keeps it, and days that have ended well are not run again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from orchestration.alerts.text import PROBLEM
from orchestration.local.demos.demo import COLOURS, duckdb_file, land_demo, require_setup
from orchestration.local.errors import LocalError
from orchestration.local.runtime.airflow_api import FINISHED, Airflow
from orchestration.local.services import DAGS, local_services, who_serves
from orchestration.local.terminal import command, console

DAG_ID = "daily_sales_etl_v2"
AT_ONCE = 3
POLL_SECONDS = 1


@dataclass(frozen=True)
class Days:
    """A range of days, both its ends within."""

    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=days) for days in range(len(self)))

    @property
    def times(self) -> dict[str, str]:
        """Its first and last moment, as Airflow takes them."""
        return {"from_date": f"{self.first}T00:00:00Z", "to_date": f"{self.last}T23:59:59Z"}


def days_of(first: str, last: str, today: date) -> Days:
    """The range that a person has typed; raises LocalError if it is none."""
    found = {}
    for name, value in (("FROM", first), ("TO", last)):
        try:
            found[name] = date.fromisoformat(value)
        except ValueError:
            raise LocalError(
                f"{name} is {value!r}: it must be a day, as in `make backfill FROM=2024-01-01 TO=2024-03-31`."
            ) from None
    days = Days(found["FROM"], found["TO"])
    if days.first > days.last:
        raise LocalError(f"FROM={days.first} is after TO={days.last}: the first day comes first.")
    if days.last >= today:
        raise LocalError(f"TO={days.last} has not ended; the last day that has is {today - timedelta(days=1)}.")
    return days


def backfill(client: Airflow, dag_id: str, days: Days, again: bool, out: Console) -> bool:
    """Run the days that have not ended well, or `again` all of them; whether all of them have.

    Raises LocalError if they cannot be run: another backfill of the DAG is at work, its runs are not of days, or they
    begin later.
    """
    client.wait_for_dag(dag_id)
    behaviour = "completed" if again else "failed"
    found = _unfinished(client, dag_id)
    if found and (_days(found), found["reprocess_behavior"]) == (days, behaviour):
        out.print(f"Going on with the backfill of {dag_id}, {days}, which was interrupted.")
        if found["is_paused"]:
            client.call("PUT", f"backfills/{found['id']}/unpause")
    elif found:
        raise LocalError(
            f"Another backfill of {dag_id}, {_days(found)}, has not ended, and Airflow runs one of a DAG at a time: "
            f"finish it by `make backfill DAG={dag_id} FROM={_days(found).first} TO={_days(found).last}"
            f"{' REPROCESS=yes' * (found['reprocess_behavior'] == 'completed')}`, or cancel it in Airflow (`make up`), "
            "then run this again."
        )
    else:
        wanted = _wanted(client, dag_id, days, behaviour)
        if not wanted:
            runs = _runs(client, dag_id, days).values()
            if len(runs) == len(days) and all(run["state"] in FINISHED for run in runs):
                out.print(f"Nothing to do: {dag_id} has run for every day, {days}. REPROCESS=yes runs them again.")
            else:
                out.print(f"Nothing to begin of {dag_id}, {days}: its runs are at work, or not due yet.")
            return _show(client, dag_id, days, out)
        out.print(f"Backfill of {dag_id}, {days}: {len(wanted)} of {len(days)} days, {AT_ONCE} at a time.")
        asked = {"dag_id": dag_id, **days.times, "reprocess_behavior": behaviour, "max_active_runs": AT_ONCE}
        found = client.call("POST", "backfills", json=asked)
    with _unpaused(client, dag_id):
        _follow(client, dag_id, days, out)
    return _show(client, dag_id, days, out)


def _days(backfill: Mapping[str, Any]) -> Days:
    return Days(*(datetime.fromisoformat(backfill[end]).date() for end in ("from_date", "to_date")))


def _unfinished(client: Airflow, dag_id: str) -> Mapping[str, Any] | None:
    """The backfill of a DAG that is at work; Airflow takes one at a time."""
    newest = client.call("GET", "backfills", params={"dag_id": dag_id, "order_by": "-id", "limit": 1})["backfills"]
    if not newest or newest[0]["completed_at"]:
        return None
    runs = _runs(client, dag_id, _days(newest[0])).values()
    if any(run["state"] not in FINISHED for run in runs):
        return newest[0]
    # All of it has ended, which Airflow sees every thirty seconds, and just now, perhaps.
    try:
        client.call("PUT", f"backfills/{newest[0]['id']}/cancel")
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.CONFLICT:
            raise
    return None


def _wanted(client: Airflow, dag_id: str, days: Days, behaviour: str) -> list[str]:
    """The dates that Airflow would run."""
    begins = client.call("GET", f"dags/{dag_id}/details")["start_date"]
    if begins and days.first < (start := datetime.fromisoformat(begins).date()):
        raise LocalError(f"FROM={days.first} is before {start}, when {dag_id} begins.")

    def dates(behaviour: str) -> list[str]:
        asked = {"dag_id": dag_id, **days.times, "reprocess_behavior": behaviour}
        return [one["logical_date"] for one in client.call("POST", "backfills/dry_run", json=asked)["backfills"]]

    if len(dates("completed")) > len(days):
        raise LocalError(f"{dag_id} runs more often than once a day and takes whatever has come: nothing to fill in.")
    return dates(behaviour)


@contextmanager
def _unpaused(client: Airflow, dag_id: str) -> Iterator[None]:
    """A DAG that is paused runs nothing, a backfill neither."""
    paused = client.call("GET", f"dags/{dag_id}")["is_paused"]
    client.unpause(dag_id)
    yield
    # Not if it was interrupted: what is at work would stay so, and hold up the next.
    if paused:
        client.call("PATCH", f"dags/{dag_id}", json={"is_paused": True})


def _runs(client: Airflow, dag_id: str, days: Days) -> dict[date, dict[str, Any]]:
    """The run of each day that has one."""
    asked = {"logical_date_gte": days.times["from_date"], "logical_date_lte": days.times["to_date"], "limit": 100}
    found: list[dict[str, Any]] = []
    while True:
        page = client.call("GET", f"dags/{dag_id}/dagRuns", params=asked | {"offset": len(found)})
        found += page["dag_runs"]
        if len(found) >= page["total_entries"] or not page["dag_runs"]:
            break
    # Of several of a day, by hand at other hours, one that is at work, or else the newest.
    found.sort(key=lambda run: (run["state"] not in FINISHED, run["start_date"] or ""))
    return {datetime.fromisoformat(run["logical_date"]).date(): run for run in found}


def _follow(client: Airflow, dag_id: str, days: Days, out: Console) -> None:
    """Tell of each day that ends, until all have."""
    told: set[date] = set()
    begun = datetime.now(UTC)
    while True:
        client.check()
        runs = _runs(client, dag_id, days)
        for day, run in sorted(runs.items()):
            if run["state"] in FINISHED and day not in told:
                told.add(day)
                if run["end_date"] and datetime.fromisoformat(run["end_date"]) > begun:
                    line = f"  {day}  {run['state']:<8} {_seconds(run):>8}   {len(told)} of {len(days)} days"
                    out.print(line, style=COLOURS[run["state"]])
        # Those that were queued have failed, if it was cancelled.
        if all(run["state"] in FINISHED for run in runs.values()):
            return
        time.sleep(POLL_SECONDS)


def _show(client: Airflow, dag_id: str, days: Days, out: Console) -> bool:
    """Show how each day has ended; whether all have ended well."""
    runs = _runs(client, dag_id, days)
    table = Table("Day", "Ended as", "Took", "Why", box=None, pad_edge=False)
    good = 0
    for day in days:
        run = runs.get(day)
        state = run["state"] if run else "no run"
        good += state == "success"
        why = _why(client, dag_id, run["dag_run_id"]) if state == "failed" else ""
        why = why or ("its run is not due yet" if not run else "")
        table.add_row(str(day), state, _seconds(run) if run else "", why, style=COLOURS.get(state))
    out.print()
    out.print(table)
    out.print(f"\n{good} of {len(days)} days have ended well.")
    return good == len(days)


def _seconds(run: Mapping[str, Any]) -> str:
    return f"{run['duration']:.0f} s" if run["duration"] is not None else ""


def _why(client: Airflow, dag_id: str, run_id: str) -> str:
    """The first task of a run that has failed, and what it says of it."""
    for task in client.tasks(dag_id, run_id):
        if task.state == "failed":
            said = client.said(dag_id, run_id, task.task, PROBLEM)
            return f"{task.task}: {said or 'its process ended without a word'}"
    return ""


@contextmanager
def _airflow(out: Console) -> Iterator[Airflow]:
    """The Airflow of a `make up` in this folder, or one of its own."""
    if url := who_serves():
        out.print(f"By the Airflow of `make up`, {url}. Ctrl-C ends this table, and not the backfill.")
        with Airflow(url) as client:
            client.started = datetime.fromtimestamp(0, UTC)
            yield client
        return
    with local_services(warehouse=duckdb_file(), say=out.print) as services:
        land_demo(services)
        out.print("Ctrl-C interrupts it; the same command goes on with it.")
        yield services.airflow


def main() -> int:
    """Run what was asked for; 0 if every day has ended well."""
    parser = argparse.ArgumentParser(prog="make backfill")
    for name in ("from", "to", "dag", "reprocess"):
        parser.add_argument(f"--{name}", default="")
    typed = parser.parse_args()
    if not (vars(typed)["from"] and typed.to):
        raise LocalError("FROM and TO are missing, as in `make backfill FROM=2024-01-01 TO=2024-03-31`.")
    dag_id, known = typed.dag or DAG_ID, sorted(file.stem for file in DAGS.glob("*.py"))
    if dag_id not in known:
        raise LocalError(f"There is no DAG {dag_id}; there are {', '.join(known)}.")
    if typed.reprocess not in ("", "yes", "no"):
        raise LocalError(f"REPROCESS is {typed.reprocess!r}: it is yes or no.")
    days = days_of(vars(typed)["from"], typed.to, datetime.now(UTC).date())
    require_setup()
    out = console()
    with _airflow(out) as client:
        try:
            good = backfill(client, dag_id, days, typed.reprocess == "yes", out)
        except httpx.HTTPStatusError as error:
            raise LocalError(f"Airflow refused it: {error.response.text}") from error
        except httpx.TransportError as error:
            raise LocalError(f"Airflow is gone ({error}); run this again once it is back.") from error
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(command("make backfill", main))
