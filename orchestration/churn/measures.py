"""How well probabilities tell who churns, and how sure a difference of two models is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score, roc_curve

# Of a curve no more points are kept than a page can show.
MOST_POINTS = 200
CALIBRATION_BINS = 10
# Two standard errors, of a normal distribution: 95 %.
TWO_SIDED_95 = 1.959963984540054


def measures(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """AUC and average precision, where more is better; log loss and Brier score, where less is."""
    return {
        "auc": float(roc_auc_score(labels, scores)),
        "average_precision": float(average_precision_score(labels, scores)),
        "log_loss": float(log_loss(labels, scores, labels=[0, 1])),
        "brier": float(brier_score_loss(labels, scores)),
    }


def calibration(labels: np.ndarray, scores: np.ndarray, bins: int = CALIBRATION_BINS) -> list[dict[str, float]]:
    """The customers by probability, in bins of about as many each: what was predicted, and what came of it."""
    order = np.argsort(scores, kind="stable")
    return [
        {"rows": len(part), "predicted": float(scores[part].mean()), "observed": float(labels[part].mean())}
        for part in np.array_split(order, bins)
        if len(part)
    ]


def roc(labels: np.ndarray, scores: np.ndarray) -> dict[str, list[float]]:
    """Points of the ROC curve, from (0, 0) to (1, 1)."""
    false_positive, true_positive, _ = roc_curve(labels, scores)
    kept = np.unique(np.linspace(0, len(false_positive) - 1, MOST_POINTS).round().astype(int))
    return {
        "false_positive_rate": [round(float(value), 5) for value in false_positive[kept]],
        "true_positive_rate": [round(float(value), 5) for value in true_positive[kept]],
    }


@dataclass(frozen=True)
class Difference:
    """The AUC of two models on the same customers; `error` is the standard error of the difference."""

    new: float
    old: float
    error: float

    @property
    def value(self) -> float:
        """How much more the new one has."""
        return self.new - self.old

    @property
    def interval(self) -> tuple[float, float]:
        """The difference, with a confidence of 95 %."""
        return self.value - TWO_SIDED_95 * self.error, self.value + TWO_SIDED_95 * self.error


def difference(labels: np.ndarray, new: np.ndarray, old: np.ndarray) -> Difference:
    """The difference of two AUCs on the same customers, with its standard error.

    By DeLong, DeLong and Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver operating
    characteristic curves, Biometrics 44: each churner's share of the others who score less, each other's share of the
    churners who score more, and the variance of their differences between the models.
    """
    churned = labels == 1
    (new_up, new_down), (old_up, old_down) = (_placements(scores, churned) for scores in (new, old))
    up, down = new_up - old_up, new_down - old_down
    variance = up.var(ddof=1) / len(up) + down.var(ddof=1) / len(down)
    return Difference(float(new_up.mean()), float(old_up.mean()), float(np.sqrt(variance)))


def _placements(scores: np.ndarray, churned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    up, down = scores[churned], scores[~churned]
    return _share_below(up, np.sort(down)), 1 - _share_below(down, np.sort(up))


def _share_below(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Which share of the sorted others is less than each value; one that ties counts half."""
    return (np.searchsorted(among, values, "left") + np.searchsorted(among, values, "right")) / 2 / len(among)
