"""`make run`: the daily sales pipeline on demo data, by a real Airflow scheduler, from nothing to a printed result.

Three good days, a restatement of the first, and a malformed day that must stop at the gate.
"""

import os
import sys
import time
from pathlib import Path

from orchestration.local import demo_data
from orchestration.local.errors import LocalError
from orchestration.local.report import show_result
from orchestration.local.services import PROJECT, local_services
from orchestration.local.story import DEMO, Story
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


def landing_key(day: str) -> str:
    """Where the file of a day lands."""
    return f"raw/sales/{day}/sales_export.csv"


def duckdb_file() -> Path | None:
    """The DuckDB file that `dbt build` writes too; None if DBT_TARGET asks for Snowflake."""
    target = os.environ.get("DBT_TARGET") or "duckdb"
    if target == "snowflake":
        return None
    if target != "duckdb":
        raise LocalError(f"DBT_TARGET is {target}: this runs on duckdb, the default, or on snowflake.")
    return Path(os.environ.get("WAREHOUSE_PATH") or PROJECT / "warehouse.duckdb").resolve()


def require_setup() -> None:
    """Raise unless `make setup` has been here."""
    target = "" if duckdb_file() else "snowflake"
    wanted = [PROJECT / "profiles.yml", PROJECT / "target" / target / "manifest.json"]
    wanted += [DEMO / landing_key(day) for day in demo_data.GOOD_DAYS]
    for path in wanted:
        if not path.exists():
            raise LocalError(f"{path.relative_to(PROJECT)} is missing; type `make setup`, then run this again.")


class Demo(Story):
    """The story that `make run` tells."""

    def land_day(self, day: str, content: bytes, what: str) -> None:
        """Land a day's file, unless it is there already."""
        self.land(landing_key(day), content, what)

    def good_days(self) -> None:
        """Land and load the three days; of those that production has already, only the last is run again."""
        files = {day: (DEMO / landing_key(day)).read_bytes() for day in demo_data.GOOD_DAYS}
        self.out.print()
        for day, content in files.items():
            self.land_day(day, content, "Landed")
        for day, content in files.items():
            if day != demo_data.GOOD_DAYS[-1] and self.warehouse.holds(landing_key(day), content):
                self.out.print(f"No run of {day}: this very file is loaded already")
            else:
                self.run(day, "success")

    def restatement(self) -> None:
        """Land the first day once more, with other content, where `dbt build` will find it too."""
        day, content = demo_data.GOOD_DAYS[0], demo_data.restated_first_day()
        self.out.print()
        self.land_day(day, content, "Restated by its sender")
        if self.warehouse.holds(landing_key(day), content):
            self.out.print(f"No run of {day}: its restatement is loaded already")
        else:
            self.run(day, "success")
        self.keep(landing_key(day), content)

    def malformed_day(self) -> None:
        """Land a file that must not get in; show the alert, and that production is as it was."""
        day, before = demo_data.MALFORMED_DAY, self.warehouse.production()
        chats, mails = len(self.services.chat.messages), len(self.services.mail.messages)
        self.out.print()
        self.land_day(day, demo_data.malformed_day(), "Malformed, so that its run must end red")
        self.run(day, "failed")
        self.show_alerts(day, chats, mails)
        if self.warehouse.production() != before:
            raise LocalError(
                f"the malformed file of {day} has changed production, which must never be; `make audit` shows where."
            )
        self.out.print("Production is, row for row, as it was before that run.", style="green")


def main() -> int:
    """Tell the whole story; 0 if all of it went as it must."""
    require_setup()
    out, begun = console(), time.monotonic()
    with local_services(warehouse=duckdb_file(), say=out.print) as services:
        warehouse, before = services.warehouse, services.warehouse.production()
        out.print(f"Ready after {time.monotonic() - begun:.0f} s; Airflow is at {services.airflow.url} while this runs")
        demo = Demo(DAG_ID, services, out)
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
