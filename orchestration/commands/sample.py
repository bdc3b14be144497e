"""Reads a sample of a table's files, and guesses the contract from it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import duckdb

from orchestration.contracts.words import LINEAGE, NAME, reserved_words
from orchestration.landing.inspection import inspect
from orchestration.landing.listing import Feed
from orchestration.landing.records import uneven_record
from orchestration.landing.sql import CSV_OPTIONS, literal, pattern

# In the order of what takes less.
TYPES = ("boolean", "integer", "decimal(18,2)", "timestamp")
WIDE = "decimal(38,9)"
KNOWN = {
    "updated_at": "Time of this version, UTC; the newest version wins.",
    "is_deleted": "Whether this version says that the key is deleted; a file may lack the column.",
}
NOT_LATER = (
    "{required: true, rule: \"updated_at < file_date + interval '2 days'\", "
    "says: is later than the day after the file's date}"
)
IS_DELETED = "{optional: true, default: false}"
# Of a text with so few different values, each this often, they are told to the person.
FEW_VALUES = 6


class Refused(Exception):
    """Why there is no new table, in plain words."""


@dataclass
class Column:
    """A column of the sample and what is guessed of it."""

    name: str
    values: int = 0
    different: int = 0
    leading_zeros: int = 0
    # By type: how many values are of it, and the first record whose value is not.
    fits: dict[str, int] = field(default_factory=dict)
    misfit: dict[str, int | None] = field(default_factory=dict)
    data_type: str = "varchar"
    description: str = ""
    meta: str = ""
    comments: list[str] = field(default_factory=list)


@dataclass
class Sample:
    """The sample as DuckDB holds it: a table `sample`, every column text, null where it is empty."""

    database: duckdb.DuckDBPyConnection
    columns: dict[str, Column]
    rows: int

    def number(self, query: str) -> int:
        return self.database.execute(query).fetchone()[0]


def read_sample(file: Path, typed: Callable[[str, str], str]) -> Sample:
    """Reads a sample as strictly as a landed file, and counts what a guess needs."""
    if not file.is_file():
        raise Refused(f"The sample {file} is not there, or is no file. SAMPLE is the path of a .csv or .csv.gz file.")
    if not file.name.endswith((".csv", ".csv.gz")):
        raise Refused(f"The sample {file} is no CSV by its name. It must end in .csv or .csv.gz.")
    zipped = file.name.endswith(".gz")
    try:
        seen = inspect(lambda: file.open("rb"), zipped, Feed("sample", ()))
    except OSError as error:
        raise Refused(f"The sample {file} cannot be read: {error.strerror or error}.") from error
    if seen.problem:
        where = f", record {seen.record}" if seen.record else ""
        raise Refused(f"The sample {file} cannot be used{where}: {seen.problem}.")
    _check_columns(seen.columns)
    database = duckdb.connect()
    declared = ", ".join(f"'{name}': 'varchar'" for name in seen.columns)
    values = ", ".join(f"nullif({name}, '') as {name}" for name in seen.columns)
    try:
        database.execute(
            f'create table sample as select row_number() over () + 1 as "record number", {values} '
            f"from read_csv({literal(pattern(str(file)))}, {CSV_OPTIONS}, "
            f"strict_mode = {literal(not seen.mixed)}, columns = {{{declared}}})"
        )
    except duckdb.Error as error:
        problem, record = uneven_record(lambda: file.open("rb"), zipped)
        where = f", record {record}" if record else ""
        problem = problem or "DuckDB does not read it; write it anew, without gzip, under a plain name"
        raise Refused(f"The sample {file} is no well-formed CSV{where}: {problem}.") from error
    sample = Sample(database, {name: Column(name) for name in seen.columns}, 0)
    sample.rows = sample.number("select count(*) from sample")
    if not sample.rows:
        raise Refused(f"The sample {file} has a header and no row. Take one with some dozens of real rows.")
    _count(sample, typed)
    return sample


def _check_columns(names: Sequence[str]) -> None:
    reserved = reserved_words()
    for name in names:
        if not NAME.fullmatch(name):
            plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40] or "column"
            plain = plain if plain[0].isalpha() else f"c_{plain}"
            raise Refused(
                f"The column {name!r} is no plain name. Have the sender rename it, for example to {plain}: "
                "lower-case letters, digits and _, a letter first, 50 characters at most."
            )
        if name in reserved:
            raise Refused(
                f"The column {name} is a word of SQL. Have the sender rename it, for example to {name}_value."
            )
        if name in LINEAGE or (name.startswith("raw_") and name[4:] in names):
            raise Refused(f"The column {name} is one of the pipeline's own. Have the sender rename it.")
    if "updated_at" not in names:
        raise Refused(
            "The sample has no column updated_at. A feed needs it: the time at which the sender last changed the row, "
            "by which the newest version wins."
        )


def _count(sample: Sample, typed: Callable[[str, str], str]) -> None:
    for column in sample.columns.values():
        name = column.name
        measures = [
            f"count({name})",
            f"count(distinct {name})",
            f"count(case when {name} similar to '0[0-9]+' then 1 end)",
        ]
        for data_type in (*TYPES, WIDE):
            value = typed(name, data_type)
            measures += [
                f"count({value})",
                f'min(case when {name} is not null and {value} is null then "record number" end)',
            ]
        row = sample.database.execute(f"select {', '.join(measures)} from sample").fetchone()
        column.values, column.different, column.leading_zeros, *rest = row
        column.fits = dict(zip((*TYPES, WIDE), rest[::2], strict=True))
        column.misfit = dict(zip((*TYPES, WIDE), rest[1::2], strict=True))


def guess(table: str, sample: Sample, typed: Callable[[str, str], str]) -> list[str]:
    """Guesses each column's type and whether it is required; returns the key."""
    updated_at, is_deleted = sample.columns["updated_at"], sample.columns.get("is_deleted")
    if updated_at.values < sample.rows:
        empty = sample.number('select min("record number") from sample where updated_at is null')
        raise Refused(f"updated_at is empty in record {empty} of the sample. Every row needs it.")
    for column, data_type, example in (
        (updated_at, "timestamp", "2024-01-05T10:00:00Z"),
        (is_deleted, "boolean", "true or false"),
    ):
        if column and column.fits[data_type] < column.values:
            raise Refused(
                f"{column.name} of record {column.misfit[data_type]} of the sample is no {data_type}. "
                f"Have the sender write it like this: {example}."
            )
    for column in sample.columns.values():
        _guess_column(sample, column)
    key = _guess_key(table, sample, typed)
    for name in key:
        column = sample.columns[name]
        column.data_type, column.meta = "varchar", "{required: true}"
        column.comments = ["say what it means."]
    sample.columns.setdefault("is_deleted", Column("is_deleted", description=json.dumps(KNOWN["is_deleted"])))
    updated_at.data_type, updated_at.meta, updated_at.comments = "timestamp", NOT_LATER, []
    is_deleted = sample.columns["is_deleted"]
    is_deleted.data_type, is_deleted.meta, is_deleted.comments = "boolean", IS_DELETED, []
    return key


