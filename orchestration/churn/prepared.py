"""A table as a model is trained on it: rows by id, labels, features, and what is wrong with it in one sentence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestration import settings
from orchestration.churn.errors import RefusedError
from orchestration.churn.features import Feature, choose, matrix
from orchestration.churn.table import column, ordered_ids, typed


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are for. Without `features` each other one of numbers or categories is one."""

    id: str = "customer_id"
    label: str = "churned_flag"
    features: Sequence[str] | None = None
    leave_out: Sequence[str] = ()


@dataclass(frozen=True)
class Least:
    """The least that a model is trained on, and how far a feature's share of nulls may be from the last model's."""

    customers: int = settings.LEAST_CUSTOMERS
    churners: int = settings.LEAST_CHURNERS
    null_shift: float = settings.NULL_SHIFT


@dataclass(frozen=True)
class Prepared:
    """Rows in the order of their ids. `numbers` has a column a feature; `labels` are 0 and 1."""

    ids: pa.Array = field(repr=False)
    numbers: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    features: tuple[Feature, ...]
    left_out: dict[str, str]
    columns: Columns

    def nulls(self) -> dict[str, float]:
        """The share of rows in which a feature is unknown."""
        return {feature.name: float(np.isnan(self.numbers[:, at]).mean()) for at, feature in enumerate(self.features)}

    def digest(self) -> str:
        """What tells this content from another: ids, labels, and the features with their names and codes."""
        meaning = [[feature.name, feature.categories] for feature in self.features]
        found = hashlib.sha256(json.dumps(meaning).encode())
        for text in self.ids.to_pylist():
            found.update(f"{len(text)}:{text}".encode())
        found.update(self.labels.tobytes())
        for values in self.numbers.T:
            # One NaN is like another.
            found.update(np.where(np.isnan(values), np.float32("nan"), values).tobytes())
        return found.hexdigest()


def prepare(
    table: pa.Table, columns: Columns | None = None, least: Least | None = None, former: Mapping | None = None
) -> Prepared:
    """A table made ready, compared with the card of the former model if there is one. A RefusedError says what is
    wrong with it."""
    columns, least = columns or Columns(), least or Least()
    order, ids = ordered_ids(table, columns.id)
    if len(ids) < least.customers:
        raise RefusedError(f"The table has {len(ids):,} rows: at least {least.customers:,} are needed to train.")
    labels = _labels(table, columns.label).take(order).to_numpy(zero_copy_only=False)
    _check_classes(labels, columns.label, least)
    chosen = choose(table, (columns.id, columns.label, *columns.leave_out), columns.features)
    numbers = matrix(table, chosen.features, order.to_numpy())
    prepared = Prepared(ids, numbers, labels, chosen.features, chosen.left_out, columns)
    if former:
        _compare(prepared, former, least)
    return prepared


def _labels(table: pa.Table, name: str) -> pa.Array:
    values = column(table, name, "the label").combine_chunks()
    must = f"{name} must be 1 for a customer who churned and 0 for one who did not"
    if pa.types.is_nested(values.type):
        raise RefusedError(f"The label {must}; it is of the type {values.type}.")
    numbers = typed(pa.chunked_array([values])).combine_chunks()
    if not pa.types.is_floating(numbers.type):
        found = pc.unique(values.drop_null()).slice(0, 3).to_pylist()
        shown = ", ".join(repr(value) if isinstance(value, str) else str(value) for value in found)
        raise RefusedError(f"The label {must}; it has values like {shown}. Write 0 and 1 in their place.")
    if numbers.null_count:
        raise RefusedError(
            f"The label {must}; {numbers.null_count:,} of {len(numbers):,} rows have none. Leave out the rows of "
            "which it is not known yet."
        )
    odd = numbers.filter(pc.invert(pc.is_in(numbers, pa.array([0.0, 1.0]))))
    if len(odd):
        raise RefusedError(
            f"The label {must}; {len(odd):,} of {len(numbers):,} rows have another value, like {odd[0].as_py():g}. "
            "Write 0 and 1 in their place."
        )
    return numbers.cast(pa.int8())


def _check_classes(labels: np.ndarray, name: str, least: Least) -> None:
    churners = int(labels.sum())
    if churners in (0, len(labels)):
        raise RefusedError(
            f"Every row has {name} {int(bool(churners))}: a model needs customers who churned and others who did not."
        )
    for count, what in ((churners, "who churned"), (len(labels) - churners, "who did not churn")):
        if count < least.churners:
            raise RefusedError(f"The table has {count:,} customers {what}: at least {least.churners:,} are needed.")


def _compare(prepared: Prepared, former: Mapping, least: Least) -> None:
    nulls = prepared.nulls()
    for feature in former["features"]:
        name, before = feature["name"], feature["nulls"]
        if name in prepared.columns.leave_out:
            continue
        if name not in nulls:
            raise RefusedError(
                f"The feature {name} of the last model is missing. Bring it back, or name it in PIPELINES_LEAVE_OUT."
            )
        if abs(nulls[name] - before) > least.null_shift:
            raise RefusedError(
                f"The feature {name} is unknown in {nulls[name]:.0%} of the rows, and was in {before:.0%} at the last "
                "training. See what has become of it; PIPELINES_NULL_SHIFT is how far it may move."
            )
