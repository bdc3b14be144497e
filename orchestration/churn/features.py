"""Which columns are features, and how they become the numbers that a model reads, in an order that its card keeps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.churn.errors import RefusedError
from orchestration.churn.table import column, typed

# A text with more different values is a name or a remark, not a category.
MOST_CATEGORIES = 50
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T].*)?$"
# Numbers as people write them: with a currency, a percent sign, or a comma.
WRITTEN = r"^[+-]?[$€£]? ?[0-9][0-9.,' ]* ?[%$€£]?$"
# What pandas calls the index of a data frame that it writes, or reads back.
INDEX = re.compile(r"__index_level_[0-9]+__|Unnamed: [0-9]+|")


@dataclass(frozen=True)
class Feature:
    """A column that the model reads: a number or, with categories, the index of a text in them, from 0."""

    name: str
    categories: tuple[str, ...] | None = None

    @property
    def xgboost_type(self) -> str:
        """What XGBoost calls its kind: quantitative or categorical."""
        return "q" if self.categories is None else "c"


@dataclass(frozen=True)
class Chosen:
    """The features in the order of the table's columns, and why each other column is none."""

    features: tuple[Feature, ...]
    left_out: dict[str, str]


def choose(table: pa.Table, others: Sequence[str], names: Sequence[str] | None = None) -> Chosen:
    """The features of a table: the columns named, or else each of numbers or categories but the `others`.

    A RefusedError names a feature that is not there, is constant, or can be no feature though it was named.
    """
    features, left_out = [], {}
    for name in names or [name for name in table.column_names if name not in others]:
        values = typed(column(table, name, "a feature"))
        if not names and INDEX.fullmatch(name):
            left_out[name or '""'] = "the index of a data frame"
        elif (why := _no_feature(values)) is None:
            features.append(_feature(name, values))
        elif names:
            raise RefusedError(f"The feature {name} is {why}: it must be of numbers or of categories.")
        else:
            left_out[name] = why
    if len(features) < 2:
        # With one number a row, SageMaker's container guesses what divides numbers, and guesses wrong.
        found = features[0].name if features else "none"
        raise RefusedError(f"At least two columns of numbers or categories are needed as features; found: {found}.")
    return Chosen(tuple(features), left_out)


def matrix(table: pa.Table, features: Sequence[Feature], order: np.ndarray | None = None) -> np.ndarray:
    """The features of each row as float32, the rows in an order; what is unknown, or no category of the model, is NaN.

    Column by column: a table may be most of the memory that there is.
    """
    found = np.empty((table.num_rows, len(features)), dtype=np.float32)
    for at, feature in enumerate(features):
        values = _numbers(typed(column(table, feature.name, "a feature of the model")), feature)
        found[:, at] = values if order is None else values[order]
    return found


def _no_feature(values: pa.ChunkedArray) -> str | None:
    """Why a column can be no feature, None if it can."""
    if pa.types.is_floating(values.type):
        return None
    if not pa.types.is_string(values.type):
        return f"of the type {values.type}"
    if values.null_count < len(values) and pc.all(pc.match_substring_regex(values, DATE)).as_py():
        return "a text of dates"
    different = pc.count_distinct(values).as_py()
    if different <= MOST_CATEGORIES:
        return None
    if pc.all(pc.match_substring_regex(values, WRITTEN)).as_py():
        return "a text of numbers that are not written like 1234.5"
    return f"a text with {different:,} different values"


def _feature(name: str, values: pa.ChunkedArray) -> Feature:
    known = pc.unique(values.drop_null())
    if len(known) < 2:
        one = known[0].as_py() if len(known) else None
        shown = f"{one:g}" if isinstance(one, float) else repr(one)
        what = "is unknown in every row" if one is None else f"is {shown} in every row that has it"
        raise RefusedError(
            f"The feature {name} is constant: it {what}. Leave the column out (--leave-out {name}, every night "
            f"PIPELINES_LEAVE_OUT={name})."
        )
    if pa.types.is_floating(values.type):
        _numbers(values, Feature(name))
        return Feature(name)
    return Feature(name, tuple(sorted(known.to_pylist())))


def _numbers(values: pa.ChunkedArray, feature: Feature) -> np.ndarray:
    if feature.categories is not None:
        # What was a category may be a number in another table, where every text is one.
        texts = _as_texts(values)
        codes = pc.index_in(texts, pa.array(feature.categories, pa.string()))
        return codes.cast(pa.float32()).to_numpy()
    if not pa.types.is_floating(values.type):
        first = values.drop_null()[0].as_py()
        raise RefusedError(f"The feature {feature.name} must be a number, and has values like {first!r}.")
    numbers = values.to_numpy()
    with np.errstate(over="ignore"):
        numbers = numbers.astype(np.float32)
    if np.isinf(numbers).any():
        raise RefusedError(
            f"The feature {feature.name} has infinite numbers, or such as are beyond 3.4e38. Make them null where they "
            "mean nothing."
        )
    return numbers


def _as_texts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_floating(values.type):
        whole = pc.all(pc.equal(values, pc.floor(values))).as_py() is not False
        values = values.cast(pa.int64()) if whole else values
    return values.cast(pa.string())
