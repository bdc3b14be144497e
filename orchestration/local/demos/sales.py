"""`make run`: the daily sales pipeline on demo data, by a real Airflow scheduler, from nothing to a printed result.

Three good days, a restatement of the first, and a malformed day that must stop at the gate.
"""

import sys
import time

from orchestration.local.demos import sales_files
from orchestration.local.demos.demo import FOLDER, Demo, duckdb_file, require_setup
from orchestration.local.demos.result import show_result
from orchestration.local.demos.sales_files import landing_key
from orchestration.local.errors import LocalError
from orchestration.local.services import local_services
from orchestration.local.terminal import command, console

DAG_ID = "daily_sales_etl_v2"

NEXT = """
Next:
  .venv/bin/dbt build   the same load from the command line: it finds these files loaded
  make audit            compute production again from the raw rows, and compare
  make up               Airflow's own view of these runs, in the browser
  make test             what is promised, tried
"""
NEXT_TO_SNOWFLAKE = """
Next:
  make run-tables DBT_TARGET=snowflake   the tables, there too
  docs/to-production.md                  the same on an account of your own
"""


class SalesDemo(Demo):
    """What `make run` shows."""

    def land_day(self, day: str, content: bytes, what: str) -> None:
        """Land a day's file, unless it is there already."""
        self.land(landing_key(day), content, what)

    def good_days(self) -> None:
        """Land and load the three days; of those that production has already, only the last is run again."""
        files = {day: (FOLDER / landing_key(day)).read_bytes() for day in sales_files.GOOD_DAYS}
        self.out.print()
        for day, content in files.items():
            self.land_day(day, content, "Landed")
        for day, content in files.items():
            if day != sales_files.GOOD_DAYS[-1] and self.warehouse.holds(landing_key(day), content):
                self.out.print(f"No run of {day}: this very file is loaded already")
            else:
                self.run(day, "success")

    def restatement(self) -> None:
        """Land the first day once more, with other content, where `dbt build` will find it too."""
        day, content = sales_files.GOOD_DAYS[0], sales_files.restated_first_day()
        self.out.print()
        self.land_day(day, content, "Restated by its sender")
        if self.warehouse.holds(landing_key(day), content):
            self.out.print(f"No run of {day}: its restatement is loaded already")
        else:
            self.run(day, "success")
        self.keep(landing_key(day), content)

    def malformed_day(self) -> None:
        """Land a file that must not get in; show the alert, and that production is as it was."""
        day, before = sales_files.MALFORMED_DAY, self.warehouse.production()
        chats, mails = len(self.services.chat.messages), len(self.services.mail.messages)
        self.out.print()
        self.land_day(day, sales_files.malformed_day(), "Malformed, so that its run must end red")
        self.run(day, "failed")
        self.show_alerts(day, chats, mails)
        if self.warehouse.production() != before:
            raise LocalError(
                f"the malformed file of {day} has changed production, which must never be; `make audit` shows where."
            )
        self.out.print("Production is, row for row, as it was before that run.", style="green")


def main() -> int:
    """Show all of it; 0 if all of it went as it must."""
    require_setup()
    out, begun = console(), time.monotonic()
    with local_services(warehouse=duckdb_file(), say=out.print) as services:
        warehouse, before = services.warehouse, services.warehouse.production()
        out.print(f"Ready after {time.monotonic() - begun:.0f} s; Airflow is at {services.airflow.url} while this runs")
        demo = SalesDemo(DAG_ID, services, out)
        demo.begin()
        demo.good_days()
        demo.restatement()
        demo.malformed_day()
        chat, mail = len(services.chat.messages), len(services.mail.messages)
        show_result(out, warehouse)
        out.print(f"\nMessages sent: {chat} by chat (.local/chat.jsonl), {mail} by mail (.local/mail.jsonl)")
        if warehouse.production() == before:
            out.print("Nothing changed: all of these files had been loaded before.")
    out.print(f"Done in {time.monotonic() - begun:.0f} s. Production is in {warehouse.name}: prod.daily_sales.")
    out.print(NEXT if duckdb_file() else NEXT_TO_SNOWFLAKE)
    return 0


if __name__ == "__main__":
    sys.exit(command("make run", main))
