"""`make run-tables`: the tables on demo files, by a real Airflow scheduler, from nothing to a printed result.

An hour of files, an hour without any, one that changes them, one with a file that is refused, and that file mended.
"""

import sys
import time

from rich import box
from rich.console import Console
from rich.table import Table

from orchestration.local.demos import table_files
from orchestration.local.demos.demo import Demo, duckdb_file, require_setup
from orchestration.local.errors import LocalError
from orchestration.local.services import local_services
from orchestration.local.terminal import command, console
from orchestration.local.warehouses import Warehouse

DAG_ID = "table_sync"
RESULT = """
select
    split_part(source_file, '/', 2) as name, count(*), sum(received_rows), sum(current_rows), sum(superseded_rows),
    sum(rejected_rows), sum(held_rows)
from prod.load_ledger
where name <> 'sales'
group by name
order by name
"""
NEXT = """
Next:
  .venv/bin/dbt build   the same sync from the command line: it finds these files loaded
  make new-table        one more table, from a sample of its files: docs/add-a-table.md
  make up               Airflow's own view of these runs, in the browser
"""
NEXT_TO_SNOWFLAKE = """
Next:
  make run DBT_TARGET=snowflake   daily sales, there too
  docs/to-production.md           the same on an account of your own
"""


class TablesDemo(Demo):
    """What `make run-tables` shows."""

    def hour(self, hour: int, files: dict[str, bytes], expected: str = "success", what: str = "Landed") -> None:
        """Land an hour's files and run its hour."""
        self.out.print()
        for key, content in files.items():
            self.land(key, content, what)
        self.run(time_of(hour), expected)

    def idle_hour(self, hour: int) -> None:
        """Run an hour to which no file came: it must start no dbt."""
        self.out.print("\nAn hour in which nothing lands")
        run = self.run(time_of(hour), "success")
        if started := [task.task for task in run.tasks if task.state != "skipped" and task.task != "find_new_files"]:
            raise LocalError(f"nothing has landed, and yet {', '.join(started)} ran; `make clean`, and try again.")

    def refused(self, hour: int) -> None:
        """An hour with a file that must not get in; show the alert, and that the other table has gone on."""
        chats, mails = len(self.services.chat.messages), len(self.services.mail.messages)
        orders = self.warehouse.query("select * from prod.orders order by order_id")
        self.hour(hour, table_files.third_hour(), "failed", "Landed, the orders with a column renamed")
        self.show_alerts(time_of(hour), chats, mails)
        if self.warehouse.query("select * from prod.orders order by order_id") != orders:
            raise LocalError("the refused file has changed prod.orders, which must never be; `make audit` shows where.")
        self.out.print("prod.orders is, row for row, as it was before that run.", style="green")


def time_of(hour: int) -> str:
    """The time of an hour's run."""
    return f"{table_files.DAY:%Y-%m-%d}T{hour:02}:00"


def show_result(out: Console, warehouse: Warehouse) -> None:
    """Print, for each table, where the rows of its files are."""
    table = Table(title="Where each row is now", title_justify="left", title_style="bold", box=box.SIMPLE)
    table.add_column("table")
    for column in ("files", "received", "current", "superseded", "rejected", "held"):
        table.add_column(column, justify="right")
    for name, *counts in warehouse.query(RESULT):
        table.add_row(name, *(f"{count:,}" for count in counts))
    out.print()
    out.print(table)


def main() -> int:
    """Show all of it; 0 if all of it went as it must."""
    require_setup()
    out, begun = console(), time.monotonic()
    with local_services(warehouse=duckdb_file(), say=out.print) as services:
        out.print(f"Ready after {time.monotonic() - begun:.0f} s; Airflow is at {services.airflow.url} while this runs")
        demo = TablesDemo(DAG_ID, services, out)
        demo.begin()
        demo.hour(0, table_files.first_hour())
        demo.idle_hour(1)
        demo.hour(2, table_files.second_hour())
        demo.refused(3)
        demo.hour(4, table_files.mended_orders(), what="Mended")
        for files in (table_files.second_hour(), table_files.third_hour(), table_files.mended_orders()):
            for key, content in files.items():
                demo.keep(key, content)
        show_result(out, services.warehouse)
    out.print(f"Done in {time.monotonic() - begun:.0f} s. Production is in {services.warehouse.name}, schema prod.")
    out.print(NEXT if duckdb_file() else NEXT_TO_SNOWFLAKE)
    return 0


if __name__ == "__main__":
    sys.exit(command("make run-tables", main))
