"""Commands that a person types, run on a warehouse of a test."""

import subprocess
import sys
from pathlib import Path

from support.warehouse import PROJECT, Warehouse, environment


def audit(warehouse: Warehouse, root: Path = PROJECT) -> tuple[int, str]:
    """Exit code and output of the command."""
    with environment(**warehouse.places):
        done = subprocess.run(
            [sys.executable, "-m", "orchestration.commands.audit"],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
    return done.returncode, done.stdout
