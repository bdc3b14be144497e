"""What a daily run lands for the warehouse, as files of feeds: its own row, and the scores of customers.

A file is created once and never changed. Its name has the time at which it was decided or scored, so that a later one
wins.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from orchestration.churn.runs import DEPLOYED, DEPLOYING, SAME, ModelRun
from orchestration.churn.scoring import REASONS
from orchestration.events.objects import Objects

RUNS, SCORES = "raw/model_runs", "raw/churn_scores"
REFUSED = "refused"
HASH = 16
RUN_COLUMNS = (
    *("run_id", "started_at", "snapshot_day", "customers", "churners", "trained_on", "measured_on", "held_out"),
    *("data_hash", "parameters", "measures", "auc", "logistic_regression_auc", "base_rate_auc", "model_hash"),
    *("artefact", "decision", "why", "configuration_before", "configuration_after", "updated_at"),
)
SCORE_COLUMNS = (
    *("customer_id", "snapshot_day", "model_hash", "probability"),
    *(f"{name}_{rank}" for rank in range(1, REASONS + 1) for name in ("reason", "moved")),
    "updated_at",
)


def plain(run: ModelRun) -> dict[str, Any]:
    """A run as what JSON has, for the next task."""
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in run.row().items()}


def from_plain(said: Mapping[str, Any]) -> ModelRun:
    """The run that was said."""
    kinds = {field.name: str(field.type) for field in fields(ModelRun)}
    return ModelRun(**{name: _typed(value, kinds[name]) for name, value in said.items()})


def land_run(objects: Objects, day: date, run_id: str, run: ModelRun) -> str:
    """Lands the row of a run below a day; returns its path.

    A run that had deployed its model, was killed and finds it serving, stays one that has deployed.
    """
    folder, landed = _landed(objects, day, run_id)
    if run.decision == SAME and max(landed, default="").endswith(_ends(DEPLOYED, run.model_hash)):
        return f"{folder}/{max(landed)}"
    measures = json.loads(run.measures)
    row = run.row() | {
        "run_id": run_id,
        "snapshot_day": _midnight(run.snapshot_date),
        "customers": run.rows,
        "auc": _rounded(measures["model"]["auc"]),
        "logistic_regression_auc": _rounded(measures["logistic_regression"]["auc"]),
        "base_rate_auc": _rounded(measures["base_rate"]["auc"]),
        "updated_at": run.decided_at,
    }
    name = f"{_name(run_id)}.{_time(run.decided_at)}{_ends(run.decision, run.model_hash)}"
    return _land(objects, f"{folder}/{name}", RUN_COLUMNS, [row])


def concluded(objects: Objects, day: date, run_id: str, run: ModelRun) -> ModelRun:
    """A run as it has ended. One that finds its model serving has deployed it, if a try of it had begun to and was
    killed, or has waited too long, before it could say so."""
    folder, names = _landed(objects, day, run_id)
    last = {
        decision: max((name for name in names if name.endswith(_ends(decision, run.model_hash))), default="")
        for decision in (DEPLOYING, DEPLOYED)
    }
    if run.decision != SAME or last[DEPLOYING] <= last[DEPLOYED]:
        return run
    [begun] = csv.DictReader(io.StringIO((objects.read(f"{folder}/{last[DEPLOYING]}") or b"").decode(), newline=""))
    why = f"{begun['why']} It was deployed by a try of this run that did not come to say so."
    return replace(run, decision=DEPLOYED, why=why, configuration_before=begun["configuration_before"] or None)


def land_refusal(
    objects: Objects, day: date, run_id: str, started_at: datetime, snapshot_date: date | None, why: str
) -> str:
    """Lands the row of a run that has trained nothing."""
    row = {"run_id": run_id, "started_at": started_at, "decision": REFUSED, "why": why, "updated_at": started_at}
    if snapshot_date:
        row["snapshot_day"] = _midnight(snapshot_date)
    path = f"{RUNS}/{day}/{_name(run_id)}.{_time(started_at)}.{REFUSED}.csv"
    return _land(objects, path, RUN_COLUMNS, [row])


def land_scores(objects: Objects, scores: pa.Table, snapshot_date: date, scored_at: datetime) -> str:
    """Lands the scores of a snapshot below the day on which they were made, for the newest path is what is in force: a
    run of an earlier day that is cleared scores by what serves now. Returns their path."""
    [hash] = scores["model_hash"].unique().to_pylist()
    same = {"snapshot_day": _midnight(snapshot_date), "updated_at": scored_at}
    rows = (
        row
        | same
        | {"probability": f"{row['probability']:.8f}"}
        | {name: _rounded(row[name]) for name in row if name.startswith("moved_")}
        for row in scores.to_pylist()
    )
    return _land(objects, f"{SCORES}/{scored_at.date()}/{_time(scored_at)}.{hash[:HASH]}.csv", SCORE_COLUMNS, rows)


def _landed(objects: Objects, day: date, run_id: str) -> tuple[str, list[str]]:
    """The folder of a day, and the names in it of what has landed of a run."""
    folder, begins = f"{RUNS}/{day}", f"{_name(run_id)}."
    return folder, [name for name in objects.after(folder, begins) if name.startswith(begins)]


def _ends(decision: str, model_hash: str) -> str:
    return f".{decision}.{model_hash[:HASH]}.csv"


def _land(objects: Objects, path: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()
        })  # fmt: skip
    objects.create(path, text.getvalue().encode())
    return path


def _typed(value: Any, kind: str) -> Any:
    if value is None or not kind.startswith("date"):
        return value
    return datetime.fromisoformat(value) if kind.startswith("datetime") else date.fromisoformat(value)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001


def _rounded(value: float | None) -> str | None:
    return None if value is None else f"{value:.6f}"


def _time(at: datetime) -> str:
    return f"{at:%Y%m%dT%H%M%S%f}"


def _name(run_id: str) -> str:
    """A run's id as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", run_id)
