"""The README's commands, as who has just cloned the repository types them."""

import subprocess
from pathlib import Path

import pytest

from support.reference import PROJECT

# In the order in which the README names them, and what each says in the end.
COMMANDS = {
    "make setup": "Ready. Type 'make run'",
    "make run": "Production is in warehouse.duckdb: prod.daily_sales.",
    "make audit": "Production is what the raw tables say.",
    "make run-tables": "Production is in warehouse.duckdb",
    "make run-events": "Production is in warehouse.duckdb",
    "make run-churn": "Production is in warehouse.duckdb",
    ".venv/bin/dbt build": "ERROR=0 SKIP=0",
}


@pytest.mark.long
def test_a_fresh_clone_runs(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(clone)], check=True)
    for command, says in COMMANDS.items():
        done = subprocess.run(command.split(), cwd=clone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert says in done.stdout, f"{command}:\n{done.stdout[-3000:]}"
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert not changed.stdout
