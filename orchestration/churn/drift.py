"""How far customers are from those that the serving model was trained on.

By the population stability index of Siddiqi, Credit Risk Scorecards (2006): the sum over bins of (a - e) ln(a / e), of
the shares expected and actual; below 0.1 little has changed, above 0.25 much. Of few customers it is large by chance:
by Yurdakul and Naranjo, Statistical properties of the population stability index (2020), it is about (1/n + 1/m) times
a chi-squared variable with a degree of freedom less than there are bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orchestration.churn.features import Feature

BINS = 10
# An empty bin counts as half a customer: its logarithm would be infinite.
EMPTY = 0.5
SCORES = "the model's scores"
# By chance it is hardly ever so many standard deviations above its mean.
DEVIATIONS = 3


@dataclass(frozen=True)
class Drift:
    """The index of a column, or of the scores; `warning` if it is above the limit."""

    column: str
    index: float
    warning: str | None = None


def reference(numbers: np.ndarray, rows: np.ndarray, features: Sequence[Feature], scores: np.ndarray) -> dict:
    """What a card keeps: the bins of each feature and of the scores, and the share of these rows in each.

    The scores are of rows that the model was not trained on: of its own rows it is too sure.
    """
    columns = {feature.name: _binned(numbers[rows, at], feature.categories) for at, feature in enumerate(features)}
    return {"features": columns, "scores": _binned(scores, None)}


def drifts(
    kept: Mapping, numbers: np.ndarray, features: Sequence[Feature], scores: np.ndarray, limit: float
) -> list[Drift]:
    """The index of each feature and of the scores, the largest first; the scores may be of some customers only."""
    found = [_drift(feature.name, kept["features"][feature.name], numbers[:, at], limit)
             for at, feature in enumerate(features)]  # fmt: skip
    found.append(_drift(SCORES, kept["scores"], scores, limit))
    return sorted(found, key=lambda drift: -drift.index)


def index(expected: Sequence[float], actual: Sequence[float], before: int, now: int) -> float:
    """The population stability index of two lists of shares, of so many customers before and now."""
    was, is_now = np.maximum(expected, EMPTY / before), np.maximum(actual, EMPTY / max(now, 1))
    return float(((is_now - was) * np.log(is_now / was)).sum())


def _drift(name: str, kept: Mapping, values: np.ndarray, limit: float) -> Drift:
    found = index(kept["shares"], _shares(values, np.array(kept["edges"])), kept["rows"], len(values))
    text = f"{name} has moved since the serving model was trained: population stability index {found:.2f}."
    chance = _by_chance(len(kept["shares"]) - 1, kept["rows"], len(values))
    return Drift(name, found, text if found > max(limit, chance) else None)


def _by_chance(degrees: int, before: int, now: int) -> float:
    """How large the index may be where nothing has changed."""
    return (1 / before + 1 / max(now, 1)) * (degrees + DEVIATIONS * np.sqrt(2 * degrees))


def _binned(values: np.ndarray, categories: Sequence[str] | None) -> dict:
    known = values[~np.isnan(values)]
    if categories is None:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    else:
        edges = np.arange(1, len(categories))
    shares = [float(share) for share in _shares(values, edges)]
    return {"rows": len(values), "edges": [float(edge) for edge in edges], "shares": shares}


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The share of rows in each bin, the last of them what is unknown. A bin begins with its lower edge."""
    places = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
    return np.bincount(places, minlength=len(edges) + 2) / max(len(values), 1)
