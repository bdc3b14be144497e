"""`make up`: Airflow's UI and all local services, until interrupted."""

import sys
import time

from orchestration.local.demos.demo import duckdb_file, require_setup
from orchestration.local.demos.events_files import PARTITIONS, TOPIC, events
from orchestration.local.landing import land_demo
from orchestration.local.services import local_services, serving
from orchestration.local.terminal import command, console

CHECK_SECONDS = 1
EVENTS = 3_000


def main() -> int:
    """Serve until Ctrl-C."""
    require_setup()
    out = console()
    try:
        with local_services(warehouse=duckdb_file(), kafka=True, say=out.print) as services:
            services.kafka.create(TOPIC, PARTITIONS)
            services.kafka.send(TOPIC, events(EVENTS))
            land_demo(services)
            out.print(
                f"\nAirflow    {services.airflow.url}   (no password; schedules are off: trigger a run by hand)\n"
                f"S3         {services.s3.endpoint}   bucket {services.s3.bucket}, kept in {services.s3.mirror}\n"
                f"SageMaker  {services.sagemaker.address}   empty at each start; models are kept in "
                f"{services.models.mirror}\n"
                f"Chat       {services.chat.address}   kept in {services.chat.file}\n"
                f"Mail       {services.mail.address}   kept in {services.mail.file}\n"
                f"Kafka      {services.kafka.address}   topic {TOPIC}, a new log at each start\n"
                f"Warehouse  {services.warehouse.address}\n\n"
                "Ctrl-C ends all of it."
            )
            with serving(services.airflow.url):
                while True:
                    services.airflow.check()
                    time.sleep(CHECK_SECONDS)
    except KeyboardInterrupt:
        out.print("\nAll services have ended.")
    return 0


if __name__ == "__main__":
    sys.exit(command("make up", main))
