"""`make bench`: what the daily load costs, against one process of pure DuckDB, in ratios of one run.

Everything is measured in CPU seconds and peak memory, best of several runs in turn, each on a fresh copy of the same
warehouse. Before a ratio counts, production, rejects, ledger and totals of both sides are compared row for row. The
result goes to docs/benchmark.md.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from rich.console import Console
from rich.progress import Progress

from bench import airflow, document, statements
from bench import tables as bench_tables
from bench.data import write_file
from bench.measure import Cost, run

PROJECT = Path(__file__).resolve().parents[1]
BIN = PROJECT / ".venv" / "bin"
MILLION = 1_000_000
# As Airflow runs it: unit tests test the code, before it comes there. Daily sales alone, without the tables.
FLAGS = ("--quiet", "--no-version-check", "--no-write-json", "--log-level-file", "none")
BUILD = ("build", "--exclude-resource-type", "unit_test", "--exclude", "path:models/tables", "test_name:have_their")
COMPARED = {
    "prod.daily_sales": "*",
    "prod.load_ledger": "*",
    "prod.sales_by_day": "*",
    "prod.load_metrics": "*",
    "staging.rejected_sales": (
        "sale_id, store_id, customer_id, product_id, quantity, unit_price, discount_amount, currency, sold_at, "
        "updated_at, source_file, source_record, reject_reasons"
    ),
}


@dataclass(frozen=True)
class Batch:
    """A file of `size` sales that comes after a history of `history` sales in days of `day` sales."""

    size: int
    history: int
    keys: str = "growing"
    day: int = MILLION

    @property
    def name(self) -> str:
        """What tells its history from others."""
        return f"{self.keys}-{self.history}-of-{self.day}"

    @property
    def days(self) -> list[tuple[int, int]]:
        """The files of the history, as (first number, size)."""
        size = min(self.day, self.history)
        return [(start, size) for start in range(0, self.history, size or 1)]


@dataclass
class Bench:
    """Where the files and warehouses of one bench are, and what has been found."""

    folder: Path
    progress: Progress
    repeats: int
    results: list[document.Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.profiles = self.folder / "profiles"
        self.profiles.mkdir(parents=True, exist_ok=True)
        # One thread: with more, DuckDB's Python client spins while another thread works, and CPU seconds say little.
        profile = (PROJECT / "profiles.yml").read_text()
        one_thread = profile.replace("settings: {TimeZone: UTC}", "settings: {TimeZone: UTC, threads: 1}")
        assert one_thread != profile, "profiles.yml has no settings to add to; `make setup` makes it anew"
        (self.profiles / "profiles.yml").write_text(one_thread)
        self.empty = self.folder / "empty"
        self.empty.mkdir(exist_ok=True)
        # A history is made anew when the project is another one.
        self.histories = self.folder / "histories" / project_hash()
        for other in (self.folder / "histories").glob("*"):
            if other != self.histories and other.name != "files":
                shutil.rmtree(other)

    def say(self, text: str) -> None:
        """One line of progress."""
        self.progress.console.print(text)

    def landing(self, batch: Batch) -> tuple[Path, str]:
        """The landing root that holds the batch's file alone, and the file's path below it."""
        root = self.folder / "batches" / f"{batch.size}-after-{batch.name}"
        return root, write_file(root, len(batch.days), batch.history, batch.size, batch.keys)

    def dbt(self, root: Path | str, warehouse: Path, env: dict[str, str] | None = None) -> Cost:
        """One `dbt build` of what is new below a landing root."""
        options = ["--profiles-dir", str(self.profiles), "--target-path", str(self.folder / "target")]
        places = {"LANDING_ROOT": str(root), "WAREHOUSE_PATH": str(warehouse), "DBT_TARGET": "duckdb"}
        return run([str(BIN / "dbt"), *FLAGS, *BUILD, *options], {**places, **(env or {})}, PROJECT)

    def baseline(self, root: Path, file: str, warehouse: Path) -> Cost:
        """The same load by pure DuckDB."""
        return run([sys.executable, "-m", "bench.baseline", str(warehouse), str(root), file], {}, PROJECT)

    def history(self, side: str, batch: Batch) -> Path:
        """A warehouse that holds a batch's history, made once."""
        kept = self.histories / f"{side}-{batch.name}" / "warehouse.duckdb"
        if batch.history and not kept.exists():
            self.say(f"Making a history of {batch.history:,} sales with {batch.keys} keys ({side})")
            making = kept.parent / "making" / kept.name
            shutil.rmtree(making.parent, ignore_errors=True)
            making.parent.mkdir(parents=True)
            root = self.folder / "histories" / "files" / batch.name
            files = [write_file(root, day, start, size, batch.keys) for day, (start, size) in enumerate(batch.days)]
            if side == "dbt":
                self.dbt(root, making)
            else:
                for file in files:
                    self.baseline(root, file, making)
            making.rename(kept)
        return kept

    def fresh(self, side: str, batch: Batch) -> Path:
        """A copy of the history to load onto; dbt knows a warehouse by its file's name."""
        kept = self.history(side, batch)
        copy = self.folder / side / kept.name
        shutil.rmtree(copy.parent, ignore_errors=True)
        copy.parent.mkdir()
        if batch.history:
            shutil.copy(kept, copy)
        return copy

    def pair(self, batch: Batch) -> tuple[Cost, Cost, Cost]:
        """Baseline, build, and the build that finds nothing new after it, best of several in turn."""
        root, file = self.landing(batch)
        baseline, build, rerun = [], [], []
        # Of large batches two runs: they take long and vary less.
        for number in range(self.repeats if batch.size <= MILLION else min(self.repeats, 2)):
            ours, theirs = self.fresh("dbt", batch), self.fresh("baseline", batch)
            baseline.append(self.baseline(root, file, theirs))
            build.append(self.dbt(root, ours))
            if number == 0:
                compare(ours, theirs)
            rerun.append(self.dbt(root, ours))
        return Cost.best(baseline), Cost.best(build), Cost.best(rerun)

    def builds(self, batches: list[Batch]) -> list[Cost]:
        """Builds of several batches, in turn; what the first of each comes to is compared with the baseline's."""
        costs = {batch: [] for batch in batches}
        for number in range(self.repeats):
            for batch in batches:
                root, file = self.landing(batch)
                ours = self.fresh("dbt", batch)
                costs[batch].append(self.dbt(root, ours))
                if number == 0:
                    theirs = self.fresh("baseline", batch)
                    self.baseline(root, file, theirs)
                    compare(ours, theirs)
        return [Cost.best(costs[batch]) for batch in batches]

    def start_up(self) -> Cost:
        """A build that finds no file at all."""
        batch = Batch(MILLION, 10 * MILLION)
        warehouse = self.fresh("dbt", batch)
        self.dbt(self.empty, warehouse)
        return Cost.best([self.dbt(self.empty, warehouse) for _ in range(2 * self.repeats)])


def project_hash() -> str:
    """A hash of what makes a warehouse."""
    digest = hashlib.sha256()
    patterns = ("models/**/*", "macros/**/*", "orchestration/landing/*.py")
    sources = [path for pattern in patterns for path in PROJECT.glob(pattern)]
    for path in sorted([*sources, PROJECT / "bench" / "data.py", PROJECT / "bench" / "baseline.py"]):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def compare(ours: Path, theirs: Path) -> None:
    """Raises RuntimeError unless both warehouses hold the same rows."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"attach '{ours}' as warehouse (read_only); attach '{theirs}' as theirs (read_only)")
        for table, columns in COMPARED.items():
            if columns == "*":
                found = connection.execute(f"select column_name from (describe warehouse.{table})").fetchall()
                columns = ", ".join(f'"{name}"' for (name,) in found)
            a, b = (f"select {columns} from {side}.{table}" for side in ("warehouse", "theirs"))
            count = f"select count(*) from (({a} except all {b}) union all ({b} except all {a}))"
            (different,) = connection.execute(count).fetchone()
            if different:
                raise RuntimeError(f"{table} differs from the baseline's in {different:,} rows")


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
    names = ["goals", "flatness", "storage", "airflow", "tables", "statements", "sizes"]
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
