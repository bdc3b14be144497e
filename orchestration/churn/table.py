"""Tables of customers: read from a file as Arrow, their columns typed, their ids as text."""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from orchestration.churn.errors import RefusedError

INTEGER = r"^-?(0|[1-9][0-9]{0,17})$"
DIVIDERS = (",", ";", "\t", "|")
# An infinite number is one, so that it is told.
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?|(?i:inf|infinity))$"
# What stands for nothing in a column of numbers; in one of texts it may be a category.
NO_NUMBER = pa.array(["NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none", "-", "?"])


def read(path: Path) -> pa.Table:
    """The table of a Parquet or a CSV file. In CSV a column of whole numbers is one of numbers, all else is text."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if not path.is_file():
        raise RefusedError(f"The table {path} cannot be read: there is no such file.")
    if kind not in ("parquet", "csv"):
        raise RefusedError(f"The table {path} cannot be read: its name must end in .parquet, .csv or .csv.gz.")
    try:
        return _parquet(path) if kind == "parquet" else _csv(path)
    except (pa.ArrowException, OSError, EOFError, csv.Error) as error:
        # Without the line that is wrong: it is of a customer.
        reason = re.sub(r"( got \d+): .*", r"\1", " ".join(str(error).split()))
    except UnicodeError:
        reason = "it is not UTF-8"
    raise RefusedError(f"The table {path} cannot be read: {reason.rstrip('.')}.")


def _parquet(path: Path) -> pa.Table:
    """A Parquet file, column by column: what is read at once takes several times the memory of the table."""
    # The file alone: a folder's name would add columns.
    file = pq.ParquetFile(path, pre_buffer=False)
    names = file.schema_arrow.names
    if again := sorted({name for name in names if names.count(name) > 1}):
        raise RefusedError(f"The table {path} cannot be read: it has several columns named {', '.join(again)}.")
    return pa.table({name: file.read([name], use_threads=False)[name] for name in names})


def _csv(path: Path) -> pa.Table:
    """A CSV file as text and whole numbers. What divides its columns is what its header has most of."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as lines:
        first = lines.readline()
        lines.seek(0)
        divider = max(DIVIDERS, key=first.count)
        header = next(csv.reader(lines, delimiter=divider), [])
    if again := sorted({name for name in header if header.count(name) > 1}):
        raise RefusedError(f"The table {path} cannot be read: it has several columns named {', '.join(again)}.")
    table = arrow_csv.read_csv(
        path,
        parse_options=arrow_csv.ParseOptions(delimiter=divider, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), null_values=[""], strings_can_be_null=True
        ),
    )
    return pa.table({name: _integers(table[name]) for name in table.column_names})


def column(table: pa.Table, name: str, what: str) -> pa.ChunkedArray:
    """A column by its name; `what` it is for stands in the error."""
    found = table.column_names.count(name)
    if found != 1:
        problem = f"has {found} columns named {name}" if found else f"has no column {name}"
        raise RefusedError(f"The table {problem}, {what}. Its columns are: {', '.join(table.column_names)}.")
    return table[name]


def typed(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as numbers (float64) or texts (string), blank texts as null; of another type, as it is.

    Texts that are all numbers are numbers: a file may have blanks among them, or be all text.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    if pa.types.is_boolean(kind):
        return values.cast(pa.int8()).cast(pa.float64())
    if pa.types.is_null(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return values.cast(pa.float64(), safe=False)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        return values
    texts = pc.utf8_trim_whitespace(values.cast(pa.string()))
    texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    numbers = pc.if_else(pc.is_in(texts, NO_NUMBER), pa.scalar(None, pa.string()), texts)
    if numbers.null_count < len(numbers) and _all_match(numbers, NUMBER):
        return pc.replace_substring_regex(numbers, r"^\+", "").cast(pa.float64())
    return texts


def ordered_ids(table: pa.Table, name: str) -> tuple[pa.Array, pa.Array]:
    """The order of the rows by their id, numbers as numbers and texts by code points; and the ids as text, in it."""
    ids = column(table, name, "the id").combine_chunks()
    if pa.types.is_dictionary(ids.type):
        ids = ids.cast(ids.type.value_type)
    if pa.types.is_string_view(ids.type) or pa.types.is_null(ids.type):
        ids = ids.cast(pa.string())
    if pa.types.is_nested(ids.type):
        raise RefusedError(f"The id {name} is of the type {ids.type}: it must be text or a number.")
    missing = pc.sum(pc.or_(pc.is_null(ids, nan_is_null=True), _is_blank(ids))).as_py()
    if missing:
        raise RefusedError(f"{missing:,} of {len(ids):,} rows have no {name}. Give each customer one.")
    order = pc.sort_indices(ids)
    texts = ids.take(order).cast(pa.string())
    again = pc.equal(texts[1:], texts[:-1])
    if pc.any(again).as_py():
        first = texts[1:].filter(again)[0].as_py()
        count = pc.sum(again).as_py()
        raise RefusedError(
            f"{count:,} of {len(texts):,} rows repeat the {name} of another one, the first is {first!r}. "
            "Give one row a customer."
        )
    return order, texts


def _is_blank(ids: pa.Array) -> pa.Array:
    if not pa.types.is_string(ids.type) and not pa.types.is_large_string(ids.type):
        return pa.scalar(False)
    return pc.fill_null(pc.equal(pc.utf8_trim_whitespace(ids), ""), False)


def _integers(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of a CSV file as whole numbers, if it is one without leading zeros; blanks stay what they are."""
    return values.cast(pa.int64()) if values.null_count < len(values) and _all_match(values, INTEGER) else values


def _all_match(texts: pa.ChunkedArray, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(texts, pattern)).as_py() is not False
