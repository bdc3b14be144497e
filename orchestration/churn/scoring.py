"""Scores customers: each one's probability to churn, and the features that moved it most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import xgboost

from orchestration.churn.card import features
from orchestration.churn.errors import ChurnError
from orchestration.churn.features import matrix
from orchestration.churn.table import ordered_ids

REASONS = 3
# Rows scored at a time: a contribution is kept for each feature of each.
CHUNK = 50_000


@dataclass(frozen=True)
class Model:
    """A model that can score, with its card."""

    hash: str
    booster: xgboost.Booster = field(repr=False)
    card: Mapping = field(repr=False)


def model(content: bytes, card: Mapping, hash: str) -> Model:
    """A model from its bytes, which must be those that its card speaks of."""
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(content))
    except xgboost.core.XGBoostError as error:
        raise ChurnError(f"The model {hash[:16]} is none that XGBoost {xgboost.__version__} can read.") from error
    count, listed = booster.num_features(), len(card["features"])
    if card["model"]["hash"] != hash or count != listed:
        raise ChurnError(
            f"The card of the model {hash[:16]} is not its own: it is of {card['model']['hash'][:16]} and lists "
            f"{listed} features, and the model has {count}. Train it again."
        )
    return Model(hash, booster, card)


def probabilities(model: Model, numbers: np.ndarray) -> np.ndarray:
    """The probability of each row to churn, as SageMaker's container computes it."""
    return model.booster.predict(xgboost.DMatrix(numbers), validate_features=False)


def encoded(model: Model, table: pa.Table, order: np.ndarray | None = None) -> np.ndarray:
    """The rows of a table as the model reads them. A RefusedError names a feature that is not there."""
    return matrix(table, features(model.card), order)


def csv(numbers: np.ndarray) -> str:
    """Rows as the endpoint reads them: text/csv in the order of the card, unknown as nothing."""
    return "\n".join(",".join("" if np.isnan(value) else str(value) for value in row) for row in numbers)


def scores(model: Model, table: pa.Table, id: str = "customer_id") -> pa.Table:
    """One row a customer, by id: probability, the model's hash, and the three features that moved it most.

    What a feature moves is its Shapley value in log-odds, exact for trees (`pred_contribs` of XGBoost; Lundberg,
    Erion and Lee, 2018, Consistent individualized feature attribution for tree ensembles): above 0 towards churning.
    All of them and the model's own mean add up to the log-odds of the probability.
    """
    order, ids = ordered_ids(table, id)
    numbers = encoded(model, table, order.to_numpy())
    parts = [_scored(model, numbers[first : first + CHUNK]) for first in range(0, len(numbers), CHUNK)]
    found = {name: pa.concat_arrays([part[name] for part in parts]) for name in (parts[0] if parts else ())}
    return pa.table({id: ids, "model_hash": pa.array([model.hash] * len(ids), pa.string()), **found})


def _scored(model: Model, numbers: np.ndarray) -> dict[str, pa.Array]:
    names = np.array([feature.name for feature in features(model.card)], dtype=object)
    moved = model.booster.predict(xgboost.DMatrix(numbers), pred_contribs=True, validate_features=False)[:, :-1]
    # A stable order: of two that moved as much, the first of the card.
    most = np.argsort(-np.abs(moved), axis=1, kind="stable")[:, :REASONS]
    columns: dict[str, pa.Array] = {"probability": pa.array(probabilities(model, numbers), pa.float64())}
    for rank in range(REASONS):
        at = most[:, rank] if rank < most.shape[1] else None
        values = None if at is None else moved[np.arange(len(moved)), at].astype(np.float64)
        columns[f"reason_{rank + 1}"] = pa.array([None] * len(moved) if at is None else names[at], pa.string())
        columns[f"moved_{rank + 1}"] = pa.array([None] * len(moved) if values is None else values, pa.float64())
    return columns
