"""Trains the model on a table made ready. The same table gives the same bytes."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from orchestration.churn.errors import RefusedError
from orchestration.churn.features import Feature
from orchestration.churn.measures import measures
from orchestration.churn.prepared import Prepared

PARAMETERS = {"n_estimators": 500, "max_depth": 6, "learning_rate": 0.05}
SPLIT = {"test_size": 0.2, "random_state": 42}
# One customer of so many is never trained on.
HELD_OUT_OF = 10
HASH_BYTES = 8
# The baseline's few weights are known after so many rows, and it takes several times the memory of what it is given.
BASELINE_ROWS = 50_000
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """A model, and what it gives for the rows that it was not trained on. `model` is XGBoost's UBJSON."""

    model: bytes = field(repr=False)
    prepared: Prepared
    train: np.ndarray = field(repr=False)
    test: np.ndarray = field(repr=False)
    held_out: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)
    measures: dict[str, dict[str, float]]

    @property
    def hash(self) -> str:
        """What the model is known by: SHA-256 of its bytes."""
        return hashlib.sha256(self.model).hexdigest()


def train(prepared: Prepared, hold_out: bool = False) -> Trained:
    """Trains on four fifths of the rows and measures on the others, without those held out for comparing models."""
    held_out = in_holdout(prepared.ids) if hold_out else np.zeros(len(prepared.ids), dtype=bool)
    train, test = train_test_split(np.flatnonzero(~held_out), **SPLIT)
    for rows, what in ((train, "trained on"), (test, "measured on")):
        if len(np.unique(prepared.labels[rows])) < 2:
            raise RefusedError(
                f"The {len(rows):,} rows to be {what} are all of one class. More customers who churned are needed."
            )
    model, scores = _boosted(prepared, train, test)
    labels = prepared.labels
    found = {
        "model": measures(labels[test], scores),
        "base_rate": measures(labels[test], np.full(len(test), labels[train].mean())),
        "logistic_regression": measures(labels[test], _logistic(prepared, train, test)),
    }
    logger.info("Model AUC: %.4f", found["model"]["auc"])
    return Trained(model, prepared, train, test, np.flatnonzero(held_out), scores, found)


def in_holdout(ids: pa.Array) -> np.ndarray:
    """Which customers no training ever uses: a tenth, by a hash of the id, the same in every snapshot."""
    hashes = (hashlib.sha256(text.encode()).digest()[:HASH_BYTES] for text in ids.to_pylist())
    return np.array([int.from_bytes(found) % HELD_OUT_OF == 0 for found in hashes], dtype=bool)


def _boosted(prepared: Prepared, train: np.ndarray, test: np.ndarray) -> tuple[bytes, np.ndarray]:
    """The model, and what it gives for the rows that it was not trained on."""
    classifier = xgboost.XGBClassifier(
        **PARAMETERS,
        enable_categorical=True,
        feature_types=[feature.xgboost_type for feature in prepared.features],
        # By one thread sums have one order; and threads that wait for each other on a busy machine took ten times as
        # long.
        n_jobs=1,
    )
    classifier.fit(prepared.numbers[train], prepared.labels[train])
    model = bytes(classifier.get_booster().save_raw("ubj"))
    return model, classifier.predict_proba(prepared.numbers[test])[:, 1]


def _logistic(prepared: Prepared, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """What a logistic regression gives for the same rows: medians for unknown numbers, a column a category."""
    transformed = ColumnTransformer(
        [
            # In place: what they are given is a copy.
            ("numbers", make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True, copy=False),
                                      StandardScaler(copy=False)), _places(prepared.features, "q")),
            ("categories", make_pipeline(SimpleImputer(strategy="constant", fill_value=-1),
                                         OneHotEncoder(handle_unknown="ignore")),
             _places(prepared.features, "c")),
        ]
    )  # fmt: skip
    regression = make_pipeline(transformed, LogisticRegression(max_iter=1000))
    # They are in a random order.
    train = train[:BASELINE_ROWS]
    with warnings.catch_warnings():
        # It is a baseline: one that has not quite converged is one too.
        warnings.simplefilter("ignore")
        regression.fit(prepared.numbers[train], prepared.labels[train])
        return regression.predict_proba(prepared.numbers[test])[:, 1]


def _places(features: Sequence[Feature], kind: str) -> list[int]:
    return [at for at, feature in enumerate(features) if feature.xgboost_type == kind]
