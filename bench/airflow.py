"""What a run of the DAG costs over a bare `dbt build` of the same file, every table its own task."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
from rich.console import Console

from bench.bench import Bench
from bench.data import date_of, write_file
from bench.document import Line
from bench.measure import Cost, run

PROJECT = Path(__file__).resolve().parents[1]
SIZE = 1_000
IDLE_SECONDS = 15
# Days that are run by a backfill.
FILLED_IN = 30
# Imports are Airflow's and dbt's; what is ours is what a second parse of the file takes.
PARSE = """
import sys, time
from airflow.dag_processing.dagbag import DagBag
from orchestration.local.services import DAGS
FILE = sys.argv[1]
took = []
for _ in range(6):
    begun = time.process_time()
    bag = DagBag(DAGS / FILE)
    took.append(time.process_time() - begun)
assert bag.dags and not bag.import_errors, bag.import_errors
# The first one imports.
print("took", min(took[1:]))
"""


def overhead(bench: Bench, _: object) -> None:
    """Airflow over bare dbt, and the parse of the DAG file."""
    bench.say(f"Runs by Airflow of {SIZE:,} sales")
    folder = bench.folder / "airflow"
    shutil.rmtree(folder, ignore_errors=True)
    days = range(bench.repeats + 1 + FILLED_IN)
    files = [write_file(folder / "landing", day, day * SIZE, SIZE, "growing") for day in days]
    single = files[: bench.repeats + 1]
    over, tasks, filled_in = _over_dbt(bench, folder, single, files[len(single) :])
    parse = parse_seconds(folder / "home", PROJECT, "daily_sales_etl_v2.py")
    bench.results += [
        Line(
            "Airflow",
            f"CPU seconds of a run of {SIZE:,} sales in {tasks} tasks, over bare dbt",
            over[1],
            "at most 7",
            over[0] <= 7,
        ),
        Line("Airflow", f"CPU seconds a day of a backfill of {FILLED_IN} such days", filled_in),
        Line(
            "Airflow", "CPU seconds of the DAG file's parse, after imports", f"{parse:.2f}", "at most 0.3", parse <= 0.3
        ),
    ]


def _over_dbt(bench: Bench, folder: Path, files: list[str], filled_in: list[str]) -> tuple[tuple[float, str], int, str]:
    """What a run costs over bare dbt, in how many tasks; and a day of a backfill, against bare dbt and the bulk way."""
    from orchestration.local.backfill import Days, backfill
    from orchestration.local.demos.sales import DAG_ID
    from orchestration.local.services import local_services

    bare, whole = [], []
    tasks = 0
    with local_services(folder / "local", warehouse=folder / "warehouse.duckdb") as services:
        services.airflow.wait_for_dag(DAG_ID)
        services.airflow.unpause(DAG_ID)
        for day, file in enumerate(files):
            services.s3.land(file, folder / "landing" / file)
            before = cpu_of_children()
            time.sleep(IDLE_SECONDS)
            idle = (cpu_of_children() - before) / IDLE_SECONDS
            begun = time.monotonic()
            before, date = cpu_of_children(), date_of(day).isoformat()
            ended = services.airflow.wait(DAG_ID, services.airflow.start(DAG_ID, date))
            used = cpu_of_children() - before
            if ended.state != "success":
                raise RuntimeError(f"the run of {date} ended as {ended.state}; see {folder / 'local' / 'airflow'}")
            tasks = len(ended.tasks)
            # The first run fills caches.
            if day:
                whole.append(used - idle * (time.monotonic() - begun))
        for file in filled_in:
            services.s3.land(file, folder / "landing" / file)
        days = Days(date_of(len(files)), date_of(len(files) + len(filled_in) - 1))
        before, begun = cpu_of_children(), time.monotonic()
        if not backfill(services.airflow, DAG_ID, days, again=False, out=Console(quiet=True)):
            raise RuntimeError(f"a day of {days} has not ended well; see {folder / 'local' / 'airflow'}")
        a_day = (cpu_of_children() - before - idle * (time.monotonic() - begun)) / len(days)
    warehouse = folder / "bare" / "warehouse.duckdb"
    warehouse.parent.mkdir()
    for day, file in enumerate(files):
        root = folder / "bare" / str(day)
        (root / file).parent.mkdir(parents=True)
        shutil.copy(folder / "landing" / file, root / file)
        cost = bench.dbt(root, warehouse)
        if day:
            bare.append(cost)
    for file in filled_in:
        (folder / "bulk" / file).parent.mkdir(parents=True)
        shutil.copy(folder / "landing" / file, folder / "bulk" / file)
    bulk = bench.dbt(folder / "bulk", warehouse).cpu / len(filled_in)
    difference = min(whole) - Cost.best(bare).cpu
    over = difference, f"{difference:.1f} ({min(whole):.1f} s less idling / {Cost.best(bare).cpu:.1f} s)"
    return over, tasks, f"{a_day:.1f} (bare dbt a day {Cost.best(bare).cpu:.1f} s; in bulk {bulk:.2f} s)"


def cpu_of_children() -> float:
    """CPU seconds so far of all processes below this one."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def parse_seconds(home: Path, project: Path, file: str) -> float:
    """CPU seconds of a later parse of one DAG file of a project."""
    env = {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    env |= {"AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "orchestration" / "plugins"), "PYTHONPATH": str(project)}
    run([sys.executable, "-m", "airflow", "db", "migrate"], env, project)
    output = subprocess.run(
        [sys.executable, "-c", PARSE, file],
        env={**os.environ, **env}, cwd=project, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return float(output.rpartition("took ")[2])
