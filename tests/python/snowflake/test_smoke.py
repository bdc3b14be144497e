"""`make smoke`: daily sales in a real account, in a database of its own, against the reference; off unless asked for.

    SNOWFLAKE_ACCOUNT=... SNOWFLAKE_USER=... SNOWFLAKE_PRIVATE_KEY_PATH=... SNOWFLAKE_ROLE=... \\
    SNOWFLAKE_WAREHOUSE=... SMOKE_LANDING=s3://bucket/smoke SMOKE_INTEGRATION=landing_zone make smoke

The role may create databases and use the integration, which may read SMOKE_LANDING; files are put there by the AWS
credentials of the environment, and removed at the end.
"""

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from snowflake.connector import DictCursor

from orchestration.local.stand_ins.snowflake.service import SETUP, statements_of
from support.histories import Batch, batches, has_files
from support.laboratory import ANYTHING_SLOW, play
from support.reference import SALES
from support.snowflake_warehouse import Database, snowflake_project
from support.warehouse import environment

pytestmark = pytest.mark.smoke

NEEDED = ("SNOWFLAKE_ACCOUNT", "SMOKE_LANDING", "SMOKE_INTEGRATION")
# What `make smoke` drops, it has made: it says so by a schema of this name.
MADE_HERE = "made_by_make_smoke"
DATABASE = os.environ.get("SMOKE_DATABASE") or "reference_pipeline_smoke"


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Iterator[Database]:
    """A new database; gone at the end, and with it what was landed."""
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        pytest.fail(
            f"make smoke needs {', '.join(missing)} in the environment (tests/python/snowflake/test_smoke.py says more)"
        )
    if not DATABASE.isidentifier():
        pytest.fail(f"SMOKE_DATABASE is {DATABASE}, which is no plain name")
    folder = tmp_path_factory.mktemp("smoke")
    project = snowflake_project(folder / "project", {"DBT_TARGET": "snowflake", "SNOWFLAKE_DATABASE": DATABASE})
    landing = os.environ["SMOKE_LANDING"]
    found = Database(project, folder / "warehouse", feeds=(SALES,), database=DATABASE, landing=landing)
    drop_what_smoke_made(found)
    run(found, f"create database {DATABASE}", f"create schema {DATABASE}.{MADE_HERE}", *set_up(found))
    yield found
    found.land({})
    drop_what_smoke_made(found)


def run(database: Database, *statements: str) -> None:
    with database.connect() as connection:
        for statement in statements:
            connection.cursor().execute(statement)


def drop_what_smoke_made(database: Database) -> None:
    """Drops the database if it is there; one that was not made here is refused."""
    if DATABASE.upper() not in names(database, "show databases"):
        return
    if MADE_HERE.upper() not in names(database, f"show schemas in database {DATABASE}"):
        pytest.fail(f"The database {DATABASE} was not made by make smoke: set SMOKE_DATABASE to another name.")
    run(database, f"drop database {DATABASE}")


def names(database: Database, listing: str) -> set[str]:
    """What a SHOW lists. Its LIKE would take `_` for any character."""
    with database.connect() as connection:
        return {row["name"] for row in connection.cursor(DictCursor).execute(listing).fetchall()}


def set_up(database: Database) -> list[str]:
    """What setup.sql makes in a database, without roles, warehouses, grants and users."""
    values = {"landing_url": f"s3://{database.zone[1]}/{database.zone[2]}", "aws_role_arn": "", "public_key": ""}
    ours = ("create schema", "create stage", "create file format")
    found = [one for one in statements_of(SETUP, **values) if one.startswith(ours)]
    return [
        one.replace("analytics.", f"{DATABASE}.").replace(
            "storage_integration = landing_zone", f"storage_integration = {os.environ['SMOKE_INTEGRATION']}"
        )
        for one in found
    ]


@settings(max_examples=1, deadline=None, suppress_health_check=ANYTHING_SLOW, derandomize=True)
@given(batch=batches(20).filter(has_files))
def test_twenty_histories_end_as_the_reference_says(database: Database, batch: Batch) -> None:
    """Every load is compared; the last one comes twice, and the second time it changes nothing."""
    with environment(SNOWFLAKE_DATABASE=DATABASE):
        play(batch, database, Counter())
        before = database.tables()
        assert not database.build().broken
        assert database.tables() == before
