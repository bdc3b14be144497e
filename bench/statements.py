"""What one daily run sends to Snowflake, and whether it grows with the history.

The local Snowflake says nothing of Snowflake's time; statements, rows written and files read are the same there.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from dbt.cli.main import dbtRunner
from snowflake.connector.cursor import SnowflakeCursor

from bench.bench import Bench
from bench.data import date_of, write_file
from bench.document import Line
from orchestration.local.stand_ins.s3 import storage
from orchestration.local.stand_ins.snowflake.service import snowflake
from orchestration.settings import BUCKET

PROJECT = Path(__file__).resolve().parents[1]
HISTORIES = (3, 300)
SALES_A_DAY = 50
# What a person would call a statement.
KINDS = re.compile(
    r"(create) (?:or replace )?((?:temporary )?(?:table|view))|(drop) (table|view)|(alter session)|(copy into)"
    r"|([a-z]+)",
    re.IGNORECASE,
)
WRITES = ("insert", "update", "delete", "merge", "copy into")
# As dbt comments each statement: with the node that it is of.
COMMENT = re.compile(r'/\* (\{"app": "dbt".*?\}) \*/', re.DOTALL)


@dataclass(frozen=True)
class Statement:
    """A statement, the node of dbt's graph that sent it, how many rows it wrote, and how many files it listed."""

    node: str
    text: str
    rows: int = 0
    listed: int = 0

    @property
    def read(self) -> int:
        """How many files it reads; a file that is copied is read twice, first for its header."""
        named = re.search(r"\bfiles\s*=\s*\(([^)]*)\)", self.text, re.IGNORECASE) if self.kind == "copy into" else None
        return named.group(1).count("',") + 1 if named else 0

    @property
    def kind(self) -> str:
        """`select`, `merge`, `create temporary table`, ..."""
        begins = re.sub(r"\A(\s|--[^\n]*\n|/\*.*?\*/)*", "", self.text, flags=re.DOTALL)
        found = KINDS.match(" ".join(begins.split()[:6]))
        kind = " ".join(part for part in found.groups() if part).lower()
        return "select" if kind == "with" else kind


def statement_of(command: str) -> Statement:
    """A statement as dbt's adapter hands it to Snowflake's client."""
    found = COMMENT.search(command)
    node = re.search(r'"node_id": "([^"]+)"', found.group(1)) if found else None
    return Statement(node.group(1) if node else "", COMMENT.sub("", command).strip())


@contextmanager
def recorded() -> Iterator[list[Statement]]:
    """Everything that Snowflake's client sends while the block runs, in this process."""
    statements: list[Statement] = []
    execute = SnowflakeCursor.execute

    def record(self, command: str, *arguments, **options):
        done = execute(self, command, *arguments, **options)
        sent, count = statement_of(command), self.rowcount or 0
        statements.append(
            replace(sent, rows=count if sent.kind in WRITES else 0, listed=count if sent.kind == "list" else 0)
        )
        return done

    SnowflakeCursor.execute = record
    try:
        yield statements
    finally:
        SnowflakeCursor.execute = execute


def statements(bench: Bench, _: object) -> None:
    """The statements of a daily run after short and long histories."""
    found: dict[int, list[Statement]] = {}
    kept = dict(os.environ)
    with storage(BUCKET, bench.folder / "s3_of_snowflake") as s3, snowflake(bench.folder / "snowflake", s3) as running:
        for days in HISTORIES:
            bench.say(f"A daily run on Snowflake after {days} days")
            account = f"days{days}"
            running.prepare(account, f"{account}/")
            os.environ.update(running.environment(account))
            for day in range(days + 1):
                if day == days:
                    _build(bench, None)
                root = bench.folder / "statements"
                path = write_file(root, day, day * SALES_A_DAY, SALES_A_DAY, "growing")
                s3.client.upload_file(str(root / path), BUCKET, f"{account}/{path}")
            with recorded() as found[days]:
                _build(bench, str(date_of(days)))
    os.environ.clear()
    os.environ.update(kept)
    bench.results += lines(found)


def _build(bench: Bench, run_date: str | None) -> None:
    os.environ["RUN_DATE"] = run_date or ""
    options = ["--target-path", str(bench.folder / "target_of_snowflake"), "--profiles-dir", str(PROJECT)]
    selection = [
        "--exclude-resource-type",
        "unit_test",
        "--selector",
        "daily_sales_etl_v2",
        "--indirect-selection",
        "cautious",
    ]
    result = dbtRunner().invoke(["--quiet", "build", *selection, *options, "--project-dir", str(PROJECT)])
    if not result.success:
        raise RuntimeError(f"the build on the local Snowflake failed: {result.exception or result.result}")


def lines(found: dict[int, list[Statement]]) -> list[Line]:
    """What was found, by the days of history."""
    short, long = sorted(found)
    group = f"A daily run on Snowflake, after {short} and {long} days"
    kinds = {days: Counter(statement.kind for statement in sent) for days, sent in found.items()}
    listed = ", ".join(f"{number} {kind}" for kind, number in kinds[long].most_common())

    def both(what: str, count: Callable[[list[Statement]], int], grows: float = 1) -> Line:
        before, after = count(found[short]), count(found[long])
        goal = f"at most {grows:g} times" if grows > 1 else "the same"
        return Line(group, what, f"{before:,} and {after:,}", goal, before <= after * grows and after <= before * grows)

    return [
        both("statements", len),
        Line(group, "statements by kind", listed, "the same", kinds[short] == kinds[long]),
        # A day of other sales has a store more or less.
        both("rows written", lambda sent: sum(one.rows for one in sent), grows=1.1),
        both("files listed", lambda sent: sum(one.listed for one in sent)),
        both("files read, for the header and for the rows", lambda sent: sum(one.read for one in sent)),
    ]
