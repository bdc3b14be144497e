"""Airflow's four components on this machine, configured by environment alone."""

import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from cryptography.fernet import Fernet

from orchestration import settings
from orchestration.local.errors import LocalError
from orchestration.local.runtime.airflow_api import Airflow
from orchestration.local.runtime.processes import Supervised, stop_all, tail
from orchestration.local.stand_ins.broker import KAFKA_PASSWORD, Broker
from orchestration.local.stand_ins.chat import CHAT_TOKEN
from orchestration.local.stand_ins.mail import MAIL_PASSWORD
from orchestration.local.stand_ins.s3 import KEY, REGION, SECRET, Storage
from orchestration.local.stand_ins.sagemaker.plane import ROLE, ControlPlane
from orchestration.local.stand_ins.sink import Sink
from orchestration.local.stand_ins.snowflake.service import TRUSTED, Snowflake

START_SECONDS = 120
PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")

SETTINGS_FILE = '''"""Written at each local start."""

from orchestration.warm_up import warm_up_scheduler

warm_up_scheduler()
'''

# A user's own settings must not reach the local Airflow, nor his cloud account the local S3.
FOREIGN = ("AIRFLOW", "AWS_", "DATADOG_", "DBT_", "DD_", "SLACK_", "SNOWFLAKE_")


