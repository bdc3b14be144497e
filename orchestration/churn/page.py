"""A model's card as one HTML page that needs nothing else: no script, no style and no font from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

TEMPLATE = Path(__file__).with_name("card.html.jinja")
# The side of a drawing, in the units of its SVG.
SIDE = 260
MOST_BARS = 20
MEASURES = (
    ("auc", "AUC", "1 is perfect, 0.5 is chance"),
    ("average_precision", "Average precision", "1 is perfect, the base rate is chance"),
    ("log_loss", "Log loss", "less is better"),
    ("brier", "Brier score", "less is better"),
)
MODELS = (("model", "XGBoost"), ("logistic_regression", "Logistic regression"), ("base_rate", "Base rate"))


def page(card: Mapping) -> bytes:
    """The page of a card."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    bins = card["calibration"]
    # Probabilities of a rare event fill a corner only: the axes end where they do.
    most = max([0.01, *(one[what] for one in bins for what in ("predicted", "observed"))])
    return (
        environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
        .render(
            card=card,
            side=SIDE,
            measures=MEASURES,
            models=MODELS,
            roc=_points(card["roc"]["false_positive_rate"], card["roc"]["true_positive_rate"]),
            calibration=[_point(one["predicted"] / most, one["observed"] / most) for one in bins],
            most=most,
            bars=card["importance"][:MOST_BARS],
            more=len(card["importance"]) - MOST_BARS,
            widest=max([one["share"] for one in card["importance"]] + [1e-9]),
        )
        .encode()
    )


def _point(across: float, up: float) -> tuple[float, float]:
    return round(across * SIDE, 1), round((1 - up) * SIDE, 1)


def _points(across: Sequence[float], up: Sequence[float]) -> str:
    return " ".join("{},{}".format(*_point(*both)) for both in zip(across, up, strict=True))
