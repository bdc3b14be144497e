"""Asks the warehouse what a run has loaded and what is to be mended, through dbt's own profile and adapter.

The same on DuckDB and Snowflake. It parses no project, so an answer takes a moment, and it gives up on a warehouse
that does not answer rather than wait: only messages depend on it.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
# Tries to open a DuckDB file that another process holds: 3 seconds in all.
ATTEMPTS = 3

Row = Mapping[str, Any]


def loaded(feed: str, run_date: str | None) -> list[Row]:
    """Where the rows of each file of a feed are now, of those of the run's date if one is given."""
    return ask(
        "select source_file, received_rows, current_rows, superseded_rows, rejected_rows, held_rows "
        f"from prod.load_ledger where {_files(feed, run_date)} order by source_file"
    )


def to_mend(feed: str, run_date: str | None) -> list[Row]:
    """The refused and held files of a feed, of the run's date if one is given."""
    return ask(
        "select source_file, state, failed_check, source_record, affected_rows, received_rows, reason "
        f"from staging.files_to_mend where {_files(feed, run_date)} order by source_file"
    )


def ask(query: str) -> list[Row]:
    """The rows of a query, by column name in lower case."""
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
            _, table = adapter.execute(query, fetch=True)
    finally:
        reset_adapters()
    names = [name.lower() for name in table.column_names]
    return [dict(zip(names, row, strict=True)) for row in table.rows]


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


def _files(feed: str, run_date: str | None) -> str:
    if not feed.isidentifier():
        raise ValueError(f"{feed} is no feed")
    condition = f"split_part(source_file, '/', 2) = '{feed}'"
    return condition + (f" and file_date = cast('{date.fromisoformat(run_date)}' as date)" if run_date else "")


_heard: list[str] = []
_found: dict[str, list[Row]] = {}


def listen(event: Any) -> None:
    """A callback of dbt: hears what a load says when it finds nothing new, and the rows that a test has found."""
    if "Nothing to do" in event.info.msg:
        _heard.append(event.info.msg)
    elif event.info.name == "JinjaLogDebug" and event.data.msg.startswith('{"failing_rows_of"'):
        said = json.loads(event.data.msg)
        _found[said["failing_rows_of"]] = said["rows"]


def failing_rows() -> dict[str, list[Row]]:
    """Some rows of each test that does not hold, of those that have just run in this process."""
    found = dict(_found)
    _found.clear()
    return found


def found_nothing_new() -> bool:
    """Whether the load that has just run in this process said so."""
    heard = bool(_heard)
    _heard.clear()
    return heard


def tell_waiting(event: Any) -> None:
    """A callback of dbt, for a command that is quiet: says all the same that the warehouse is in use and waited for."""
    if event.info.name == "AdapterEventWarning":
        print(event.info.msg, file=sys.stderr)


def totals(files: Sequence[Row]) -> dict[str, int]:
    """The sums over some files of the ledger."""
    names = ("received_rows", "current_rows", "superseded_rows", "rejected_rows", "held_rows")
    return {name.removesuffix("_rows"): sum(int(file[name]) for file in files) for name in names}
