"""What is known of the files of a feed, of a run's date, and of what dbt has found."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from orchestration import report
from orchestration.alerts.bounded import side_by_side

log = logging.getLogger(__name__)

Row = Mapping[str, Any]

# How many seconds the warehouse is asked.
PATIENCE = 60
# Of the ledger.
SUMS = ", ".join(
    f"coalesce(sum({state}_rows), 0) as {state}" for state in ("received", "current", "superseded", "rejected", "held")
)
# The checks that fail while a file waits to be mended: of sales, and of a table.
FILE_TO_MEND = re.compile(r"no_(\w+_)?file_to_mend")
# Those that fail while nothing new comes of a feed.
FRESH = re.compile(r"\w+_is_fresh")


def loaded(feed: str, day: str | None) -> list[Row]:
    """Where the rows of each file of a feed are now, of those of a day if one is given."""
    return report.ask(
        "select source_file, received_rows, current_rows, superseded_rows, rejected_rows, held_rows "
        f"from prod.load_ledger where {_files(feed, day)} order by source_file"
    )


def loaded_events(condition: str, newest: bool = False) -> list[Row]:
    """The sums of the ledger over some landed objects of events, as one row; the condition is SQL. With `newest`, when
    the last of them was sent."""
    query = f"select count(*) as objects, {SUMS} from prod.load_ledger where {condition}"
    if newest:
        sent = f"select max(sent_at) as newest from prod.usage_events where {condition}"
        query = f"select ledger.*, sent.newest from ({query}) as ledger cross join ({sent}) as sent"
    return report.ask(query)


def measured(feed: str, day: str | None, table: str) -> list[Row]:
    """What is measured of a feed, or of its files of a day, as one row: where their rows are now, how many files wait
    to be mended, and the newest version that its table has in production."""
    files = _files(feed, day)
    return report.ask(
        f"""
        select ledger.*, mend.refused_files, mend.held_files, production.newest
        from (select {SUMS} from prod.load_ledger where {files}) as ledger
        cross join (
            select
                count(distinct case when state = 'refused' then source_file end) as refused_files,
                count(distinct case when state = 'held' then source_file end) as held_files
            from staging.files_to_mend where {files}
        ) as mend
        cross join (select max(updated_at) as newest from prod.{_name(table)}) as production
        """
    )


def to_mend(feed: str, day: str | None) -> list[Row]:
    """The refused and held files of a feed, of a day if one is given."""
    return report.ask(
        "select source_file, state, failed_check, source_record, affected_rows, received_rows, reason "
        f"from staging.files_to_mend where {_files(feed, day)} order by source_file"
    )


def totals(files: Sequence[Row]) -> dict[str, int]:
    """The sums over some files of the ledger."""
    names = ("received_rows", "current_rows", "superseded_rows", "rejected_rows", "held_rows")
    return {name.removesuffix("_rows"): sum(int(file[name]) for file in files) for name in names}


def answer(question: Callable[[], list[Row]], seconds: float = PATIENCE) -> list[Row] | None:
    """What the warehouse answers; None if it does not in so many seconds, for a message is sent all the same."""
    answered = side_by_side(seconds, {"warehouse": question})["warehouse"]
    if isinstance(answered, Exception):
        log.warning("The warehouse was not asked: %s", " ".join(str(answered).split())[:300])
        return None
    return answered


def asks_to_mend(test: str) -> bool:
    """Whether a test fails for no other reason than a file that waits to be mended."""
    return bool(FILE_TO_MEND.fullmatch(test))


def asks_the_sender(test: str) -> bool:
    """Whether a test fails for no other reason than a feed of which nothing new has come."""
    return bool(FRESH.fullmatch(test))


def run_day(context: Any) -> str | None:
    """The date of a run; None where Airflow tells nothing of the run, as of a task whose process was killed."""
    time = _run_time(context)
    return time.date().isoformat() if time else None


def run_minute(context: Any) -> str | None:
    """The date and time of a run; None where Airflow tells nothing of it."""
    time = _run_time(context)
    return f"{time:%Y-%m-%dT%H:%M}" if time else None


def _run_time(context: Any) -> datetime | None:
    run = context.get("dag_run")
    return (run.logical_date or run.run_after) if run else None


def _files(feed: str, day: str | None) -> str:
    condition = f"split_part(source_file, '/', 2) = '{_name(feed)}'"
    return condition + (f" and file_date = cast('{date.fromisoformat(day)}' as date)" if day else "")


def _name(feed: str) -> str:
    if not feed.isidentifier():
        raise ValueError(f"{feed} is no feed and no table")
    return feed
