"""Airflow, where a test imports it, keeps its files out of the home folder and tells nobody; dbt is parsed once."""

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# What their assertions compare is shown, as in a test.
pytest.register_assert_rewrite("support.dag_runs", "support.events", "support.laboratory", "support.table_stories")

home = tempfile.TemporaryDirectory(prefix="airflow-of-tests-")
os.environ["AIRFLOW_HOME"] = home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__COSMOS__ENABLE_TELEMETRY"] = "False"


# dbt makes many objects that stay: to look through them for garbage as they are made took a quarter of a build.
gc.disable()


def settle() -> None:
    """Has what there is searched for garbage once and never again."""
    gc.collect()
    gc.freeze()


def parsed(project):
    """A project that is parsed already, by which all tests go."""
    assert project.manifest
    settle()
    return project


@pytest.fixture(scope="module", autouse=True)
def settled() -> None:
    """What the modules before have left as garbage goes; what they have imported and made stays as it is."""
    settle()


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory):
    """The dbt project at hand, with a target folder of its own."""
    from support.warehouse import PROJECT, Project

    return parsed(Project(PROJECT, Path(tmp_path_factory.mktemp("target"))))


@pytest.fixture(scope="session")
def project_with_prices(project, tmp_path_factory: pytest.TempPathFactory):
    """A copy of it with a feed of each kind."""
    from support.tables import with_prices

    return parsed(with_prices(project, Path(tmp_path_factory.mktemp("prices")) / "project"))


@pytest.fixture(autouse=True)
def searched(request: pytest.FixtureRequest) -> Iterator[None]:
    """A long test makes gigabytes of garbage: it is searched for as it is made."""
    if not request.node.get_closest_marker("long"):
        yield
        return
    gc.enable()
    yield
    gc.disable()


@pytest.fixture(autouse=True)
def dropped() -> Iterator[None]:
    """The accounts on the local Snowflake that a test has made go with it."""
    of_snowflake = sys.modules.get("support.snowflake_warehouse")
    before = set(of_snowflake.Account.there) if of_snowflake else ()
    yield
    if of_snowflake:
        for name in set(of_snowflake.Account.there) - before:
            of_snowflake.Account.there[name].drop()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory):
    """The local Snowflake of all tests: each has an account of its own there."""
    from support.snowflake_warehouse import server

    with server(Path(tmp_path_factory.mktemp("snowflake"))) as found:
        yield found


@pytest.fixture(scope="session")
def on_snowflake(running, tmp_path_factory: pytest.TempPathFactory):
    """The project at hand, parsed for Snowflake."""
    from support.snowflake_warehouse import snowflake_project

    return parsed(snowflake_project(Path(tmp_path_factory.mktemp("project")), running.environment()))


@pytest.fixture(scope="session")
def kafka_server():
    """The local Kafka of all tests: each has topics of its own there, one after the other or by their names."""
    from orchestration.local.stand_ins.broker import broker

    with broker() as found:
        yield found


@pytest.fixture
def kafka(kafka_server):
    """A local Kafka with an empty topic of three partitions."""
    from support.events import TOPIC

    kafka_server.create(TOPIC, 3)
    yield kafka_server
    kafka_server.delete(TOPIC)


# Groups of tests, and modules, that wait for servers or take long: a worker begins with them, so that none comes last
# and alone.
FIRST = (
    "dag_runs",
    "snowflake",
    "test_histories",
    "test_audit",
    "test_add_a_table",
    "trouble",
    "hostile",
    "test_kills",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, the others in their order."""

    def place(item: pytest.Item) -> int:
        mark = item.get_closest_marker("xdist_group")
        names = {item.path.stem, *(mark.args if mark else ())}
        return min((FIRST.index(name) for name in names if name in FIRST), default=len(FIRST))

    items.sort(key=place)
