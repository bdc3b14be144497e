"""One bench: where its files and warehouses are, how both sides load, and whether they come to the same."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from rich.progress import Progress

from bench.data import write_file
from bench.document import Line
from bench.measure import Cost, run

PROJECT = Path(__file__).resolve().parents[1]
BIN = PROJECT / ".venv" / "bin"
MILLION = 1_000_000
# As Airflow runs it: unit tests test the code, before it comes there. Daily sales alone, without the tables.
FLAGS = ("--quiet", "--no-version-check", "--no-write-json", "--log-level-file", "none")
BUILD = (
    *("build", "--exclude-resource-type", "unit_test"),
    *("--selector", "daily_sales_etl_v2", "--indirect-selection", "cautious"),
)
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
    results: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.profiles = self.profile("profiles")
        self.empty = self.folder / "empty"
        self.empty.mkdir(exist_ok=True)
        # A history is made anew when the project is another one.
        self.histories = self.folder / "histories" / project_hash()
        for other in (self.folder / "histories").glob("*"):
            if other != self.histories and other.name != "files":
                shutil.rmtree(other)

    def profile(self, name: str, setting: str = "") -> Path:
        """A folder with the profile, one thread and perhaps one more setting of DuckDB."""
        # One thread: with more, DuckDB's Python client spins while another thread works, and CPU seconds say little.
        profile = (PROJECT / "profiles.yml").read_text()
        settings = ", ".join(filter(None, ["TimeZone: UTC", "threads: 1", setting]))
        changed = profile.replace("settings: {TimeZone: UTC}", f"settings: {{{settings}}}")
        assert changed != profile, "profiles.yml has no settings to add to; `make setup` makes it anew"
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "profiles.yml").write_text(changed)
        return folder

    def say(self, text: str) -> None:
        """One line of progress."""
        self.progress.console.print(text)

    def landing(self, batch: Batch) -> tuple[Path, str]:
        """The landing root that holds the batch's file alone, and the file's path below it."""
        root = self.folder / "batches" / f"{batch.size}-after-{batch.name}"
        return root, write_file(root, len(batch.days), batch.history, batch.size, batch.keys)

    def dbt(self, root: Path | str, warehouse: Path, env: dict[str, str] | None = None) -> Cost:
        """One `dbt build` of what is new below a landing root."""
        return self.run_dbt(BUILD, root, warehouse, env)

    def run_dbt(
        self,
        command: Sequence[str],
        root: Path | str,
        warehouse: Path,
        env: dict[str, str] | None = None,
        profiles: Path | None = None,
    ) -> Cost:
        """One command of dbt, perhaps with another profile, for which the project is parsed by itself."""
        target = (profiles or self.folder) / "target"
        options = ["--profiles-dir", str(profiles or self.profiles), "--target-path", str(target)]
        places = {"LANDING_ROOT": str(root), "WAREHOUSE_PATH": str(warehouse), "DBT_TARGET": "duckdb"}
        return run([str(BIN / "dbt"), *FLAGS, *command, *options], {**places, **(env or {})}, PROJECT)

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
