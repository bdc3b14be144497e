"""`make bench`: what the daily load costs, against one process of pure DuckDB, in ratios of one run.

Everything is measured in CPU seconds and peak memory, best of several runs in turn, each on a fresh copy of the same
warehouse. Before a ratio counts, production, rejects, ledger and totals of both sides are compared row for row. The
result goes to docs/benchmark.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from bench import airflow, churn, document, events, statements
from bench import tables as bench_tables
from bench.bench import MILLION, PROJECT, Batch, Bench
from bench.measure import Cost


def goals(bench: Bench, main: Batch) -> None:
    """The size that the goals are set for."""
    bench.say(f"{main.size:,} sales into {main.history:,}")
    costs = bench.pair(main)
    bench.results += document.main_lines(*costs, bench.start_up())
    bench.results.append(document.pair_line(main.size, main.history, *costs))


def sizes(bench: Bench, main: Batch) -> None:
    """Other sizes, into an empty and into a large warehouse."""
    for size in (1_000, MILLION, 5 * MILLION):
        for history in (0, main.history):
            batch = Batch(size, history)
            if batch != main:
                bench.say(f"{size:,} sales into {history:,}")
                bench.results.append(document.pair_line(size, history, *bench.pair(batch)))


def flatness(bench: Bench, _: Batch) -> None:
    """The same batch onto 1, 10 and 100 times the history."""
    size = 100_000
    for keys in ("growing", "random"):
        bench.say(f"{size:,} sales onto 1, 10 and 100 times as many, {keys} keys")
        costs = bench.builds([Batch(size, times * size, keys, size) for times in (1, 10, 100)])
        bench.results.append(document.history_line(keys, size, costs))


def storage(bench: Bench, main: Batch) -> None:
    """The same file from S3 and from a folder."""
    from orchestration.local.stand_ins.s3 import KEY, REGION, SECRET
    from orchestration.local.stand_ins.s3 import storage as s3_storage

    bench.say(f"{main.size:,} sales from S3 and from a folder")
    root, file = bench.landing(main)
    folder, s3 = [], []
    with s3_storage("bench", bench.folder / "s3") as server:
        server.client.upload_file(str(root / file), "bench", file)
        env = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
        env["AWS_ENDPOINT_URL"] = server.endpoint
        for _ in range(bench.repeats):
            folder.append(bench.dbt(root, bench.fresh("dbt", main)))
            s3.append(bench.dbt("s3://bench", bench.fresh("dbt", main), env))
    bench.results.append(document.storage_line(Cost.best(folder), Cost.best(s3)))


def main() -> int:
    """Measures everything and writes the page."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=PROJECT / ".local" / "bench", help="kept between benches")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each measurement, of which the best counts")
    names = ["goals", "flatness", "storage", "airflow", "tables", "events", "churn", "statements", "sizes"]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="what to measure anew")
    options = parser.parse_args()
    console = Console()
    with Progress(console=console, transient=True) as progress:
        bench = Bench(options.folder.resolve(), progress, options.repeats)
        batch = Batch(MILLION, 10 * MILLION)
        measures = {
            "goals": goals,
            "flatness": flatness,
            "storage": storage,
            "airflow": airflow.overhead,
            "tables": bench_tables.tables,
            "events": events.events,
            "churn": churn.churn,
            "statements": statements.statements,
            "sizes": sizes,
        }
        for name, measure in measures.items():
            if name in options.only:
                bench.results = []
                measure(bench, batch)
                kept = document.keep(bench.folder / "results.json", name, bench.results)
                lines = [line for name in measures for line in kept.get(name, [])]
                document.write(PROJECT / "docs" / "benchmark.md", lines)
    document.show(console, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