def _guess_column(sample: Sample, column: Column) -> None:
    name, values = column.name, column.values
    column.description = json.dumps(KNOWN.get(name, f"{name}, as the sender has it."))
    if values == sample.rows:
        column.meta, often = "{required: true}", "never is"
    else:
        often = f"is in {sample.rows - values} of {rows_in_words(sample.rows)}"
    column.comments = [f"say what it means. May it be empty? In the sample it {often}."]
    fitting = [data_type for data_type in TYPES if values and column.fits[data_type] == values]
    if not values:
        column.comments.append("without any value its type is unknown.")
    elif name.endswith("_id"):  # a name, whatever it is made of
        return
    elif column.leading_zeros and fitting:
        column.comments.append("digits with a leading zero, which a number would lose, so it is text.")
    elif fitting:
        column.data_type = fitting[0]
    elif column.fits[WIDE] == values:
        column.comments.append(f"numbers, but not of decimal(18,2). Should it be {WIDE}, or one between?")
    else:
        nearest = max(TYPES, key=column.fits.__getitem__)
        others = values - column.fits[nearest]
        if others * 10 <= values:
            record = column.misfit[nearest]
            column.comments.append(
                f"all but {others} of {values} values are {nearest}; that of record {record} is not."
            )
        elif column.different <= FEW_VALUES and column.different * 3 <= values:
            found = sample.database.execute(f"select distinct {name} from sample where {name} is not null order by 1")
            texts = [json.dumps(text if len(text) <= 40 else f"{text[:40]}...") for (text,) in found.fetchall()]
            column.comments.append(f"only {', '.join(texts)} in the sample. A rule would take nothing else.")


def _guess_key(table: str, sample: Sample, typed: Callable[[str, str], str]) -> list[str]:
    """The smallest set of columns, one or two, that is never empty and of which no two rows are the newest; rather
    names in _id, first that of the table itself, then the one of most values. Without such names, rows must differ
    altogether."""
    whole = [column.name for column in sample.columns.values() if column.values == sample.rows]
    whole = [name for name in whole if name not in KNOWN]
    ids = [name for name in whole if name.endswith("_id")]
    others = [name for name in whole if sample.columns[name].data_type in ("varchar", "integer")]
    names = ", ".join(sample.columns)
    sample.database.execute(
        f'create table versions as select *, {typed("updated_at", "timestamp")} as "newest version" '
        f"from (select distinct {names} from sample)"
    )
    rows = sample.number("select count(*) from versions")

    def ties(key: Sequence[str]) -> int:
        return sample.number(
            f"select count(*) from (select 1 from versions "
            f'qualify rank() over (partition by {", ".join(key)} order by "newest version" desc) = 1 '
            f'and count(*) over (partition by {", ".join(key)}, "newest version") > 1)'
        )

    def different(key: Sequence[str]) -> int:
        return sample.number(f"select count(*) from (select distinct {', '.join(key)} from versions)")

    def own(key: Sequence[str]) -> bool:
        return len(key) == 1 and table.removesuffix("s").endswith(key[0].removesuffix("_id"))

    for candidates, good in (
        (combinations(ids, 1), lambda key: not ties(key)),
        (combinations(ids, 2), lambda key: not ties(key)),
        (combinations(others, 1), lambda key: different(key) == rows),
        (combinations(others, 2), lambda key: different(key) == rows),
    ):
        if found := [key for key in candidates if good(key)]:
            # Of several that are as good, the first.
            return list(max(found, key=lambda key: (own(key), different(key))))
    raise Refused(
        "No column of the sample, and no two together, can be the key: each is empty somewhere, or has the same value "
        "in two different rows of one updated_at. Take another sample, or write the table by hand, like "
        "models/feeds/inventory."
    )


def rows_in_words(number: int) -> str:
    return f"{number:,} row{'s' * (number != 1)}"
