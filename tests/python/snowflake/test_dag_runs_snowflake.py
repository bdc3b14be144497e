"""The DAGs by a real Airflow on the local Snowflake, reached by the connection `snowflake_prod` alone."""

import json
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from orchestration.local.stand_ins.chat import CHAT_TOKEN
from orchestration.local.stand_ins.mail import MAIL_PASSWORD
from orchestration.local.stand_ins.s3 import KEY, SECRET
from orchestration.local.stand_ins.snowflake.service import ADMINISTRATOR, USER
from support.airflow_fixtures import AirflowSession, airflow_in, files_with
from support.metrics import Measured
from support.reference import PROJECT
from support.sales_files import CASES, file

# What the tests of this file share is made once.
pytestmark = [pytest.mark.long, pytest.mark.xdist_group("dag_runs_snowflake")]

DAY, BAD_DAY = date(2024, 1, 5), date(2024, 1, 6)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # Not in pytest's own folder: the next pytest that starts takes it from PostgreSQL, which as root is another user.
    with tempfile.TemporaryDirectory(prefix="airflow-on-snowflake-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def airflow(folder: Path) -> Iterator[AirflowSession]:
    # The manifest of this target.
    subprocess.run(["make", "setup", "DBT_TARGET=snowflake"], cwd=PROJECT, check=True)
    with airflow_in(folder, on_snowflake=True, settings={"METRICS": "datadog"}) as session:
        yield session


def test_a_day_is_loaded_and_a_bad_one_is_not(airflow: AirflowSession) -> None:
    airflow.land(str(DAY), file(DAY))
    assert airflow.run(str(DAY), seconds=400).state == "success"
    ledger = "select source_file, current_rows from prod.load_ledger"
    assert airflow.query(ledger) == [(f"raw/sales/{DAY}/sales_export.csv", 19)]
    load = Measured(airflow.services.metrics, since=0).load(airflow.dag_id, "sales")
    assert (load["rows_merged"], load["files_held"]) == (19, 0)
    assert load["freshness"] > 0
    airflow.land(str(BAD_DAY), CASES["not UTF-8"].content(BAD_DAY))
    assert airflow.run(str(BAD_DAY), seconds=400).state == "failed"
    assert len(airflow.query(ledger)) == 1
    told = [message["text"] for message in airflow.chat.messages if str(BAD_DAY) in message["text"]]
    assert any("File refused: raw/sales/2024-01-06/sales_export.csv" in text for text in told)


def test_snowflake_is_told_whose_each_statement_is(airflow: AirflowSession) -> None:
    history = "select query_tag, query_text from table(information_schema.query_history())"
    sent = [(json.loads(tag), text) for tag, text in airflow.query(history) if tag]
    runs = airflow.airflow.call("GET", f"dags/{airflow.dag_id}/dagRuns", params={"limit": 100})["dag_runs"]
    days = {run["dag_run_id"]: run["logical_date"][:10] for run in runs}
    assert {(tag["dag"], days[tag["run"]]) for tag, _ in sent} == {(airflow.dag_id, str(day)) for day in (DAY, BAD_DAY)}
    # A run whose own file is refused merges as well, whatever else has come.
    merged = {days[tag["run"]] for tag, text in sent if tag["node"].endswith(".daily_sales") and "merge into" in text}
    assert merged == {str(DAY), str(BAD_DAY)}


def test_dbt_parses_the_project_for_no_task(airflow: AirflowSession, folder: Path) -> None:
    """The scheduler has done so for all of them, with what the connection says."""
    (warm,) = folder.rglob("warm_up/partial_parse.msgpack")
    kept = list(folder.rglob("target/partial_parse.msgpack"))
    assert kept
    assert {path.read_bytes() for path in kept} == {warm.read_bytes()}


def test_no_credential_is_shown_though_the_key_is_refused(airflow: AirflowSession, folder: Path) -> None:
    """Neither in a log nor in a rendered template, an error or a message, of this run or any other."""
    account, day = airflow.services.warehouse.account, "2024-01-07"
    connection = account.connection()
    airflow.land(day, file(date.fromisoformat(day)))
    with account.connect(user=ADMINISTRATOR, role="ACCOUNTADMIN", warehouse="") as administrator:
        administrator.cursor().execute(f"drop user {USER}")
        administrator.cursor().execute(f"create user {USER} rsa_public_key = '{key_of_another()}'")
    run = airflow.run(day, seconds=400)
    assert run.state == "failed"
    [failed] = [task for task in run.tasks if task.state == "failed"]
    assert "JWT token is invalid" in airflow.airflow.log(airflow.dag_id, run.run_id, failed, lines=100)
    secrets = [
        *(connection["extra"]["private_key_content"].splitlines()[line] for line in (5, 10)),
        account.environment()["DBT_ENV_SECRET_SNOWFLAKE_PRIVATE_KEY"][200:260],
        connection["password"], KEY, SECRET, CHAT_TOKEN, MAIL_PASSWORD,
    ]  # fmt: skip
    shown = airflow.shown()
    assert "JWT token is invalid" in shown
    assert [secret for secret in secrets if secret in shown] == []
    assert files_with(folder, secrets) == []


def key_of_another() -> str:
    """A public key that fits no private one of ours, as `create user` takes it."""
    public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
