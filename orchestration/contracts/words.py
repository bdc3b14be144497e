"""What the names, types and words of a contract may be, and which names the pipeline takes for itself."""

from __future__ import annotations

import datetime
import re
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

import duckdb
import jinja2
import pytz
from sqlfluff.dialects.dialect_snowflake_keywords import snowflake_reserved_keywords

PROJECT = Path(__file__).resolve().parents[2]

NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
NAMES = "lower-case letters, digits and _, a letter first, 50 characters at most"
TYPES = re.compile(
    r"varchar|text|integer|timestamp|boolean|decimal\( *([0-9]{1,2}) *, *([0-9]{1,2}) *\)", re.IGNORECASE
)
TEXT = ("varchar", "text")
# What the pipeline adds to each row (macros/contract/columns.sql).
LINEAGE = (
    *("source_file", "content_hash", "source_record", "file_date", "landing_id"),
    *("reject_reasons", "is_overtaken"),
)
# What the merge adds to the columns of a key (macros/newest/compare.sql).
BESIDE_A_KEY = (
    *("day", "old_day", "old_file", "new_file", "was_current"),
    *("is_newer", "is_replaced", "ties", "wins", "leaves"),
)
FEED_WORDS = ("name", "key", "kind", "files", "fresh", "shrinks_by", "first_by", "within", "judged")
COLUMN_WORDS = ("required", "optional", "default", "rule", "says", "listed_in", "numbers", "unknown_fields")
# Of the words of a column, those of the records of a file, and those of the fields of a message.
WORDS_OF_RECORDS, WORDS_OF_FIELDS = ("optional", "default"), ("numbers", "unknown_fields")
# What a message is besides the fields of its value (macros/contract/messages.sql), and what these fields can be.
MESSAGE = {
    "kafka_topic": "varchar",
    "kafka_generation": "integer",
    "kafka_partition": "integer",
    "kafka_offset": "bigint",
    "sent_at": "timestamp",
    "message_key": "varchar",
    "message_value": "varchar",
    "message_bytes": "varchar",
}
TYPES_OF_FIELDS = ("varchar", "text", "timestamp", "json")
# The models of one line that every feed has, and the macro that each calls (macros/contract/feed_models.sql).
MODELS = {"raw": "raw_rows", "typed": "typed_rows", "clean": "clean_rows", "rejected": "rejected_rows"}
# The one that a table has besides, which is one of marts/tables.
MODELS_OF_A_TABLE = {"newest": "newest_rows"}


@cache
def database() -> duckdb.DuckDBPyConnection:
    """One for all contracts: it takes a while to start."""
    return duckdb.connect()


@cache
def reserved_words() -> set[str]:
    """The words that neither engine takes as a name without quotes."""
    rows = database().execute(
        "select keyword_name from duckdb_keywords() where keyword_category in ('reserved', 'type_function')"
    )
    return {word for (word,) in rows.fetchall()} | set(snowflake_reserved_keywords.lower().split())


@cache
def typing_macros(root: Path = PROJECT) -> ModuleType:
    """The macros by which values are typed, as SQL of DuckDB: what is checked is as strict as the load."""
    macros: dict[str, ModuleType] = {}

    def dispatch(name: str) -> object:
        return getattr(macros["module"], f"duckdb__{name}", None) or getattr(macros["module"], f"default__{name}")

    def fail(message: str) -> None:
        raise ValueError(message)

    files = [root / "macros" / "contract" / "typing.sql", root / "macros" / "utils" / "text_literal.sql"]
    template = jinja2.Environment().from_string("".join(file.read_text(encoding="utf-8") for file in files))
    macros["module"] = template.make_module(
        {
            "adapter": SimpleNamespace(dispatch=dispatch),
            "exceptions": SimpleNamespace(raise_compiler_error=fail),
            "modules": SimpleNamespace(re=re, datetime=datetime, pytz=pytz),
            "return": lambda value: value,
        }
    )
    return macros["module"]
