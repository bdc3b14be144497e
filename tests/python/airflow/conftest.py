"""The DAG that a module of tests is about."""

import pytest

from orchestration.local.services import DAGS


@pytest.fixture(scope="module")
def dag(request: pytest.FixtureRequest):
    """The DAG that the module names, read from its file as Airflow reads it."""
    from airflow.dag_processing.dagbag import DagBag

    name = request.module.DAG_ID
    bag = DagBag(DAGS / f"{name}.py")
    assert not bag.import_errors
    return bag.dags[name]
