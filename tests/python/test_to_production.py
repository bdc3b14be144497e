"""The image of docs/to-production.md, word for word but for where it lies: it installs, and its DAG files are read."""

import os
import re
import shutil
import subprocess
import venv
from pathlib import Path

import pytest
from reference import PROJECT

PAGE = PROJECT / "docs" / "to-production.md"
PLACE = "/opt/pipeline"
# What no checkout has.
MADE = (
    ".git",
    ".venv",
    ".local",
    "demo",
    "logs",
    "target",
    "dbt_packages",
    "profiles.yml",
    "warehouse.duckdb*",
    ".*_cache",
)
READ_DAGS = """
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
assert not bag.import_errors, bag.import_errors
print(sorted(bag.dags))
"""


@pytest.mark.long
def test_the_image_can_be_built_and_reads_its_dags(tmp_path: Path) -> None:
    page = PAGE.read_text()
    (run,) = re.findall(r"\n    RUN ((?:.*\\\n)*.*)", page)
    (settings,) = re.findall(r"\n    ENV ((?:.*\\\n)*.*)", page)
    copy, home = tmp_path / "pipeline", tmp_path / "venv"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns(*MADE), symlinks=True)
    venv.create(home, with_pip=True)
    # An image has one Python, a machine may not let anybody write to its own.
    command = run.replace("\\\n", "").replace(" --system", "")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "AIRFLOW", "PYTHON"))}
    bare |= {"PATH": f"{home / 'bin'}:{os.environ['PATH']}", "VIRTUAL_ENV": str(home)}
    done = subprocess.run(["bash", "-ec", command], cwd=copy, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    inside = dict(part.split("=", 1) for part in settings.replace("\\\n", "").replace(PLACE, str(copy)).split())
    inside |= {"AIRFLOW_HOME": str(tmp_path / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    for command in (["airflow", "db", "migrate"], ["python", "-c", READ_DAGS]):
        done = subprocess.run(command, cwd=tmp_path, env=bare | inside, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "['daily_sales_etl_v2', 'table_sync']"
