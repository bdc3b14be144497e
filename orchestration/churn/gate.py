"""Whether a model has earned it to be deployed: measured on customers that no training ever uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestration import settings
from orchestration.churn.errors import RefusedError
from orchestration.churn.measures import Difference, difference, measures


@dataclass(frozen=True)
class Gate:
    """The AUC that a model needs, and how much less than the deployed model's it may be."""

    floor: float = settings.AUC_FLOOR
    tolerance: float = settings.AUC_TOLERANCE


@dataclass(frozen=True)
class Verdict:
    """Whether to deploy, and why, in a sentence; how the models differ, if there are two."""

    deploy: bool
    why: str
    auc: float
    difference: Difference | None = None


def judge(labels: np.ndarray, new: np.ndarray, old: np.ndarray | None, gate: Gate | None = None) -> Verdict:
    """The verdict on the scores of a new model, and of the deployed one, for the same customers."""
    gate = gate or Gate()
    check_enough(labels)
    auc = measures(labels, new)["auc"]
    on = f"on {len(labels):,} customers held out, {int(labels.sum()):,} of whom churned"
    if auc < gate.floor:
        return Verdict(False, f"Its AUC is {auc:.4f} {on}: at least {gate.floor:g} is needed.", auc)
    if old is None:
        return Verdict(True, f"Its AUC is {auc:.4f} {on}, and nothing is deployed yet.", auc)
    found = difference(labels, new, old)
    low, high = found.interval
    compared = (
        f"Its AUC is {found.new:.4f} and the deployed model's {found.old:.4f} {on}: {found.value:+.4f}, with a "
        f"confidence of 95 % between {low:+.4f} and {high:+.4f}"
    )
    if found.value < -gate.tolerance:
        return Verdict(False, f"{compared}; it may be {gate.tolerance:g} less.", auc, found)
    return Verdict(True, f"{compared}.", auc, found)


def check_enough(labels: np.ndarray) -> None:
    """A RefusedError where so few customers are held out that no two models can be compared."""
    churners = int(labels.sum())
    # A standard error needs two of each.
    if min(churners, len(labels) - churners) < 2:
        raise RefusedError(
            f"Of the {len(labels):,} customers held out {churners:,} churned: models cannot be compared on them. More "
            "customers are needed."
        )
