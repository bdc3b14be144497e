"""What a table costs: the DAG with 4, 10 and 40 tables of which files come, its parse, an idle hour and an hour with a
file for each."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.airflow import IDLE_SECONDS, cpu_of_children, parse_seconds
from bench.bench import Bench
from bench.document import Line
from bench.measure import run
from orchestration.local.demos import table_files

PROJECT = Path(__file__).resolve().parents[1]
COUNTS = (4, 10, 40)
DAG_ID = "table_sync"
# The table that is copied under other names until there are as many of which files come as are asked for. Of the others
# of the project, those of churn, none comes.
PATTERN, COPIES = "products", "copy_"
# In the copy's Airflow: dbt starts in the process of a task, which is a fork of the scheduler that loads this module.
STARTS = "starts_of_dbt"
COUNTING = f"""

from dbt.cli.main import dbtRunner as _Runner  # noqa: E402

_invoke = _Runner.invoke


def _counted(self, *arguments, **options):
    with (PROJECT / "{STARTS}").open("a") as file:
        file.write("1\\n")
    return _invoke(self, *arguments, **options)


_Runner.invoke = _counted
"""
OTHERS = (".git", ".venv", ".local", "demo", "logs", "target", "warehouse.duckdb*", "__pycache__", ".*_cache")


def tables(bench: Bench, _: object) -> None:
    """The parse of the DAG file, an idle run, and a run with a file for each table."""
    found = {}
    for number in COUNTS:
        bench.say(f"{number} tables by Airflow")
        root = project_of(bench.folder / f"tables-{number}", number)
        # In a process of its own, whose modules, and those of its Airflow, are the copy's.
        env = {**os.environ, "PYTHONPATH": str(root)}
        done = subprocess.run([sys.executable, "-m", "bench.tables"], env=env, cwd=root, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the bench of {number} tables failed:\n{done.stderr[-3000:]}")
        found[number] = json.loads(done.stdout.splitlines()[-1])
        if found[number].pop("tables") != number:
            raise RuntimeError(f"the bench of {number} tables ran with another number of them")
        found[number]["parse"] = parse_seconds(root / "home", root, f"{DAG_ID}.py")
    bench.results += lines(found)


def lines(found: dict[int, dict]) -> list[Line]:
    """What was found, by the number of tables."""
    most, group = max(found), "Tables"
    a_table = {number: one["run"] / number for number, one in found.items()}
    idle, started = found[most]["idle"], found[most]["started"]
    return [
        Line(
            group,
            f"CPU seconds of the DAG file's parse with {most} tables, after imports",
            f"{found[most]['parse']:.2f}",
            "at most 0.5",
            found[most]["parse"] <= 0.5,
        ),
        Line(
            group,
            f"CPU seconds of an hour without a file, {most} tables",
            f"{idle:.1f}; dbt started {started} times",
            "no start of dbt",
            started == 0,
        ),
        Line(
            group,
            f"CPU seconds a table of an hour with a file for each, {', '.join(map(str, found))} tables",
            ", ".join(f"{cost:.2f}" for cost in a_table.values()),
            "at most 6",
            max(a_table.values()) <= 6,
            tuple((f"{number} tables", round(cost, 2)) for number, cost in a_table.items()),
        ),
    ]


def project_of(root: Path, number: int) -> Path:
    """A copy of the project with so many tables of which files come."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(PROJECT, root, ignore=shutil.ignore_patterns(*OTHERS), symlinks=True)
    (root / ".venv").symlink_to(PROJECT / ".venv")
    add_tables(root / "models", number)
    with (root / "orchestration" / "warm_up.py").open("a") as file:
        file.write(COUNTING)
    (root / STARTS).touch()
    profile = (PROJECT / "profiles.yml").read_text()
    (root / "profiles.yml").write_text(
        profile.replace(str(PROJECT / "warehouse.duckdb"), str(root / "warehouse.duckdb"))
    )
    run([str(PROJECT / ".venv/bin/dbt"), "--quiet", "parse", "--project-dir", ".", "--profiles-dir", "."], {}, root)
    return root


def add_tables(models: Path, number: int) -> None:
    """Adds copies of a table, without its history, to the models of a project, until files come of so many."""
    feeds, production = models / "feeds", models / "marts" / "tables"
    for place in range(len(table_files.first_hour()), number):
        name = f"{COPIES}{place:02}"
        (feeds / name).mkdir()
        for source, target in ((feeds / PATTERN, feeds / name), (production, production)):
            for file in source.glob(f"*{PATTERN}.*"):
                text = re.split(f"\n  - name: (?:versions_{PATTERN}|{PATTERN}_history)\n", file.read_text())[0]
                if file.name != f"versions_{PATTERN}.sql":
                    (target / file.name.replace(PATTERN, name)).write_text(text.rstrip().replace(PATTERN, name) + "\n")


def main() -> None:
    """In the copy: runs the DAG and prints what its runs cost."""
    from orchestration import tables as configured
    from orchestration.local.services import local_services

    names = [table.name for table in configured.tables()]
    copies = [name for name in names if name.startswith(COPIES)]
    number = len(table_files.first_hour()) + len(copies)

    def files(hour: int, own: dict[str, bytes]) -> dict[str, bytes]:
        return own | {table_files.path(name, hour): own[table_files.path(PATTERN, hour)] for name in copies}

    root = Path.cwd()
    with local_services(root / ".local", warehouse=root / "warehouse.duckdb") as services:
        airflow = services.airflow
        airflow.wait_for_dag(DAG_ID)
        airflow.unpause(DAG_ID)
        idling = 0.0

        def starts() -> int:
            return len((root / STARTS).read_text().splitlines())

        def cost(hour: int, land: dict[str, bytes]) -> tuple[float, int, int]:
            """CPU seconds of an hour, starts of dbt, and tasks behind the finder."""
            started = starts()
            for key, content in land.items():
                services.s3.land(key, content)
            begun, before = time.monotonic(), cpu_of_children()
            ended = airflow.wait(DAG_ID, airflow.start(DAG_ID, f"2024-01-03T{hour:02}:00"), seconds=1_200)
            used = cpu_of_children() - before - idling * (time.monotonic() - begun)
            if ended.state != "success":
                raise RuntimeError(f"the run of hour {hour} ended as {ended.state}; see {root / '.local' / 'airflow'}")
            tasks = sum(1 for task in ended.tasks if task.state == "success" and task.task != "find_new_files")
            return used, starts() - started, tasks

        # The first run makes the tables and fills caches.
        cost(0, files(0, table_files.first_hour()))
        before = cpu_of_children()
        time.sleep(IDLE_SECONDS)
        idling = (cpu_of_children() - before) / IDLE_SECONDS
        idle, started, _ = min(cost(hour, {}) for hour in (1, 2))
        second = files(1, table_files.second_hour())
        # The same changes an hour later.
        third = {key.replace("/01/", "/02/"): data.replace(b"T01:", b"T02:") for key, data in second.items()}
        busy, starts_of_busy, tasks = min(cost(3, second), cost(4, third))
    # A sync and a check of each, and the message.
    if tasks != 2 * number + 1:
        raise RuntimeError(f"{tasks} tasks ran for {number} tables, each of which had a file")
    if starts_of_busy != 2 * number:
        raise RuntimeError(f"dbt was started {starts_of_busy} times for {number} tables, each of which had a file")
    print(json.dumps({"tables": number, "idle": idle, "started": started, "run": busy}))


if __name__ == "__main__":
    main()
