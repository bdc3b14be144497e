"""What people are told, as plain text. Nothing here sends or asks anything."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestration.events.lag import duration

# A message names this many files; the table has them all.
MOST_FILES = 20
LONGEST = 300
# Of rows, as they are told.
STATES = ("received", "current", "superseded", "rejected")

Row = Mapping[str, Any]

# What a task that has failed leaves for who lists many runs: why, on one line.
PROBLEM = "problem"

NO_FILE = "The day's file has not come. Land it, then clear the run in Airflow."
MEND = (
    "Land a mended file under the same path, or release a held one; then clear the run in Airflow, all of its tasks. "
    "The other files of the day are loaded."
)
MEND_TABLE = (
    "Land a mended file under the same path, or release a held one: the next run takes it. The table's other files are "
    "loaded."
)
LOSS = (
    "Find out why: the topic keeps its events for too short a time, or was made anew. To go on without what is lost, "
    "trigger the DAG by hand with accept_loss true: it reads on from what is there and writes down what was lost. "
    "Until then every run stops here."
)
SILENT = "Ask who sends it. What comes is loaded, as ever."
LAG = (
    "Nothing is lost while the topic still has it. Let a run take more (PIPELINES_MOST_EVENTS, PIPELINES_MOST_SECONDS) "
    "or share it out over more tasks (PIPELINES_CONSUMERS). This is not told again until the lag has shrunk."
)
NOTHING_STOPPED = "Nothing was stopped; what came before its reference is looked at again by every run."
NOT_TYPED = "its name cannot be typed, so land it under another one."
IN_THE_LOG = "the command is in the mail and at the end of the log, for chat would change it."
UNHEARD = (
    "the task's process ended without a word: it was killed, most often for want of memory, or lost with its machine, "
    "or a person has ended it in Airflow"
)
# Why a run has failed, as Airflow calls it.
REASONS = {
    "timed_out": "the run took longer than it may",
    "all_tasks_deadlocked": "none of the tasks that are left can run",
    "task_failure": "a task has failed",
}
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


def loaded(dag: str, run: str, found: Row | None, lags: Sequence[Mapping[str, Any]]) -> str:
    """What a run has loaded of events, and how far the landing zone is behind; `found` is None if the warehouse could
    not be asked."""
    headline = f"✅ DAG {dag} completed for {run}"
    if found is None:
        line = "The warehouse could not be asked what was loaded; the table prod.load_ledger has it."
    else:
        objects = f"{found['objects']:,} object{'s' * (found['objects'] != 1)}"
        # Of an event the first copy stays, and the others are superseded by it.
        states = {"received": "received", "current": "current", "superseded": "duplicates", "rejected": "rejected"}
        states |= {"held": "held"} if found["held"] else {}
        line = f"Loaded {objects}, events: " + ", ".join(
            f"{int(found[name]):,} {said}" for name, said in states.items()
        )
    return f"{headline}\n{line}\nLag: {lag_of(sum(lag['behind'] for lag in lags), max(lag['age'] for lag in lags))}"


def lag_grows(dag: str, topic: str, share: str, behind: int, age: float, since: str, log_url: str) -> str:
    """That the landing zone falls behind a topic, or a share of its partitions, and since when."""
    return (
        f"⚠️ DAG {dag} falls behind topic {clipped(topic)}{share.rstrip(',')}\n"
        f"Lag: {lag_of(behind, age)}; it has not shrunk since {since[:16]}\nLog: {log_url}\nWhat to do: {LAG}"
    )


def silent(dag: str, topic: str, share: str, since: str, log_url: str) -> str:
    """That no event has come of a topic, or of a share of its partitions, and since when."""
    return (
        f"🔇 DAG {dag}: no event has come of topic {clipped(topic)}{share} since {since[:16]}\nLog: {log_url}\n"
        f"What to do: {SILENT} This is told once a day until something comes."
    )


def lag_of(behind: int, age: float) -> str:
    """How far the landing zone is behind a topic."""
    if not behind:
        return "none"
    waited = f", the oldest of their events has waited for {duration(age)}" if age else ""
    return f"{behind:,} offsets{waited}"


def model(dag: str, run: str, decided: Row, measures: Mapping[str, Mapping[str, float]], scored: Row) -> str:
    """How the model of a run measures, what was decided on it and why, and what the one that serves says."""
    auc = {name: f"{measures[name]['auc']:.4f}" for name in ("model", "logistic_regression", "base_rate")}
    lines = [
        f"✅ DAG {dag} completed for {run}",
        f"Model AUC {auc['model']}, logistic regression {auc['logistic_regression']}, base rate {auc['base_rate']}: "
        f"trained on {decided['trained_on']:,} customers of {decided['snapshot_date']}",
        f"Decision: {decided['decision']}. {decided['why']}",
    ]
    if scored["serving"]:
        lines.append(f"Scored {scored['scored']:,} customers of {scored['snapshot']}; card: {decided['card']}")
    else:
        lines.append("No model serves, so no customer was scored.")
    return "\n".join([*lines, *(f"⚠️ Drift: {clipped(one)}" for one in scored["drift"])])


def failed(
    dag: str,
    task: str | None,
    run_date: str,
    *,
    problem: str,
    files: Sequence[Row] | None,
    log_url: str,
    advice: str,
    found: Mapping[str, Sequence[Row]] | None = None,
    lost: Sequence[str] = (),
    others: Sequence[str] = (),
) -> str:
    """What went wrong, where, and what to do; `files` is None if the warehouse could not be asked, `found` has some
    rows of each test that did not hold, `lost` says what can never be loaded, `others` which tasks of the run have
    failed too, each with a message of its own."""
    lines = [f"❌ DAG {dag} failed for {run_date}"]
    if task:
        lines.append(f"Task: {task}")
    if others:
        lines.append(f"Failed in this run too: {', '.join(sorted(others))}")
    if problem:
        lines.append(f"Problem: {clipped(problem)}")
    lines.extend(f"Lost: {clipped(one)}" for one in lost[:MOST_FILES])
    if len(lost) > MOST_FILES:
        lines.append(f"... and {len(lost) - MOST_FILES} more, in the log")
    for test, rows in sorted((found or {}).items()):
        lines.append(f"Test: {test}")
        lines.extend(_found(test, rows))
    for row in (files or [])[:MOST_FILES]:
        lines.extend(_file_to_mend(row))
    if files is None:
        lines.append(
            "The warehouse could not be asked which files are to be mended; they stand in staging.files_to_mend."
        )
    elif len(files) > MOST_FILES:
        lines.append(f"... and {len(files) - MOST_FILES} more: select * from staging.files_to_mend")
    return "\n".join([*lines, f"Log: {log_url}", f"What to do: {advice}"])


def in_short(problem: str, files: Sequence[Row]) -> str:
    """What went wrong, on one line: the files that wait to be mended, if that is it."""
    return clipped("; ".join(f"{row['state']}: {row['source_file']}, {row['reason']}" for row in files) or problem)


def unusual(dag: str, run: str, kept: Mapping[str, Mapping[str, Any]], link: str) -> str:
    """What the checks of a run warn of, by their tasks; nothing was stopped by it."""
    lines = [f"⚠️ DAG {dag}, run of {run}: its checks found what is unusual"]
    for task, one in sorted(kept.items()):
        lines += unusual_of_task(task, one["results"], one["rows"])
    return "\n".join([*lines, f"Run: {link}", f"What to do: {NOTHING_STOPPED}"])


def unusual_of_task(task: str, results: Mapping[str, str], rows: Mapping[str, Sequence[Row]]) -> list[str]:
    """What the checks of a task warn of, with some rows of each."""
    lines = []
    for check, result in sorted(results.items()):
        lines += [f"{task}, {check}: {clipped(result)}", *_found(check, rows.get(check, ()))]
    return lines


def late(dag: str, run: str, run_date: str, after: str) -> str:
    """That a run is not complete in time."""
    return (
        f"⏰ DAG {dag} is not complete for {run_date}, {after} after it was queued\nRun: {run}\n"
        "What to do: nothing is lost and nothing was stopped; see in Airflow which task it is at."
    )


def long(dag: str, task: str, run: str, tries: int, minutes: float, log_url: str) -> str:
    """That a task still runs after so many minutes."""
    return (
        f"⏰ DAG {dag}, run of {run}: {task} has run for {duration(minutes * 60)} at try {tries}, and goes on\n"
        f"Log: {log_url}\n"
        "What to do: nothing was stopped; see in the log what it is at, and in the warehouse what it waits for."
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
    if row["state"] == "held":
        command = release_command(row["source_file"])
        lines.append(f"  If it is right as it is: {command or NOT_TYPED}")
    return lines


def _found(test: str, rows: Sequence[Row]) -> list[str]:
    shown = [clipped(", ".join(f"{name}={value}" for name, value in row.items())) for row in rows]
    return [f"  {row}" for row in shown] + [f"  All of it: {rows_command(test)}"]


def rows_command(test: str) -> str:
    """What shows the rows that a test finds, as it is typed in the project's folder."""
    return f".venv/bin/dbt show --limit 1000 --output json --select {shlex.quote(test)}"


