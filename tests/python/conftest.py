"""Airflow, where a test imports it, keeps its files out of the home folder and tells nobody; dbt is parsed once."""

import os
import tempfile
from pathlib import Path

import pytest

home = tempfile.TemporaryDirectory(prefix="airflow-of-tests-")
os.environ["AIRFLOW_HOME"] = home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__COSMOS__ENABLE_TELEMETRY"] = "False"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory):
    """The dbt project at hand, with a target folder of its own."""
    from warehouse import PROJECT, Project

    return Project(PROJECT, Path(tmp_path_factory.mktemp("target")))


@pytest.fixture(scope="session")
def project_with_prices(project, tmp_path_factory: pytest.TempPathFactory):
    """A copy of it with a feed of each kind."""
    from tables import with_prices

    return with_prices(project, Path(tmp_path_factory.mktemp("prices")) / "project")
