"""What a daily run does, a function a task; each gives the run's row, so that the tasks share nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from orchestration import settings
from orchestration.churn import card as cards
from orchestration.churn.deploying import Deployed, Serving, deploy, deployed
from orchestration.churn.drift import Drift, drifts
from orchestration.churn.endpoint import UNCHANGED, Client
from orchestration.churn.errors import ChurnError, DeploymentError
from orchestration.churn.gate import Gate, Verdict, check_enough, judge
from orchestration.churn.prepared import Columns, Least, prepare
from orchestration.churn.pruning import prune
from orchestration.churn.scoring import Model, encoded, probabilities, scores
from orchestration.churn.store import ROOT, Stored, load, store
from orchestration.churn.training import in_holdout, train

TRAINED, DEPLOYING, DEPLOYED = "trained", "deploying", "deployed"
KEPT, SAME, FAILED = "kept", "same", "failed"


@dataclass(frozen=True)
class ModelRun:
    """One row a run. `decision` is `trained` until the deployment has decided: `deploying` while it does that,
    `deployed`, `kept` what serves, `same`, or `failed`; then `why` says what serves, and the configurations are
    unknown.

    Times are UTC, hashes SHA-256 in hex; `parameters` and `measures` are JSON.
    """

    started_at: datetime
    snapshot_date: date
    rows: int
    churners: int
    trained_on: int
    measured_on: int
    held_out: int
    data_hash: str
    parameters: str
    measures: str
    model_hash: str
    artefact: str
    decision: str = TRAINED
    why: str = ""
    configuration_before: str | None = None
    configuration_after: str | None = None
    decided_at: datetime | None = None

    def row(self) -> dict[str, Any]:
        """The run as a row of a table."""
        return asdict(self)


def train_run(
    table: pa.Table,
    snapshot_date: date,
    started_at: datetime,
    *,
    root: str = ROOT,
    source: str = "prod.customer_features",
    columns: Columns | None = None,
    least: Least | None = None,
    former: str | None = None,
) -> ModelRun:
    """Trains on a snapshot and stores the model with its card; `former` is the hash of the last one, if there is one.

    A RefusedError says what is wrong with the snapshot, a ChurnError why the model was not stored.
    """
    prepared = prepare(table, columns, least, load(former, root).card if former else None)
    trained = train(prepared, hold_out=True)
    card = cards.card(trained, source, snapshot_date.isoformat())
    stored = store(trained.model, card, root)
    data = card["data"]
    return ModelRun(
        started_at=started_at,
        snapshot_date=snapshot_date,
        **{key: data[key] for key in ("rows", "churners", "trained_on", "measured_on", "held_out")},
        data_hash=data["hash"],
        parameters=_json({**card["parameters"], **card["split"]}),
        measures=_json(card["measures"]),
        model_hash=stored.hash,
        artefact=stored.archive,
    )


def deploy_run(
    client: Client,
    run: ModelRun,
    table: pa.Table,
    decided_at: datetime,
    *,
    root: str = ROOT,
    columns: Columns | None = None,
    serving: Serving | None = None,
    gate: Gate | None = None,
    begins: Callable[[ModelRun], object] = lambda run: None,
) -> tuple[ModelRun, list[str]]:
    """Compares the model of a run with the deployed one on the customers held out of this snapshot, and deploys it if
    it has earned that; `begins` is told so before. Returns the run with the decision, and notes on what did not matter
    enough to fail.

    A ChurnError says what went wrong, and what serves; its `run` is the row to keep.
    """
    run = replace(run, decided_at=decided_at)
    try:
        return _decided(client, run, table, root, columns or Columns(), serving or Serving(), gate, begins)
    except ChurnError as error:
        error.run = replace(run, decision=FAILED, why=str(error))
        raise


def score_run(table: pa.Table, hash: str, *, root: str = ROOT, id: str = "customer_id") -> pa.Table:
    """Each customer's probability by a stored model, with the three features that moved it most."""
    return scores(load(hash, root), table, id)


