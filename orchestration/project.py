"""The dbt project as Airflow runs it: where it is, with which profile, and with which flags."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from botocore.exceptions import BotoCoreError, ClientError
from cosmos import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos import settings as of_cosmos
from cosmos.constants import ExecutionMode, InvocationMode, TestIndirectSelection

from orchestration import report, settings

PROJECT = Path(__file__).resolve().parents[1]
TARGET = settings.TARGET
if TARGET not in ("duckdb", "snowflake"):
    raise ValueError(f"DBT_TARGET is {TARGET!r}: the DAGs load production, which is duckdb or snowflake.")
# It names databases, so that each target has its own; `make setup` makes it.
MANIFEST = PROJECT / "target" / ("" if TARGET == "duckdb" else TARGET) / "manifest.json"

# One process at a time may write a DuckDB file: the pool has one slot. Snowflake needs no pool of ours.
POOL = {"pool": settings.POOL} if TARGET == "duckdb" else {}

# A run's date. It is `ds` wherever there is one; a run triggered by hand without a date has none.
RUN_DATE = "{{ (dag_run.logical_date or dag_run.run_after) | ds }}"

ENV = {
    # By environment, for a var that changes makes dbt parse the whole project again.
    "RUN_DATE": RUN_DATE,
    # What the sensor waits for is what dbt loads.
    "LANDING_ROOT": f"s3://{settings.BUCKET}/{settings.PREFIX}".rstrip("/"),
    # Cosmos runs dbt in a folder of its own: relative to the project, not to that.
    "WAREHOUSE_PATH": str(PROJECT / settings.WAREHOUSE_PATH),
    # Unit tests test the code, not the data: they have run before it came here.
    "DBT_EXCLUDE_RESOURCE_TYPES": "unit_test",
}

PROFILE = ProfileConfig(
    profile_name="reference_pipeline", target_name=TARGET, profiles_yml_filepath=PROJECT / "profiles.yml"
)

# Cosmos would keep what it parses of selectors.yml in Airflow variables, read and written whenever a DAG file is.
of_cosmos.enable_cache_dbt_yaml_selectors = False

PROJECT_CONFIG = ProjectConfig(dbt_project_path=PROJECT, manifest_path=MANIFEST, install_dbt_deps=False, env_vars=ENV)

# Local, because a retry has to build the model again: in the watcher mode it re-reads the old result instead. In
# this process, because starting dbt anew for each model costs more than the model.
EXECUTION = ExecutionConfig(
    execution_mode=ExecutionMode.LOCAL,
    invocation_mode=InvocationMode.DBT_RUNNER,
    # A test of two models runs with the later one.
    test_indirect_selection=TestIndirectSelection.BUILDABLE,
)


def use_connections(context: Any, operator: Any) -> None:
    """Hands Airflow's connections to dbt, in this process only: neither a log nor a rendered template shows them.

    A Cosmos interceptor, called right before dbt.
    """
    os.environ.update(warehouse_environment())
    use_landing_zone()


def leave_garbage(context: Any, operator: Any) -> None:
    """Has Python search for no garbage until the task's process ends: dbt makes many objects that stay, and to look
    through them again and again takes a fifth of its time.

    A Cosmos interceptor, called right before dbt.
    """
    gc.disable()


# What this process had in its environment where `use_landing_zone` has put something else.
_own: dict[str, str | None] = {}


def use_landing_zone() -> None:
    """Hands Airflow's connection of S3 to boto3, in this process only. Credentials that expire are new each time."""
    with own_environment():
        found = read_connection(settings.AWS_CONNECTION, _of_aws)
    _own.update({name: os.environ.get(name) for name in found if name not in _own})
    os.environ.update(found)


@contextmanager
def own_environment() -> Iterator[None]:
    """For a while the environment that this process had before `use_landing_zone`: a role is taken on by who may, not
    by the role itself, and boto3 renews what it finds on a machine, not what stands in the environment."""
    kept = {name: os.environ.get(name) for name in _own}
    _put(_own)
    try:
        yield
    finally:
        _put(kept)


def _put(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def warehouse_environment() -> dict[str, str]:
    """What dbt's profile reads of Snowflake's connection; nothing where that is not the target.

    Raises AirflowFailException, with its name, if it is missing or incomplete.
    """
    return read_connection(settings.SNOWFLAKE_CONNECTION, _of_snowflake) if TARGET == "snowflake" else {}


def read_connection(name: str, read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is read of a connection, without what it lacks.

    If that raises, AirflowFailException with its name; AirflowException, which is tried again, if AWS or the network
    does not answer as it should.
    """
    try:
        return {key: value for key, value in read().items() if value is not None}
    except (BotoCoreError, ClientError, ConnectionError, TimeoutError) as error:
        raise AirflowException(f"What the Airflow connection {name} leads to does not answer: {error}") from error
    except Exception as error:
        raise AirflowFailException(f"The Airflow connection {name} is missing or wrong: {error}") from error


def _of_aws() -> dict[str, str | None]:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    hook = S3Hook(aws_conn_id=settings.AWS_CONNECTION)
    if hook.get_session().get_credentials() is None:
        raise ValueError("it gives no access key, and this machine has no role")
    credentials = hook.get_credentials()
    return {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.token or "",  # else one that an earlier key had would stay
        "AWS_DEFAULT_REGION": hook.region_name,
        "AWS_ENDPOINT_URL_S3": hook.conn_config.get_service_endpoint_url("s3"),
    }


def _of_snowflake() -> dict[str, str | None]:
    from base64 import b64encode

    from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    connection = BaseHook.get_connection(settings.SNOWFLAKE_CONNECTION)
    extra = connection.extra_dejson
    key = SnowflakeHook(settings.SNOWFLAKE_CONNECTION).get_private_key()
    if key is None or not extra.get("account"):
        raise ValueError("it needs account and private_key_content or private_key_file in its extra")
    return {
        "SNOWFLAKE_ACCOUNT": extra["account"],
        **{f"SNOWFLAKE_{name.upper()}": str(extra[name]) for name in ("host", "port", "protocol") if extra.get(name)},
        "SNOWFLAKE_USER": connection.login,
        "DBT_ENV_SECRET_SNOWFLAKE_PRIVATE_KEY": b64encode(
            key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        ).decode(),
        # Else those that an earlier key had would stay.
        "SNOWFLAKE_PRIVATE_KEY_PATH": "",
        "DBT_ENV_SECRET_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": "",
        "SNOWFLAKE_ROLE": extra.get("role"),
        "SNOWFLAKE_WAREHOUSE": extra.get("warehouse"),
        "SNOWFLAKE_DATABASE": extra.get("database"),
    }


# What every dbt task has. The flags save a third of its time: nobody reads the files that they leave out.
OPERATOR_ARGS = {
    "append_env": True,
    "dbt_cmd_global_flags": ["--no-write-json", "--log-level-file", "none"],
    "no_version_check": True,
    "should_store_compiled_sql": False,
    "interceptors": [use_connections, leave_garbage],
    "dbt_runner_callbacks": [report.listen],
    **POOL,
}

# The same for a dbt operator that stands by itself: what Cosmos gives to those of a task group.
OPERATOR_KWARGS = {
    **OPERATOR_ARGS,
    "project_dir": PROJECT,
    "profile_config": PROFILE,
    "manifest_filepath": MANIFEST,
    "cache_dir": of_cosmos.cache_dir / "by_itself",
    "invocation_mode": EXECUTION.invocation_mode,
    "install_deps": False,
    "emit_datasets": False,
    "env": ENV,
}
