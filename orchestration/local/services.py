"""All local stand-ins together: S3, SageMaker, chat, mail, Datadog's agent, Kafka and Snowflake if asked for, and
Airflow on its database."""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestration.local.errors import LocalError
from orchestration.local.runtime.airflow import airflow, airflow_environment
from orchestration.local.runtime.airflow_api import Airflow
from orchestration.local.runtime.postgres import postgres
from orchestration.local.runtime.processes import free_port
from orchestration.local.stand_ins.agent import agent
from orchestration.local.stand_ins.broker import Broker, broker
from orchestration.local.stand_ins.chat import chat_sink
from orchestration.local.stand_ins.mail import mail_sink
from orchestration.local.stand_ins.s3 import Storage, storage
from orchestration.local.stand_ins.sagemaker.plane import ControlPlane
from orchestration.local.stand_ins.sagemaker.server import control_plane
from orchestration.local.stand_ins.sink import Sink
from orchestration.local.stand_ins.snowflake.service import snowflake
from orchestration.local.warehouses import DuckDBFile, LocalSnowflake, Warehouse
from orchestration.settings import BUCKET, MODELS_BUCKET, PREFIX

PROJECT = Path(__file__).resolve().parents[2]
STATE = PROJECT / ".local"
DAGS = PROJECT / "orchestration" / "dags"


@dataclass(frozen=True)
class Services:
    """What runs, and the environment in which a command reaches it."""

    s3: Storage
    models: Storage
    sagemaker: ControlPlane
    chat: Sink
    mail: Sink
    metrics: Sink
    airflow: Airflow
    warehouse: Warehouse
    env: dict[str, str]
    kafka: Broker | None = None


@contextmanager
def sole_user(state: Path) -> Iterator[None]:
    """Hold the folder of the local state, or say who does."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalError(
                "Another `make run`, `make up` or `make backfill` is at work in this folder; wait for it to end, or "
                "stop it with Ctrl-C."
            ) from None
        yield


@contextmanager
def serving(url: str, state: Path = STATE) -> Iterator[None]:
    """Let other commands of this folder use the Airflow of this one."""
    at = state / "airflow" / "url"
    at.write_text(url)
    try:
        yield
    finally:
        at.unlink(missing_ok=True)


def who_serves(state: Path = STATE) -> str | None:
    """The Airflow that another command of this folder serves, if one does."""
    try:
        with sole_user(state):
            return None  # what a killed command has left says nothing
    except LocalError:
        at = state / "airflow" / "url"
        return at.read_text() if at.exists() else None


@contextmanager
def local_services(
    state: Path = STATE,
    *,
    warehouse: Path | None,
    dags_folder: Path = DAGS,
    schedules: bool = False,
    kafka: bool = False,
    settings: dict[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Services]:
    """Run everything on loopback, with all state below `state`; gone when the block, or this process, ends.

    Without the path of a DuckDB file the warehouse is a local Snowflake, which begins empty, and so does its S3.
    Scheduled runs start only if `schedules`; there is a Kafka, without a topic, only if `kafka`; `settings` are added
    to Airflow's environment.
    """
    state = state.resolve()
    logs = state / "logs"
    with ExitStack() as stack:
        stack.enter_context(sole_user(state))
        # What a killed command has left.
        (state / "airflow" / "url").unlink(missing_ok=True)
        say("S3, chat, mail and Airflow's database: starting")
        database = stack.enter_context(postgres(state / "airflow" / "postgres", logs / "postgres.log"))
        mirror = state / ("s3" if warehouse else "s3_of_snowflake") / BUCKET
        if not warehouse:
            shutil.rmtree(mirror, ignore_errors=True)
        s3 = stack.enter_context(storage(BUCKET, mirror))
        models = Storage(s3.endpoint, MODELS_BUCKET, state / "s3" / MODELS_BUCKET)
        stack.callback(models.keep, "")
        sagemaker = stack.enter_context(control_plane())
        sagemaker.has_archive = models.has
        chat = stack.enter_context(chat_sink(state / "chat.jsonl"))
        mail = stack.enter_context(mail_sink(state / "mail.jsonl"))
        metrics = stack.enter_context(agent(state / "metrics.jsonl"))
        events = stack.enter_context(broker()) if kafka else None
        # Tasks write there; it would be gone with the server, and with it where the next session reads on.
        stack.callback(s3.keep, f"{PREFIX}raw/events/")
        if not warehouse:
            say("Snowflake: starting")
            account = stack.enter_context(snowflake(state / "snowflake", s3))
            account.prepare(prefix=PREFIX)
        database.wait()
        env = airflow_environment(
            home=state / "airflow",
            database=database.socket,
            port=free_port(),
            storage=s3,
            sagemaker=sagemaker,
            chat=chat,
            mail=mail,
            metrics=metrics,
            kafka=events,
            warehouse=warehouse or account,
            dags_folder=dags_folder,
            schedules=schedules,
        )
        env |= settings or {}
        client = stack.enter_context(airflow(env, logs, say))
        told = DuckDBFile(warehouse) if warehouse else LocalSnowflake(account)
        yield Services(s3, models, sagemaker, chat, mail, metrics, client, told, env, events)
