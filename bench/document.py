"""What a bench found, for a person: a table on the console, a page with charts in docs/."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import Cost


@dataclass(frozen=True)
class Line:
    """One measurement: what, the goal (None where there is none), the result, and whether it reaches the goal."""

    group: str
    what: str
    result: str
    goal: str = ""
    reached: bool | None = None
    # For a chart: label and value.
    points: tuple[tuple[str, float], ...] = ()

    @property
    def verdict(self) -> str:
        """The last column."""
        return "" if self.reached is None else "reached" if self.reached else "missed"


def ratio(group: str, what: str, value: float, goal: float, detail: str) -> Line:
    """A ratio that is to stay below a goal."""
    return Line(group, what, f"{value:.2f} ({detail})", f"at most {goal:g}", round(value, 2) <= goal)


def pair_line(size: int, history: int, baseline: Cost, build: Cost, rerun: Cost) -> Line:
    """Build against baseline for one size and history."""
    what = f"{size:,} into {history:,}"
    result = (
        f"{build.cpu / baseline.cpu:.2f} ({build.cpu:.1f} s and {build.memory:,.0f} MB against {baseline.cpu:.1f} s "
        f"and {baseline.memory:,.0f} MB; the same file again: {rerun.cpu:.1f} s)"
    )
    return Line("CPU of a build against pure DuckDB", what, result)


def main_lines(baseline: Cost, build: Cost, rerun: Cost, start: Cost) -> list[Line]:
    """The goals at a million into ten million."""
    group, net = "1,000,000 into 10,000,000", build.cpu - start.cpu
    return [
        ratio(group, "CPU, whole build", build.cpu / baseline.cpu, 1.5, f"{build.cpu:.1f} s / {baseline.cpu:.1f} s"),
        ratio(
            group,
            "CPU, less that of a build with no file",
            net / baseline.cpu,
            1.1,
            f"{build.cpu:.1f} s - {start.cpu:.1f} s",
        ),
        ratio(
            group,
            "Peak memory",
            build.memory / baseline.memory,
            1.3,
            f"{build.memory:,.0f} MB / {baseline.memory:,.0f} MB",
        ),
        ratio(
            group,
            "CPU, the same file again over no file",
            rerun.cpu / start.cpu,
            1.1,
            f"{rerun.cpu:.1f} s / {start.cpu:.1f} s",
        ),
    ]


def history_line(keys: str, size: int, costs: Sequence[Cost]) -> Line:
    """How cost grows with history, of builds that came to what the baseline comes to: others have no cost."""
    first = costs[0].cpu
    factors = ", ".join(f"{cost.cpu / first:.2f}" for cost in costs)
    worst = max(cost.cpu for cost in costs) / first
    detail = ", ".join(f"{cost.cpu:.1f} s" for cost in costs)
    return Line(
        "History of 1, 10 and 100 times the batch",
        f"{size:,} sales, {keys} keys",
        f"{factors} ({detail})",
        "at most 1.1" if keys == "growing" else "correct",
        round(worst, 2) <= 1.1 if keys == "growing" else True,
        tuple((f"{times}x", round(cost.cpu, 2)) for times, cost in zip((1, 10, 100), costs, strict=True)),
    )


def storage_line(folder: Cost, s3: Cost) -> Line:
    """S3 against a folder."""
    return Line(
        "Landing zone",
        "CPU, from S3 over from a folder",
        f"{s3.cpu / folder.cpu:.2f} ({s3.cpu:.1f} s / {folder.cpu:.1f} s)",
    )


def keep(file: Path, name: str, lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Keeps what one measure has found beside what the others found last, and returns all of it."""
    found = json.loads(file.read_text()) if file.exists() else {}
    found[name] = [asdict(line) for line in lines]
    file.write_text(json.dumps(found, indent=1))
    return {name: [Line(**line) for line in kept] for name, kept in found.items()}


def show(console: Console, lines: Sequence[Line]) -> None:
    """Prints the table."""
    table = Table("what", "result", "goal", "", title="Bench", title_justify="left")
    for line in lines:
        table.add_row(f"{line.group}: {line.what}", line.result, line.goal, line.verdict)
    console.print(table)


def write(page: Path, lines: Sequence[Line]) -> None:
    """Writes the page; what stands in it behind the mark is a person's and stays."""
    mark = "\n<!-- written by hand from here on -->\n"
    kept = page.read_text().partition(mark)[2] if page.exists() else ""
    rows = ["| what | result | goal | |", "|---|---|---|---|"]
    rows += [f"| {line.group}: {line.what} | {line.result} | {line.goal} | {line.verdict} |" for line in lines]
    charts = [chart(line) for line in lines if line.points]
    packages = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "dbt-core", "dbt-duckdb", "apache-airflow"))
    page.write_text(
        "# Benchmark\n\n"
        "`make bench` writes this part. CPU seconds (user and system) and peak memory of whole processes, best of "
        "several runs in turn on fresh copies of one warehouse, DuckDB with one thread. The baseline is one process of "
        "pure DuckDB (`bench/baseline.py`) that keeps the same promises for one file; before a ratio counts, "
        "production, rejects, ledger, totals and metrics of both are compared row for row.\n\n"
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"{packages}.\n\n" + "\n".join(rows) + "\n\n" + "\n".join(charts) + mark + kept
    )


def chart(line: Line) -> str:
    """A line's points as a chart that the forge draws."""
    labels = ", ".join(f'"{label}"' for label, _ in line.points)
    values = ", ".join(str(value) for _, value in line.points)
    top = max(value for _, value in line.points) * 1.2
    return (
        f'```mermaid\nxychart-beta\n    title "{line.group}: {line.what}"\n    x-axis [{labels}]\n'
        f'    y-axis "CPU seconds" 0 --> {top:.0f}\n    bar [{values}]\n```\n'
    )