def airflow_environment(
    *,
    home: Path,
    database: Path,
    port: int,
    storage: Storage,
    sagemaker: ControlPlane,
    chat: Sink,
    mail: Sink,
    metrics: Sink,
    kafka: Broker | None,
    warehouse: Path | Snowflake,
    dags_folder: Path,
    schedules: bool = False,
) -> dict[str, str]:
    """The whole configuration of a local Airflow, of the connections, and of the pipelines' own settings."""
    mail_host, mail_port = mail.address.split(":")
    agent_host, agent_port = metrics.address.split(":")
    url = f"http://127.0.0.1:{port}"
    connections = {
        settings.AWS_CONNECTION: {
            "conn_type": "aws",
            "login": KEY,
            "password": SECRET,
            "extra": {
                "endpoint_url": storage.endpoint,
                "region_name": REGION,
                "service_config": {"sagemaker": {"endpoint_url": sagemaker.address}},
            },
        },
        settings.CHAT_CONNECTION: {"conn_type": "slackwebhook", "host": chat.address, "password": CHAT_TOKEN},
        settings.MAIL_CONNECTION: {
            "conn_type": "smtp",
            "host": mail_host,
            "port": int(mail_port),
            "login": "airflow",
            "password": MAIL_PASSWORD,
            "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@localhost", "timeout": 5},
        },
    }
    if kafka:
        connections[settings.KAFKA_CONNECTION] = {
            "conn_type": "kafka",
            "password": KAFKA_PASSWORD,
            "extra": {"bootstrap.servers": kafka.address},
        }
    if isinstance(warehouse, Snowflake):
        connections[settings.SNOWFLAKE_CONNECTION] = warehouse.connection()
        target = {"DBT_TARGET": "snowflake", TRUSTED: str(warehouse.trusted)}
    else:
        target = {"DBT_TARGET": "duckdb", "WAREHOUSE_PATH": str(warehouse.resolve())}
    configuration = {
        "core": {
            "executor": "LocalExecutor",
            "parallelism": 4,
            "dags_folder": dags_folder,
            "plugins_folder": PLUGINS,
            "load_examples": False,
            "simple_auth_manager_all_admins": True,
            "execution_api_server_url": f"{url}/execution/",
            "fernet_key": _kept_key(home / "fernet_key"),
        },
        "database": {
            "sql_alchemy_conn": f"postgresql+psycopg2://postgres:@/postgres?host={database}",
            "sql_alchemy_conn_async": f"postgresql+asyncpg://postgres:@/postgres?host={database}",
        },
        "api": {"base_url": url, "secret_key": secrets.token_urlsafe(32), "workers": 1},
        "api_auth": {"jwt_secret": secrets.token_urlsafe(64)},
        "scheduler": {
            "use_job_schedule": schedules,
            "scheduler_idle_sleep_time": 0.25,
            # What a killed session was at starts again within a minute.
            "task_instance_heartbeat_timeout": 60,
            "orphaned_tasks_check_interval": 30,
        },
        # Until then nobody looks whether a task that was skipped or has failed is done.
        "workers": {"min_heartbeat_interval": 1},
        "dag_processor": {"refresh_interval": 60, "min_file_process_interval": 60},
        "logging": {"base_log_folder": home / "logs", "logging_level": "INFO", "colored_console_log": False},
        "email": {"from_email": "airflow@localhost"},
        "usage_data_collection": {"enabled": False},
        "cosmos": {"enable_telemetry": False, "cache_dir": home / "cosmos"},
    }
    return (
        {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        | {f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()}
        | {
            f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
            for section, values in configuration.items()
            for name, value in values.items()
        }
        | {
            "AIRFLOW_HOME": str(home),
            # Nothing but the connection leads to S3, not even a person's own account.
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CONFIG_FILE": os.devnull,
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "LANDING_ROOT": f"s3://{storage.bucket}/{settings.PREFIX}".rstrip("/"),
            # Whoever sets METRICS sends to these, and to a CloudWatch beside S3.
            "DD_AGENT_HOST": agent_host,
            "DD_DOGSTATSD_PORT": agent_port,
            # Production waits for minutes and hours; here a file is there or it is not.
            "PIPELINES_POKE_SECONDS": "15",
            "PIPELINES_WAIT_SECONDS": "60",
            "PIPELINES_RETRY_SECONDS": "1",
            "PIPELINES_KAFKA_RETRY_SECONDS": "1",
            "PIPELINES_ENDPOINT_POKE_SECONDS": "1",
            "PIPELINES_ENDPOINT_ROLE": ROLE,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        | target
    )


@contextmanager
def airflow(env: Mapping[str, str], logs: Path, say: Callable[[str], None] = lambda _: None) -> Iterator[Airflow]:
    """Run Airflow's four components with `env`; yield a client once all of them are healthy."""
    home = Path(env["AIRFLOW_HOME"])
    (home / "config").mkdir(parents=True, exist_ok=True)
    (home / "config" / "airflow_local_settings.py").write_text(SETTINGS_FILE)
    _migrate(env, logs, say)
    say("Airflow: starting its four components")
    port = env["AIRFLOW__API__BASE_URL"].rsplit(":", 1)[1]
    options = {
        "api-server": ["--host", "127.0.0.1", "--port", port],
        "scheduler": ["--skip-serve-logs"],
        "triggerer": ["--skip-serve-logs"],
    }
    running: list[Supervised] = []
    try:
        for name in COMPONENTS:
            command = [sys.executable, "-m", "airflow", name, *options.get(name, [])]
            running.append(
                Supervised(f"Airflow's {name}", command, log=logs / f"airflow-{name}.log", env=env, cwd=home)
            )
        with Airflow(env["AIRFLOW__API__BASE_URL"], check=lambda: [process.check() for process in running]) as client:
            client.wait_healthy(START_SECONDS)
            client.set_pool(settings.POOL, 1, "The DuckDB file: one process at a time")
            yield client
    finally:
        stop_all(running)


def _migrate(env: Mapping[str, str], logs: Path, say: Callable[[str], None]) -> None:
    """Bring Airflow's database to this version of Airflow, unless it is there already."""
    stamp = Path(env["AIRFLOW_HOME"]) / "migrated"
    if stamp.exists() and stamp.read_text() == version("apache-airflow"):
        return
    say("Airflow: making its database")
    log = logs / "airflow-db.log"
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    process = Supervised("Airflow's migration", command, log=log, env=env, cwd=Path(env["AIRFLOW_HOME"]))
    try:
        if process.wait() != 0:
            raise LocalError(
                f"Airflow's database could not be made (`make clean`, then run this again); see {log}:\n{tail(log)}"
            )
    finally:
        process.stop()
    stamp.write_text(version("apache-airflow"))


def _kept_key(path: Path) -> str:
    """The key that encrypts what the database keeps, made once."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(Fernet.generate_key())
    return path.read_text()
