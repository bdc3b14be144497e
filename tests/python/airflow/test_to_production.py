"""The image of docs/to-production.md, word for word but for where it lies: it installs, and its DAG files are read."""

import os
import re
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from orchestration.local.services import DAGS
from support.reference import PROJECT

PAGE = PROJECT / "docs" / "to-production.md"
PLACE = "/opt/pipeline"
IGNORED = PROJECT / ".dockerignore"
READ_DAGS = """
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
assert not bag.import_errors, bag.import_errors
print(sorted(bag.dags))
"""


def sent_to_the_builder(folder: Path) -> None:
    """Copies what `COPY . .` finds: all but what .dockerignore names."""
    lines = [line for line in IGNORED.read_text().splitlines() if line and not line.startswith("#")]
    left_out = {path for line in lines for path in PROJECT.glob(line)}
    shutil.copytree(
        PROJECT, folder, ignore=lambda at, names: [n for n in names if Path(at, n) in left_out], symlinks=True
    )


def test_no_key_and_nothing_that_was_made_here_goes_into_the_image(tmp_path: Path) -> None:
    key = PROJECT / "etl_user_of_a_test.p8"
    key.touch()
    try:
        sent_to_the_builder(tmp_path / "pipeline")
    finally:
        key.unlink()
    tracked = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    there = {path.name for path in (tmp_path / "pipeline").iterdir()}
    assert there <= {path.partition("/")[0] for path in tracked.splitlines()}
    assert {"models", "macros", "seeds", "packages", "orchestration", "requirements.txt"} <= there


@pytest.mark.long
def test_the_image_can_be_built_and_reads_its_dags(tmp_path: Path) -> None:
    page = PAGE.read_text()
    (run,) = re.findall(r"\n    RUN ((?:.*\\\n)*.*)", page)
    (settings,) = re.findall(r"\n    ENV ((?:.*\\\n)*.*)", page)
    copy, home = tmp_path / "pipeline", tmp_path / "venv"
    sent_to_the_builder(copy)
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
    assert done.stdout.splitlines()[-1] == str(sorted(file.stem for file in DAGS.glob("*.py")))
