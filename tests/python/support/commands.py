"""Commands that a person types, run on a warehouse of a test."""

import io
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import cache
from types import SimpleNamespace
from unittest.mock import patch

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

from orchestration.commands import audit as command
from support.warehouse import DATABASE, PROJECT, Project, Warehouse, environment


def audit(warehouse: Warehouse) -> tuple[int, str]:
    """Exit code and output of the command."""
    with environment(**warehouse.places):
        done = subprocess.run(
            [sys.executable, "-m", "orchestration.commands.audit"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
    return done.returncode, done.stdout


def audited(warehouse: Warehouse) -> tuple[bool, str]:
    """What it finds and prints, in this process and of what is parsed already: a command parses twice."""
    project, said = warehouse.project, io.StringIO()
    places = ["--project-dir", str(project.root), "--profiles-dir", str(project.profiles), "--log-level-file", "none"]

    class Parsed(dbtRunner):
        def __init__(self, manifest=project.manifest, callbacks: Sequence = ()):
            super().__init__(manifest, list(callbacks))

        def invoke(self, args: list[str], **_):
            if "parse" in args:
                return SimpleNamespace(success=True, result=manifest_of_audit(project))
            return super().invoke([*args, *places, "--target-path", str(project.target / "audit")])

    with environment(**warehouse.places), redirect_stdout(said), patch.object(command, "dbtRunner", Parsed):
        right = command.audit()
    DuckDBConnectionManager.close_all_connections()
    return right, said.getvalue()


@cache
def manifest_of_audit(project: Project):
    options = [*project.options(), "--target-path", str(project.target / "audit"), *command.OPTIONS[:2]]
    with environment(WAREHOUSE_PATH=str(project.target / DATABASE), **project.settings):
        parsed = dbtRunner().invoke(["parse", *options])
    assert parsed.success, parsed.exception
    return parsed.result
