"""Asks the warehouse, through dbt's own profile and adapter, and hears what dbt says while it runs in this process.

The same on DuckDB and Snowflake. It parses no project, so an answer takes a moment, and it gives up on a warehouse
that does not answer rather than wait: only messages depend on it.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

PROJECT = Path(__file__).resolve().parents[1]
# Tries to open a DuckDB file that another process holds: 3 seconds in all.
ATTEMPTS = 3

Row = Mapping[str, Any]


def ask(query: str) -> list[Row]:
    """The rows of a query, by column name in lower case."""
    with _adapter() as adapter:
        _, table = adapter.execute(query, fetch=True)
    names = [name.lower() for name in table.column_names]
    return [dict(zip(names, row, strict=True)) for row in table.rows]


def ask_arrow(query: str) -> pa.Table:
    """The same as an Arrow table, by whole columns: for tables that are long."""
    with _adapter() as adapter:
        _, cursor = adapter.add_query(query, auto_begin=False)
        if adapter.type() == "snowflake":
            table = cursor.fetch_arrow_all(force_return_table=True)
        else:
            table = cursor.to_arrow_table()
    return table.rename_columns([name.lower() for name in table.column_names])


@contextmanager
def _adapter() -> Iterator[Any]:
    """dbt's adapter, connected to the warehouse for a moment."""
    from dbt.adapters.factory import get_adapter, register_adapter, reset_adapters
    from dbt.config.runtime import RuntimeConfig
    from dbt.flags import set_from_args
    from dbt.mp_context import get_mp_context
    from dbt_common.context import set_invocation_context

    options = Namespace(
        project_dir=str(PROJECT),
        profiles_dir=str(PROJECT),
        profile=None,
        target=os.environ.get("DBT_TARGET") or "duckdb",
        threads=1,
        vars={},
    )
    set_from_args(options, None)
    set_invocation_context(os.environ)
    config = RuntimeConfig.from_args(options)
    _hurry(config.credentials)
    reset_adapters()
    register_adapter(config, get_mp_context())
    adapter = get_adapter(config)
    try:
        with adapter.connection_named("report"):
            yield adapter
    finally:
        reset_adapters()


def tables() -> set[tuple[str, str]]:
    """Which tables and views there are: schema and name, in lower case. FileNotFoundError if there is no warehouse."""
    found = ask("select table_schema, table_name from information_schema.tables")
    return {(row["table_schema"].lower(), row["table_name"].lower()) for row in found}


def _hurry(credentials: Any) -> None:
    """Makes a warehouse that is locked or gone an error after seconds, not minutes."""
    if credentials.type == "duckdb":
        credentials.path = str(PROJECT / credentials.path)
        if not Path(credentials.path).exists():
            raise FileNotFoundError(f"there is no warehouse at {credentials.path}")
        if credentials.retries:
            credentials.retries.connect_attempts = ATTEMPTS
    else:
        credentials.connect_timeout, credentials.connect_retries = 10, 0


# How many contents of files the loads that have just run have taken.
_landed: list[int] = []
_found: dict[str, list[Row]] = {}
# What has failed, and what dbt says of it, in the order of dbt's results.
_failed: list[tuple[str, str]] = []


def listen(event: Any) -> None:
    """A callback of dbt: hears how many files a load has taken, the rows that a test has found, and what has failed."""
    kind, data = event.info.name, event.data
    if kind == "MainReportVersion":  # dbt starts
        _failed.clear()
        _landed.clear()
    elif kind in ("RunResultError", "RunResultErrorNoMessage") and data.node_info.node_name:
        _failed.append((data.node_info.node_name, getattr(data, "msg", "")))
    elif kind == "NodeFinished" and data.node_info.materialized == "load_files":
        answer = data.run_result.adapter_response
        if "rows_affected" in answer:
            _landed.append(int(answer["rows_affected"]))
    elif kind == "JinjaLogDebug" and data.msg.startswith('{"failing_rows_of"'):
        said = json.loads(data.msg)
        _found[said["failing_rows_of"]] = said["rows"]


def failures_behind(error: BaseException) -> list[tuple[str, str]]:
    """The models and tests that have failed, with what dbt said of each, if that is what a task has failed by.

    Nothing if it failed by something else, or if dbt did not come to its end.
    """
    from cosmos.exceptions import CosmosDbtRunError

    return list(_failed) if isinstance(error, CosmosDbtRunError) else []


def failing_rows() -> dict[str, list[Row]]:
    """Some rows of each test that does not hold, of those that have just run in this process."""
    found = dict(_found)
    _found.clear()
    return found


def found_nothing_new() -> bool:
    """Whether the loads that have just run in this process have taken no file."""
    found = bool(_landed) and not sum(_landed)
    _landed.clear()
    return found


def tell_waiting(event: Any) -> None:
    """A callback of dbt, for a command that is quiet: says all the same that the warehouse is in use and waited for."""
    if event.info.name == "AdapterEventWarning":
        print(event.info.msg, file=sys.stderr)