def release_command(path: str) -> str | None:
    """What lets a held file through, as it is typed; None for a name that is not to be typed."""
    return f'make release FILE={shlex.quote(path)} REASON="..."' if path.isprintable() else None


def commands(files: Sequence[Row] | None = (), tests: Iterable[str] = ()) -> list[str]:
    """All that a message gives to be typed."""
    released = [release_command(row["source_file"]) for row in files or () if row["state"] == "held"]
    return [command for command in released if command] + [rows_command(test) for test in tests]


def clipped(text: object) -> str:
    """A text on one line, of bearable length."""
    line = re.sub(r"\s+", " ", re.sub(r"[\x00-\x1f\x7f]", " ", str(text))).strip()
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def for_chat(text: str, link: str = "", commands: Sequence[str] = ()) -> str:
    """A text as Slack takes it: nothing in it calls people or is a link, except for the link given.

    The commands given are code, in which Slack formats nothing. One that would not be the same when it is copied is
    left to the mail and the log.
    """
    text, link = _escaped(text), _escaped(link)
    text = _broken(text)
    for command in map(_escaped, commands):
        copied = f"`{command}`" if "`" not in command and _broken(command) == command else IN_THE_LOG
        text = text.replace(_broken(command) + "\n", copied + "\n")
    return text.replace(_broken(link), f"<{link}>") if link else text


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def for_mail(text: str) -> str:
    """A text as the HTML of a mail."""
    return f"<pre>{html.escape(text)}</pre>"


def _broken(text: str) -> str:
    """A character of no width keeps Slack from making calls of @names and links of addresses."""
    return text.replace("@", "@\u200b").replace("://", ":\u200b//")
