"""`make screenshots`: Airflow's grid and graph of a run that ended well and of one that failed, into docs/images."""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from orchestration.local.demos.demo import require_setup
from orchestration.local.demos.sales import DAG_ID, SalesDemo
from orchestration.local.demos.sales_files import GOOD_DAYS, MALFORMED_DAY
from orchestration.local.services import PROJECT, local_services
from orchestration.local.terminal import command, console

IMAGES = PROJECT / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Nothing of it asks the network.
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
RUNS = {"finished": GOOD_DAYS[0], "failed": MALFORMED_DAY}
SIZE = {"width": 1500, "height": 900}


def take(browser: Browser, url: str, view: str, file: Path) -> None:
    """Take a picture of a page of Airflow, with the DAG's grid or its graph beside what the page is of."""
    context = browser.new_context(viewport=SIZE, color_scheme="light")
    # As the button above the drawing keeps it.
    context.add_init_script(f"localStorage.setItem('default_dag_view', JSON.stringify('{view}'))")
    page = context.new_page()
    page.goto(url)
    page.get_by_text("notify_success").first.wait_for(timeout=60_000)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=file)
    context.close()


def main() -> int:
    """Run both days in a folder of its own and look at them."""
    require_setup()
    out = console()
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        out.print("No screenshots: this machine has no chromium (Debian: apt install chromium).")
        return 0
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="screenshots-", ignore_cleanup_errors=True) as folder,
        local_services(Path(folder), warehouse=Path(folder) / "warehouse.duckdb", say=out.print) as services,
        sync_playwright() as playwright,
    ):
        demo = SalesDemo(DAG_ID, services, out)
        demo.begin()
        demo.good_days()
        demo.malformed_day()
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        for name, day in RUNS.items():
            for view in ("grid", "graph"):
                url = f"{services.airflow.url}/dags/{DAG_ID}/runs/manual__{day}"
                take(browser, url, view, file := IMAGES / f"{name}-{view}.png")
                out.print(f"Taken: {file.relative_to(PROJECT)}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(command("make screenshots", main))
