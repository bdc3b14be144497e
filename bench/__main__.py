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

from bench import airflow, document
from bench.data import write_file
from bench.measure import Cost, run

PROJECT = Path(__file__).resolve().parents[1]
BIN = PROJECT / ".venv" / "bin"
MILLION = 1_000_000
# As Airflow runs it: unit tests test the code, before it comes there.
FLAGS = ("--quiet", "--no-version-check", "--no-write-json", "--log-level-file", "none")
BUILD = ("build", "--exclude-resource-type", "unit_test")
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
    """A file of `size` sales that comes after a history of `history` sales."""

    size: int
    history: int
    keys: str = "growing"


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
        days = days_of(batch.history)
        root = self.folder / "batches" / f"{batch.keys}-{batch.size}-after-{batch.history}"
        return root, write_file(root, len(days), batch.history, batch.size, batch.keys)

    def dbt(self, root: Path | str, warehouse: Path, env: dict[str, str] | None = None) -> Cost:
        """One `dbt build` of what is new below a landing root."""
        options = ["--profiles-dir", str(self.profiles), "--target-path", str(self.folder / "target")]
        places = {"LANDING_ROOT": str(root), "WAREHOUSE_PATH": str(warehouse), "DBT_TARGET": "duckdb"}
        return run([str(BIN / "dbt"), *FLAGS, *BUILD, *options], {**places, **(env or {})}, PROJECT)

    def baseline(self, root: Path, file: str, warehouse: Path) -> Cost:
        """The same load by pure DuckDB."""
        return run([sys.executable, "-m", "bench.baseline", str(warehouse), str(root), file], {}, PROJECT)

    def history(self, side: str, size: int, keys: str) -> Path:
        """A warehouse that holds a history, made once for each bench folder."""
        kept = self.histories / f"{side}-{keys}-{size}" / "warehouse.duckdb"
        if size and not kept.exists():
            self.say(f"Making a history of {size:,} sales with {keys} keys ({side})")
            making = kept.parent / "making" / kept.name
            shutil.rmtree(making.parent, ignore_errors=True)
            making.parent.mkdir(parents=True)
            root = self.folder / "histories" / "files" / f"{keys}-{size}"
            days = days_of(size)
            files = [write_file(root, day, start, length, keys) for day, (start, length) in enumerate(days)]
            if side == "dbt":
                self.dbt(root, making)
            else:
                for file in files:
                    self.baseline(root, file, making)
            making.rename(kept)
        return kept

    def fresh(self, side: str, batch: Batch) -> Path:
        """A copy of the history to load onto; dbt knows a warehouse by its file's name."""
        kept = self.history(side, batch.history, batch.keys)
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
        """Builds of several batches, in turn."""
        costs = {batch: [] for batch in batches}
        for _ in range(self.repeats):
            for batch in batches:
                root, _ = self.landing(batch)
                costs[batch].append(self.dbt(root, self.fresh("dbt", batch)))
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
    sources = [*PROJECT.glob("models/**/*"), *PROJECT.glob("macros/*"), PROJECT / "orchestration" / "landing.py"]
    for path in sorted([*sources, PROJECT / "bench" / "data.py", PROJECT / "bench" / "baseline.py"]):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def days_of(history: int) -> list[tuple[int, int]]:
    """The files of a history, a day each, of a million sales or of what there is, as (first number, size)."""
    size = min(history, MILLION) or 1
    return [(start, size) for start in range(0, history, size)]


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
        costs = bench.builds([Batch(size, times * size, keys) for times in (1, 10, 100)])
        bench.results.append(document.history_line(keys, size, costs))


def storage(bench: Bench, main: Batch) -> None:
    """The same file from S3 and from a folder."""
    from orchestration.local.storage import KEY, REGION, SECRET
    from orchestration.local.storage import storage as s3_storage

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
    options = parser.parse_args()
    console = Console()
    with Progress(console=console, transient=True) as progress:
        bench = Bench(options.folder.resolve(), progress, options.repeats)
        batch = Batch(MILLION, 10 * MILLION)
        for measure in (goals, flatness, storage, airflow.overhead, sizes):
            measure(bench, batch)
            document.write(PROJECT / "docs" / "benchmark.md", bench.results)
    document.show(console, bench.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
