"""`make run-churn`: from what customers do to an endpoint that scores them, by a real Airflow scheduler.

Two months of facts are loaded, a snapshot of the past is built by one command, then a run of the DAG trains on it.
"""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from rich import box
from rich.table import Table

from orchestration import settings
from orchestration.local.demos import churn_files
from orchestration.local.demos.demo import Demo, duckdb_file, require_setup
from orchestration.local.errors import LocalError
from orchestration.local.services import PROJECT, STATE, Services, local_services
from orchestration.local.stand_ins.endpoint import endpoint
from orchestration.local.stand_ins.s3 import KEY, REGION, SECRET
from orchestration.local.terminal import command, console
from orchestration.local.warehouses import LocalSnowflake

DAG_ID = "churn_training"
# Customers of their own, which the other demos do not know: a folder of the bucket, and a DuckDB file.
PREFIX = "churn/"
WAREHOUSE = STATE / "churn" / "warehouse.duckdb"
DBT = str(Path(sys.executable).with_name("dbt"))
LOAD = ("build", "--select", "+customer_features", "+usage_events", "--indirect-selection", "cautious",
        "--exclude-resource-type", "unit_test")  # fmt: skip
SNAPSHOT = ("run", "--select", "customer_snapshots")
RUN = "select auc, logistic_regression_auc, base_rate_auc, measures, decision, why, model_hash from prod.model_runs"
RISKY = """
select customer_id, probability, reason_1, reason_2, reason_3, model_hash
from prod.churn_scores
order by probability desc, customer_id
limit 1
"""
NAMES = (("auc", "AUC"), ("average_precision", "average precision"), ("log_loss", "log loss"), ("brier", "Brier score"))
NEXT = """
Next:
  make up   Airflow's own view of this run, in the browser
"""
NEXT_TO_SNOWFLAKE = """
Next:
  docs/to-production.md   the same on an account of your own
"""


class ChurnDemo(Demo):
    """What `make run-churn` shows."""

    teller = "ml_deployment.notify_success"

    def land_all(self, prefix: str, count: int = churn_files.CUSTOMERS) -> None:
        """Land all files and events of so many customers."""
        with tempfile.TemporaryDirectory() as folder:
            paths = churn_files.write(Path(folder), count)
            for path in paths:
                self.services.s3.land(prefix + path.relative_to(folder).as_posix(), path)
        self.out.print(
            f"\nLanded, of {churn_files.FIRST} to {churn_files.LAST}: {len(paths)} files with what "
            f"{count:,} customers have done"
        )

    def dbt(self, what: str, *arguments: str, day: str = "") -> None:
        """Run dbt as a person does, on what has landed."""
        begun, said = time.monotonic(), f"RUN_DATE={day} " if day else ""
        self.out.print(f"{what}: {said}dbt {' '.join(arguments)}")
        done = subprocess.run(
            [DBT, "--quiet", "--no-write-json", *arguments], cwd=PROJECT, env=self._environment() | {"RUN_DATE": day},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        if done.returncode:
            raise LocalError(f"dbt has failed:\n{done.stdout[-3000:]}")
        self.out.print(f"  success {time.monotonic() - begun:12.1f} s", style="green")

    def _environment(self) -> dict[str, str]:
        if isinstance(self.warehouse, LocalSnowflake):
            place = self.warehouse.account.environment()
        else:
            place = {"WAREHOUSE_PATH": str(self.warehouse.path)}
        account = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
        place |= account | {"AWS_ENDPOINT_URL": self.services.s3.endpoint}
        return dict(os.environ) | place | {"LANDING_ROOT": self.services.env["LANDING_ROOT"]}

    def show_result(self) -> None:
        """Print how the model measures, what was decided, and what the endpoint says of a customer."""
        [(*_, measures, decision, why, hash)] = self.warehouse.query(RUN)
        measures = json.loads(measures)
        table = Table(title="How the model measures", title_justify="left", title_style="bold", box=box.SIMPLE)
        table.add_column("on customers it was not trained on")
        for name in ("model", "logistic regression", "base rate"):
            table.add_column(name, justify="right")
        for key, name in NAMES:
            found = (measures[which][key] for which in ("model", "logistic_regression", "base_rate"))
            table.add_row(name, *(f"{value:.4f}" for value in found))
        self.out.print()
        self.out.print(table)
        self.out.print(f"Decision: {decision}. {why}", style="bold")
        self._ask_endpoint(self.services)
        self.out.print(f"Card: {self.services.models.mirror / hash / 'card.html'}")

    def _ask_endpoint(self, services: Services) -> None:
        """Ask the endpoint of this machine, which knows the archive alone, about the customer most likely to go."""
        [(customer, probability, *reasons, hash)] = self.warehouse.query(RISKY)
        services.models.keep("")
        folder = services.models.mirror / hash
        names = [one["name"] for one in json.loads((folder / "card.json").read_text())["features"]]
        [values] = self.warehouse.query(
            f"select {', '.join(names)} from prod.customer_features where customer_id = '{customer}' "
            f"and snapshot_date = cast('{churn_files.LAST}' as date)"
        )
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(values)
        with endpoint(folder / "churn_model_v3.tar.gz") as serving:
            body = text.getvalue().encode()
            request = urllib.request.Request(f"{serving.address}/invocations", body, {"Content-Type": "text/csv"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                said = float(answer.read())
        self.out.print(
            f"Customer {customer}, most likely to cancel: sent {text.getvalue()} ({', '.join(names)}) to the endpoint, "
            f"which says {said:.6f}; prod.churn_scores has {float(probability):.6f}, moved most by {', '.join(reasons)}"
        )
        if abs(said - float(probability)) > 1e-6:
            raise LocalError("the endpoint and prod.churn_scores differ, which must never be.")


def main() -> int:
    """Show all of it; 0 if all of it went as it must."""
    require_setup()
    out, begun = console(), time.monotonic()
    of_its_own = duckdb_file() is not None
    if of_its_own:
        # From nothing each time, the landing zone too.
        for folder in (WAREHOUSE.parent, STATE / "s3" / settings.BUCKET / PREFIX):
            shutil.rmtree(folder, ignore_errors=True)
        WAREHOUSE.parent.mkdir(parents=True)
    root = f"s3://{settings.BUCKET}/{PREFIX}".rstrip("/")
    with local_services(
        warehouse=WAREHOUSE if of_its_own else None,
        settings={"PIPELINES_PREFIX": PREFIX, "LANDING_ROOT": root} if of_its_own else {},
        say=out.print,
    ) as services:
        out.print(f"Ready after {time.monotonic() - begun:.0f} s; Airflow is at {services.airflow.url} while this runs")
        demo = ChurnDemo(DAG_ID, services, out)
        demo.land_all(PREFIX if of_its_own else settings.PREFIX)
        demo.dbt("Loaded, with the features of the last day", *LOAD)
        demo.dbt("The features as they were a month before", *SNAPSHOT, day=str(churn_files.SNAPSHOT))
        demo.begin()
        demo.run(str(churn_files.LAST), "success")
        demo.show_result()
    out.print(f"Done in {time.monotonic() - begun:.0f} s. Production is in {services.warehouse.name}, schema prod.")
    out.print(NEXT if of_its_own else NEXT_TO_SNOWFLAKE)
    return 0


if __name__ == "__main__":
    sys.exit(command("make run-churn", main))
