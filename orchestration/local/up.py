"""`make up`: Airflow's UI and all local services, until interrupted."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import httpx

from orchestration.local.demos import churn, events, sales, sales_files, tables
from orchestration.local.demos.demo import COLOURS, duckdb_file, land_demo, require_setup
from orchestration.local.demos.events_files import PARTITIONS, TOPIC
from orchestration.local.demos.events_files import events as demo_events
from orchestration.local.follow import Follower
from orchestration.local.runtime.processes import Supervised
from orchestration.local.services import PROJECT, STATE, local_services, serving
from orchestration.local.terminal import command, console

CHECK_SECONDS = 1
EVENTS = 3_000
# What a person triggers; `sales_etl` needs schedules, which are off here.
DAGS = (sales.DAG_ID, tables.DAG_ID, events.DAG_ID, churn.DAG_ID)
DOCS = STATE / "docs"
SETTINGS = {
    "AIRFLOW__COSMOS__DBT_DOCS_PROJECTS": (
        f'{{"reference_pipeline": {{"dir": "{DOCS}", "index": "static_index.html", "name": "Reference pipeline"}}}}'
    )
}


@contextmanager
def dbt_docs() -> Iterator[Supervised]:
    """Make the pages of dbt's docs, beside everything else; Cosmos shows them in Airflow once they are there."""
    command = [str(PROJECT / ".venv/bin/dbt"), "--quiet", "docs", "generate", "--static", "--target-path", str(DOCS)]
    # Without the warehouse, which may not be there yet, or be in use; the pages are the same for each.
    command += ["--empty-catalog", "--no-populate-cache", "--target", "duckdb"]
    made = Supervised("dbt docs", command, log=STATE / "logs" / "dbt-docs.log", cwd=PROJECT)
    try:
        yield made
    finally:
        made.stop()


def main() -> int:
    """Serve until Ctrl-C."""
    require_setup()
    out = console()
    try:
        with (
            local_services(warehouse=duckdb_file(), kafka=True, settings=SETTINGS, say=out.print) as services,
            dbt_docs(),
        ):
            services.kafka.create(TOPIC, PARTITIONS)
            services.kafka.send(TOPIC, demo_events(EVENTS))
            land_demo(services)
            for dag_id in DAGS:
                services.airflow.wait_for_dag(dag_id)
                services.airflow.unpause(dag_id)
            url = services.airflow.url
            out.print(
                f"\nAirflow    {url}   (no password; schedules are off)\n"
                f"dbt docs   {url}/cosmos/reference_pipeline/dbt_docs   in a moment\n"
                f"S3         {services.s3.endpoint}   bucket {services.s3.bucket}, kept in {services.s3.mirror}\n"
                f"SageMaker  {services.sagemaker.address}   empty at each start; models are kept in "
                f"{services.models.mirror}\n"
                f"Chat       {services.chat.address}   kept in {services.chat.file}\n"
                f"Mail       {services.mail.address}   kept in {services.mail.file}\n"
                f"Metrics    {services.metrics.address}   of METRICS=datadog, kept in {services.metrics.file}\n"
                f"Kafka      {services.kafka.address}   topic {TOPIC}, a new log at each start\n"
                f"Warehouse  {services.warehouse.address}\n\n"
                f"Trigger {sales.DAG_ID} with the logical date {', '.join(sales_files.GOOD_DAYS)}: their files have "
                f"landed.\nmake backfill FROM={sales_files.GOOD_DAYS[0]} TO={sales_files.GOOD_DAYS[-1]} runs them all, "
                "from another terminal.\nCtrl-C ends all of it.\n"
            )
            follower, answers = Follower(services), True
            with serving(url):
                while True:
                    services.airflow.check()
                    try:
                        for line, state in follower.news():
                            now = f"{datetime.now().astimezone():%H:%M:%S}"
                            out.print(f"{now}  {line}", style=COLOURS.get(state, "dim"))
                        answers = True
                    except httpx.HTTPError as error:
                        if answers:
                            out.print(f"Airflow does not answer ({error}); it is asked again.", style="yellow")
                        answers = False
                    time.sleep(CHECK_SECONDS)
    except KeyboardInterrupt:
        out.print("\nAll services have ended.")
    return 0


if __name__ == "__main__":
    sys.exit(command("make up", main))
