"""`make up`: Airflow's UI and all local services, until interrupted."""

import sys
import time

from orchestration.local.demos.demo import FOLDER, duckdb_file, require_setup
from orchestration.local.demos.events_files import PARTITIONS, TOPIC, events
from orchestration.local.services import local_services
from orchestration.local.terminal import command, console
from orchestration.settings import PREFIX

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
            for path in sorted(FOLDER.rglob("*.csv")):
                services.s3.land(PREFIX + path.relative_to(FOLDER).as_posix(), path)
            out.print(
                f"\nAirflow    {services.airflow.url}   (no password; schedules are off: trigger a run by hand)\n"
                f"S3         {services.s3.endpoint}   bucket {services.s3.bucket}, kept in {services.s3.mirror}\n"
                f"SageMaker  {services.sagemaker.address}   empty at each start; models are kept in "
                f"{services.models.mirror}\n"
                f"Chat       {services.chat.address}   kept in {services.chat.file}\n"
                f"Mail       {services.mail.address}   kept in {services.mail.file}\n"
                f"Metrics    {services.metrics.address}   of METRICS=datadog, kept in {services.metrics.file}\n"
                f"Kafka      {services.kafka.address}   topic {TOPIC}, a new log at each start\n"
                f"Warehouse  {services.warehouse.address}\n\n"
                "Ctrl-C ends all of it."
            )
            while True:
                services.airflow.check()
                time.sleep(CHECK_SECONDS)
    except KeyboardInterrupt:
        out.print("\nAll services have ended.")
    return 0


if __name__ == "__main__":
    sys.exit(command("make up", main))