def drift_run(
    table: pa.Table, hash: str, *, root: str = ROOT, id: str = "customer_id", limit: float = settings.DRIFT
) -> list[Drift]:
    """How far the features and scores of a table are from those that a model, the serving one, was trained on.

    The scores are those of customers held out, if there are any: of others the model has learnt by heart.
    """
    model = load(hash, root)
    numbers = encoded(model, table)
    held_out = _is_held_out(table, id) if model.card["data"]["held_out"] else np.ones(len(table), dtype=bool)
    scored = probabilities(model, numbers[held_out]) if held_out.any() else np.empty(0)
    return drifts(model.card["reference"], numbers, cards.features(model.card), scored, limit)


def _decided(
    client: Client,
    run: ModelRun,
    table: pa.Table,
    root: str,
    columns: Columns,
    serving: Serving,
    gate: Gate | None,
    begins: Callable[[ModelRun], object],
) -> tuple[ModelRun, list[str]]:
    now = deployed(client, serving)
    verdict = None if now and now.hash == run.model_hash else _verdict(run, table, now, root, columns, gate)
    measured = json.loads(run.measures) | ({"held_out": _held_out(verdict)} if verdict else {})
    run = replace(run, measures=_json(measured))
    before = now.configuration if now else None
    if verdict and not verdict.deploy:
        return replace(
            run, decision=KEPT, why=verdict.why, configuration_before=before, configuration_after=before
        ), _pruned(client, serving)
    if verdict:
        begins(replace(run, decision=DEPLOYING, why=verdict.why, configuration_before=before))
    done = deploy(client, Stored(root, run.model_hash), serving, now)
    why = f"{verdict.why} {done.why}" if verdict else done.why
    return replace(
        run,
        decision=DEPLOYED if done.changed else SAME,
        why=why,
        configuration_before=done.before,
        configuration_after=done.after,
    ), _pruned(client, serving)


def _verdict(
    run: ModelRun, table: pa.Table, now: Deployed | None, root: str, columns: Columns, gate: Gate | None
) -> Verdict:
    held_out = table.filter(pa.array(_is_held_out(table, columns.id)))
    labels = held_out[columns.label].cast(pa.int8()).to_numpy()
    check_enough(labels)
    return judge(labels, _scored(load(run.model_hash, root), held_out), _scored_by(now, held_out, root), gate)


def _is_held_out(table: pa.Table, id: str) -> np.ndarray:
    return in_holdout(table[id].cast(pa.string()).combine_chunks())


def _scored_by(now: Deployed | None, held_out: pa.Table, root: str) -> np.ndarray | None:
    """What the deployed model gives for the customers held out, None if there is none."""
    try:
        return _scored(load(now.hash, root), held_out) if now else None
    except ChurnError as error:
        raise DeploymentError(
            f"The model that serves, with {now.configuration}, cannot score this snapshot, so no other one can be "
            f"compared with it. {error} {UNCHANGED} Bring back what it needs, or delete the endpoint."
        ) from error


def _scored(model: Model, table: pa.Table) -> np.ndarray:
    return probabilities(model, encoded(model, table))


def _held_out(verdict: Verdict) -> dict[str, Any]:
    found = verdict.difference
    compared = {"deployed_auc": found.old, "difference": found.value, "error": found.error} if found else {}
    return {"auc": verdict.auc, **compared}


def _pruned(client: Client, serving: Serving) -> list[str]:
    """Notes on pruning. What is old and could not be deleted is no reason to fail: the next run tries again."""
    try:
        gone = prune(client, serving)
    except DeploymentError as error:
        return [f"Old models stay on SageMaker for now. {error}"]
    return [f"Old, and deleted from SageMaker: {', '.join(gone)}."] if gone else []


def _json(found: Mapping) -> str:
    return json.dumps(found, sort_keys=True)
