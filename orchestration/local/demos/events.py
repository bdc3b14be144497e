"""`make run-events`: events of a topic in production, by a real Airflow scheduler, from nothing to a printed result.

A first run, one with nothing to do, one that finds that events are gone from the log, and one that accepts that.
"""

import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import islice

from rich import box
from rich.console import Console
from rich.table import Table

from orchestration import settings
from orchestration.local.demos import events_files
from orchestration.local.demos.demo import Demo, duckdb_file, require_setup
from orchestration.local.errors import LocalError
from orchestration.local.runtime.airflow_api import Run
from orchestration.local.services import Services, local_services
from orchestration.local.terminal import command, console
from orchestration.local.warehouses import Warehouse

DAG_ID = "realtime_event_ingestion"
FOLDER = f"{settings.PREFIX}raw/events/{events_files.TOPIC}/"
DAY = datetime(2024, 1, 5, 10, tzinfo=UTC)
MINUTE = "%Y-%m-%dT%H:%M"
# How many events are sent before each run, and how many of the last ones in a partition do not expire.
FIRST, SECOND = 3_000, 2_000
LEFT = 300
STATES = ("received", "current", "duplicates", "rejected")
LOADED = """
select
    kafka_generation,
    kafka_partition,
    min(first_offset),
    max(next_offset) - 1,
    count(*),
    sum(received_events),
    sum(current_events),
    sum(duplicate_events),
    sum(rejected_events)
from prod.event_ledger
where next_offset > first_offset
group by kafka_generation, kafka_partition
order by kafka_generation, kafka_partition
"""
LOST = "select kafka_generation, kafka_partition, message from prod.lost_events order by 1, 2"
REJECTED = """
select
    reject_reasons,
    count(*),
    min('partition ' || kafka_partition || ', offset ' || kafka_offset)
from staging.rejected_events
group by reject_reasons
order by 2 desc, 1
"""
NEXT = """
Next:
  make audit   compute production again from the landed events, and compare
  make up      Airflow's own view of these runs, in the browser
"""
NEXT_TO_SNOWFLAKE = """
Next:
  docs/to-production.md   the same on an account of your own
"""


class EventsDemo(Demo):
    """What `make run-events` shows."""

    teller = "load_to_warehouse"

    def __init__(self, services: Services, out: Console) -> None:
        super().__init__(DAG_ID, services, out)
        self.kafka = services.kafka
        self.kafka.create(events_files.TOPIC, events_files.PARTITIONS)
        found = services.s3.client.list_objects_v2(Bucket=services.s3.bucket, Prefix=FOLDER, Delimiter="/")
        self.generations = len(found.get("CommonPrefixes", []))
        # Other events than an earlier session's, or all of them would be duplicates.
        self.events = events_files.events(FIRST + SECOND, f"session-{self.generations}")
        self.sent = dict.fromkeys(range(events_files.PARTITIONS), 0)
        self.day, self.runs = DAY, 0

    def begin(self) -> None:
        """Let the DAG run, of a day that no earlier session has run: its runs have parameters of their own."""
        super().begin()
        while self.services.airflow.has_run(self.dag_id, f"{self.day:{MINUTE}}"):
            self.day += timedelta(days=1)

    def send(self, count: int) -> None:
        """Send the next events to the topic."""
        sent = list(islice(self.events, count))
        self.kafka.send(events_files.TOPIC, sent)
        for partition, *_ in sent:
            self.sent[partition] += 1
        self.out.print(f"\nSent to topic {events_files.TOPIC}: {count:,} events, to {len(self.sent)} partitions")

    def five_minutes(self, expected: str = "success", **parameters: object) -> tuple[str, Run]:
        """Run the next five minutes; return their time too."""
        time_of = self.day + timedelta(minutes=5 * self.runs)
        self.runs += 1
        return (told := f"{time_of:{MINUTE}}"), self.run(told, expected, **parameters)

    def first(self) -> None:
        """The first run of this session."""
        self.send(FIRST)
        if self.generations:
            self.out.print("This Kafka is a new one, and the log of the last session is gone with its own: accepted.")
        self.five_minutes(accept_loss=bool(self.generations))

    def idle(self) -> None:
        """A run with nothing to do: it must start no dbt."""
        self.out.print("\nFive minutes in which nothing is sent")
        _, run = self.five_minutes()
        if started := [
            task.task for task in run.tasks if task.state != "skipped" and task.task != "consume_kafka_events"
        ]:
            raise LocalError(f"nothing was sent, and yet {', '.join(started)} ran; `make clean`, and try again.")

    def lost(self) -> None:
        """Events that are gone before they were landed: told, and gone on from on purpose."""
        self.send(SECOND)
        partition, before = 1, self.sent[1] - LEFT
        self.kafka.expire(events_files.TOPIC, partition, before)
        self.out.print(f"All of partition {partition} before offset {before} has expired; some of it has not landed")
        chats, mails = len(self.services.chat.messages), len(self.services.mail.messages)
        time_of, _ = self.five_minutes("failed")
        self.show_alerts(time_of, chats, mails)
        self.out.print("\nThe loss is accepted: triggered by hand with accept_loss")
        self.five_minutes(accept_loss=True)


def show_result(out: Console, warehouse: Warehouse) -> None:
    """Print where the events of each range of offsets are now, and why some cannot be used."""
    table = Table(title="Where each event is now", title_justify="left", title_style="bold", box=box.SIMPLE)
    for column in ("generation", "partition", "offsets", "objects", *STATES):
        table.add_column(column, justify="right")
    for generation, partition, first, last, *counts in warehouse.query(LOADED):
        offsets = f"{first:,} to {last:,}"
        table.add_row(str(generation), str(partition), offsets, *(f"{count:,}" for count in counts))
    out.print()
    out.print(table)
    out.print("Lost before it was landed, and accepted:", style="bold")
    for generation, partition, message in warehouse.query(LOST):
        out.print(f"  generation {generation}, partition {partition}: {message}")
    out.print()
    table = Table(title="Events that cannot be used", title_justify="left", title_style="bold", box=box.SIMPLE)
    for column, side in (("reasons", "left"), ("events", "right"), ("one of them", "left")):
        table.add_column(column, justify=side)
    for reasons, count, place in warehouse.query(REJECTED):
        table.add_row(reasons, f"{count:,}", place)
    out.print(table)


def main() -> int:
    """Show all of it; 0 if all of it went as it must."""
    require_setup()
    out, begun = console(), time.monotonic()
    with local_services(warehouse=duckdb_file(), kafka=True, say=out.print) as services:
        out.print(f"Ready after {time.monotonic() - begun:.0f} s; Airflow is at {services.airflow.url} while this runs")
        demo = EventsDemo(services, out)
        demo.begin()
        demo.first()
        demo.idle()
        demo.lost()
        show_result(out, services.warehouse)
    out.print(f"Done in {time.monotonic() - begun:.0f} s. Production is in {services.warehouse.name}, schema prod.")
    out.print(NEXT if duckdb_file() else NEXT_TO_SNOWFLAKE)
    return 0


if __name__ == "__main__":
    sys.exit(command("make run-events", main))
