"""How values, names and files are written in DuckDB's SQL."""

from __future__ import annotations

import re
from datetime import date

# Without the last one a folder named a=b on the way to a file would become a column.
CSV_OPTIONS = "header = true, delim = ',', quote = '\"', escape = '\"', auto_detect = false, hive_partitioning = false"


def literal(value: str | int | bool | date | None) -> str:
    """A SQL literal of any value.

    Literals, for DuckDB's client imports pandas as soon as a statement has a parameter: half a second.
    """
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value).lower()
    return "'" + str(value).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A quoted SQL identifier of any text."""
    return '"' + name.replace('"', '""') + '"'


def pattern(url: str) -> str:
    """A URL as DuckDB's readers take it: they read *, ? and [ as wildcards, which a class of one is not."""
    return re.sub(r"[*?\[]", r"[\g<0>]", url)
