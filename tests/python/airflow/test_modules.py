"""Every module can be imported: a demo's, too, which no other test imports."""

import subprocess
import sys

from support.warehouse import PROJECT

EVERY = """
import airflow  # as Airflow and the demos begin
import importlib, pkgutil
import orchestration
for found in pkgutil.walk_packages(orchestration.__path__, "orchestration."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
        print(found.name)
"""


def test_every_module_can_be_imported() -> None:
    """In a process of its own, since some of them change what they import."""
    done = subprocess.run([sys.executable, "-c", EVERY], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "orchestration.local.demos.result" in done.stdout
