"""A model's card: all that is known of it, as JSON. The same table gives the same card; no time is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xgboost

from orchestration.churn.archive import ARCHIVE
from orchestration.churn.drift import reference
from orchestration.churn.errors import ChurnError
from orchestration.churn.features import Feature
from orchestration.churn.measures import calibration, roc
from orchestration.churn.training import HELD_OUT_OF, PARAMETERS, SPLIT, Trained

FORMAT = 1
ENCODING = (
    "Numbers as they are; a category as its index in the list of its feature, from 0; what is unknown, or not in the "
    "list, is empty. A row of text/csv has the features in this order, without the id and without a header."
)
Card = dict[str, Any]


def card(trained: Trained, source: str, snapshot_date: str | None = None) -> Card:
    """The card of a model; `source` is what its table is called."""
    prepared, test = trained.prepared, trained.test
    used = np.sort(np.concatenate([trained.train, test]))
    nulls = prepared.nulls()
    return {
        "format": FORMAT,
        "model": {
            "archive": ARCHIVE,
            "hash": trained.hash,
            "bytes": len(trained.model),
            "xgboost": xgboost.__version__,
        },
        "data": {
            "source": source,
            "snapshot_date": snapshot_date,
            "hash": prepared.digest(),
            "id": prepared.columns.id,
            "label": prepared.columns.label,
            "rows": len(prepared.ids),
            "churners": int(prepared.labels.sum()),
            "trained_on": len(trained.train),
            "measured_on": len(test),
            "held_out": len(trained.held_out),
        },
        "parameters": PARAMETERS,
        "split": {**SPLIT, "order": prepared.columns.id, "held_out_of": HELD_OUT_OF if len(trained.held_out) else None},
        "encoding": ENCODING,
        "features": [
            {
                "name": one.name,
                "categories": one.categories and list(one.categories),
                "nulls": round(nulls[one.name], 6),
            }
            for one in prepared.features
        ],
        "left_out": prepared.left_out,
        "measures": trained.measures,
        "calibration": calibration(prepared.labels[test], trained.scores),
        "roc": roc(prepared.labels[test], trained.scores),
        "importance": _importance(trained),
        "reference": reference(prepared.numbers, used, prepared.features, trained.scores),
    }


def written(card: Card) -> bytes:
    """A card as it is stored."""
    return (json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read(content: bytes, where: str) -> Card:
    """A stored card; `where` it lies stands in the error."""
    try:
        found = json.loads(content)
        known = found["format"]
    except (ValueError, KeyError, TypeError):
        raise ChurnError(f"{where} is no card of a model. Train it again.") from None
    if known != FORMAT:
        raise ChurnError(f"{where} is a card of format {known}, and {FORMAT} is read here. Train the model again.")
    return found


def features(card: Mapping) -> tuple[Feature, ...]:
    """The features of a model in their order."""
    return tuple(
        Feature(one["name"], None if one["categories"] is None else tuple(one["categories"]))
        for one in card["features"]
    )


def _importance(trained: Trained) -> list[dict[str, Any]]:
    """The share of each feature in what all splits have gained, the largest first."""
    booster = xgboost.Booster()
    booster.load_model(bytearray(trained.model))
    gains = booster.get_score(importance_type="total_gain")
    total = sum(gains.values()) or 1.0
    found = [
        {"feature": feature.name, "share": round(gains.get(f"f{at}", 0.0) / total, 6)}
        for at, feature in enumerate(trained.prepared.features)
    ]
    return sorted(found, key=lambda one: -one["share"])
