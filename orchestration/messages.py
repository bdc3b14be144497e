"""What people are told, as plain text. Nothing here sends or asks anything."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

# A message names this many files; the table has them all.
MOST_FILES = 20
LONGEST = 300
# Of rows, as they are told.
STATES = ("received", "current", "superseded", "rejected")

Row = Mapping[str, Any]

NO_FILE = "The day's file has not come. Land it, then clear the run in Airflow."
MEND = (
    "Land a mended file under the same path, or release a held one; then clear the run in Airflow, all of its tasks. "
    "The other files of the day are loaded."
)
MEND_TABLE = (
    "Land a mended file under the same path, or release a held one: the next run takes it. The table's other files are "
    "loaded."
)
RETRY = "Read the log and mend the cause, then clear the run in Airflow: nothing is ever loaded twice."


def completed(dag: str, run_date: str, files: Sequence[Row] | None, totals: Mapping[str, int], news: bool) -> str:
    """What a run that ended well has loaded; `files` is None if the warehouse could not be asked."""
    headline = f"✅ DAG {dag} completed for {run_date}"
    if files is None:
        return f"{headline}\nThe warehouse could not be asked what was loaded; the table prod.load_ledger has it."
    count = f"{len(files)} file" if len(files) == 1 else f"{len(files)} files"
    rows = ", ".join(f"{totals[state]:,} {state}" for state in STATES)
    if not news:
        return f"{headline}\nNothing to do: no file is new or restated. Loaded before: {count}, rows: {rows}"
    return f"{headline}\nLoaded {count}, rows: {rows}"


def synced(dag: str, run: str, news: Mapping[str, int], totals: Mapping[str, Mapping[str, int] | None]) -> str:
    """Which tables a run has loaded, with the new files of each, and where the rows of all its files are now."""
    lines = [f"✅ DAG {dag} completed for {run}"]
    for table, number in sorted(news.items()):
        line = f"{table}: {number} new file" if number == 1 else f"{table}: {number} new files"
        if rows := totals[table]:
            line += "; rows now: " + ", ".join(f"{rows[state]:,} {state}" for state in STATES)
        lines.append(line)
    return "\n".join(lines)


def failed(
    dag: str, task: str, run_date: str, *, problem: str, files: Sequence[Row] | None, log_url: str, advice: str
) -> str:
    """What went wrong, where, and what to do; `files` is None if the warehouse could not be asked."""
    lines = [f"❌ DAG {dag} failed for {run_date}", f"Task: {task}"]
    if problem:
        lines.append(f"Problem: {clipped(problem)}")
    for row in (files or [])[:MOST_FILES]:
        lines.extend(_file_to_mend(row))
    if files is None:
        lines.append(
            "The warehouse could not be asked which files are to be mended; they stand in staging.files_to_mend."
        )
    elif len(files) > MOST_FILES:
        lines.append(f"... and {len(files) - MOST_FILES} more: select * from staging.files_to_mend")
    return "\n".join([*lines, f"Log: {log_url}", f"What to do: {advice}"])


def unusual(dag: str, task: str, run: str, found: Mapping[str, str], log_url: str) -> str:
    """What the checks of a table warn of; nothing was stopped by it."""
    lines = [f"⚠️ DAG {dag}, run of {run}: {task} found what is unusual"]
    lines += [f"{check}: {clipped(result)}" for check, result in sorted(found.items())]
    return "\n".join(
        [
            *lines,
            f"Log: {log_url}",
            "What to do: see the rows by `dbt test --store-failures --select <check>`. Nothing was stopped; what came "
            "before its reference is looked at again by every run.",
        ]
    )


def late(dag: str, run: str, run_date: str, hours: float) -> str:
    """That a run is not complete in time."""
    return (
        f"⏰ DAG {dag} is not complete for {run_date}, {hours:g} hours after it was queued\nRun: {run}\n"
        "What to do: nothing is lost and nothing was stopped; see in Airflow which task it is at."
    )


def _file_to_mend(row: Row) -> list[str]:
    record = f", record {int(row['source_record'])}" if row["source_record"] is not None else ""
    rows = ""
    if row["affected_rows"] is not None:
        rows = f" Rows: {int(row['affected_rows']):,}"
        rows += f" of {int(row['received_rows']):,}." if row["received_rows"] is not None else "."
    check = f" Check: {clipped(row['failed_check'])}." if row["failed_check"] else ""
    lines = [
        f"File {row['state']}: {clipped(row['source_file'])}{record}.{check}{rows}",
        f"  Reason: {clipped(row['reason'] or 'unknown')}",
    ]
    if row["state"] == "held" and (command := release_command(row["source_file"])):
        lines.append(f"  If it is right as it is: {command}")
    return lines


def release_command(path: str) -> str | None:
    """What lets a held file through, as it is typed; None for a name that is not to be typed."""
    return f'make release FILE={shlex.quote(path)} REASON="..."' if path.isprintable() else None


def clipped(text: object) -> str:
    """A text on one line, of bearable length."""
    line = re.sub(r"\s+", " ", re.sub(r"[\x00-\x1f\x7f]", " ", str(text))).strip()
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def for_chat(text: str, link: str = "") -> str:
    """A text as Slack takes it: nothing in it calls people or is a link, except for the link given."""
    for raw, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text, link = text.replace(raw, safe), link.replace(raw, safe)
    text = _broken(text)
    return text.replace(_broken(link), f"<{link}>") if link else text


def for_mail(text: str) -> str:
    """A text as the HTML of a mail."""
    return f"<pre>{html.escape(text)}</pre>"


def _broken(text: str) -> str:
    """A character of no width keeps Slack from making calls of @names and links of addresses."""
    return text.replace("@", "@\u200b").replace("://", ":\u200b//")
