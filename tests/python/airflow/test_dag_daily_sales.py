"""The DAG has the business's structure and settings, and its alerts hold up. No scheduler is needed."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.providers.amazon.aws.hooks.base_aws import BaseSessionFactory
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSensorTimeout
from airflow.serialization.encoders import encode_deadline_reference
from botocore.exceptions import ClientError
from cosmos.exceptions import CosmosDbtRunError
from dbt.cli.main import dbtRunner

from orchestration import churn_tasks, project, report, settings
from orchestration.alerts import callbacks, channels, unheard
from orchestration.alerts import text as messages
from orchestration.retries import RetryUnlessToMend

# Airflow is imported once for all tests of DAGs.
pytestmark = pytest.mark.xdist_group("dags")

DAG_ID = "daily_sales_etl_v2"
MODELS = project.PROJECT / "models"


def test_stages_run_in_the_business_order(dag):
    stages = dag.task_group.children
    after = {
        name: set(stage.downstream_task_ids) | set(getattr(stage, "downstream_group_ids", ()))
        for name, stage in stages.items()
    }
    assert {task.split(".")[0] for task in after.pop("wait_for_sales_file")} == {"extract_to_staging"}
    assert {task.split(".")[0] for task in after.pop("quality_checks")} == {"load_to_prod", "update_metrics"}
    assert after == {
        "extract_to_staging": {"transform_sales"},
        "transform_sales": {"quality_checks"},
        "load_to_prod": {"notify_success"},
        "update_metrics": {"notify_success"},
        "notify_success": set(),
    }


def test_every_model_is_built_by_one_task(dag):
    """A model that is put into a folder shows up in the DAG; one that no task has would never be built."""
    manifest = dbtRunner().invoke(["parse", "--quiet"]).result

    def built(task):
        if not hasattr(task, "build_and_run_cmd"):
            return []
        chosen = ["--selector", task.selector] if task.selector else ["--select", task.select]
        kinds = ["--resource-type", "model", "--resource-type", "seed"]
        return dbtRunner(manifest=manifest).invoke(["--quiet", "ls", *chosen, *kinds]).result

    tasks = {task.task_id: built(task) for task in dag.tasks if task.task_id != "quality_checks"}
    found = Counter(node.rpartition(".")[2] for nodes in tasks.values() for node in nodes)
    assert set(found.values()) == {1}
    wanted = {path.stem for folder in ("feeds/sales", "marts/sales") for path in (MODELS / folder).glob("*.sql")}
    # That of what is known of files is read by table_sync alone.
    wanted |= {path.stem for path in (MODELS / "registers").glob("*.sql")} - {"known_files"} | {"currencies"}
    assert set(found) == wanted
    # A table is a task of its own, which is tried again by itself.
    own = {name for name, nodes in tasks.items() if len(nodes) == 1}
    assert {tasks[name][0].rpartition(".")[2] for name in own} == {
        "raw_sales", "typed_sales", "daily_sales", "sales_by_day"
    }  # fmt: skip


def test_a_new_model_shows_up_after_a_parse(tmp_path):
    """What `make setup` does when a model is added, in a copy of the project."""
    for name in ("dbt_packages", "macros", "models", "orchestration", "packages", "seeds", "tests/dbt"):
        shutil.copytree(project.PROJECT / name, tmp_path / name)
    for name in ("dbt_project.yml", "packages.yml", "profiles.yml", "selectors.yml"):
        shutil.copy(project.PROJECT / name, tmp_path)
    (tmp_path / "models/marts/sales/newcomer.sql").write_text("select * from {{ ref('sales_by_day') }}")
    read = (
        "from airflow.dag_processing.dagbag import DagBag; from dbt.cli.main import dbtRunner; "
        "assert dbtRunner().invoke(['parse', '--quiet']).success; "
        f"print(*DagBag('orchestration/dags').dags['{DAG_ID}'].task_dict)"
    )
    out = subprocess.run(
        [sys.executable, "-c", read],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "load_to_prod.newcomer_model_build" in out.stdout.split()


def test_every_data_test_is_run_by_a_task():
    """A test of the gate runs in `quality_checks`, any other of sales with the last of the models that it reads."""
    manifest = json.loads((project.PROJECT / "target" / "manifest.json").read_text())
    nodes, parents = manifest["nodes"] | manifest["sources"], manifest["parent_map"]

    def stage(name):
        path = Path(nodes[name]["original_file_path"])
        return path.stem if path.parts[1] == "registers" else "/".join(path.parts[:3])

    def ancestors(name):
        return {name}.union(*(ancestors(parent) for parent in parents[name]))

    gate = ["models/feeds/sales", "seeds/currencies.csv", "file_verdicts", "load_ledger"]
    after = ["models/marts/sales", "load_metrics", "files_to_mend"]
    tests = [name for name, node in nodes.items() if node["resource_type"] == "test"]
    assert tests
    for test in tests:
        reads = {name for name in parents[test] if name in nodes}
        theirs = {where for where in map(stage, reads) if where.startswith(("models/feeds/", "models/marts/"))}
        if theirs - {"models/feeds/sales", "models/marts/sales"} or any("known_files" in name for name in reads):
            continue  # those are run by table_sync
        if all(nodes[name]["original_file_path"] == "seeds/features.csv" for name in reads):
            continue  # those by churn_training
        at_gate = all(stage(name) in gate for name in reads)
        with_model = any(stage(name) in after and reads <= ancestors(name) for name in reads)
        assert at_gate or with_model, f"{test} is run by no task"


def test_schedule_and_settings(dag):
    assert dag.timetable.expression == "0 2 * * *"
    assert type(dag.timetable).__name__ == "CronDataIntervalTimetable"
    assert dag.start_date == datetime(2024, 1, 1, tzinfo=UTC)
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    assert dag.tags == {"sales", "daily", "production"}
    assert dag.description == "Extract daily sales data, transform, load to Snowflake"
    assert dag.doc_md


def test_settings_of_every_task(dag):
    for task in dag.tasks:
        assert task.owner == "data-engineering"
        assert task.depends_on_past is False
        assert task.retries == 3
        assert task.retry_delay == timedelta(minutes=5)
        assert task.retry_exponential_backoff == 2
        assert task.max_retry_delay == timedelta(minutes=30)
        assert task.trigger_rule == "all_success"
        (told,) = task.on_failure_callback
        assert (told.func, told.keywords) == (callbacks.tell_failure, {"feed": "sales", "by_day": True})
        assert not task.on_retry_callback
    assert dag.on_failure_callback == callbacks.tell_unheard


def test_complete_within_two_hours_of_being_queued(dag):
    """Counted from when Airflow makes the run, whatever the run's date."""
    (deadline,) = dag.deadline
    assert deadline.interval == timedelta(hours=2)
    assert abs(deadline.reference._evaluate_with(session=None) - datetime.now(UTC)) < timedelta(seconds=10)
    # Airflow's own reference of that kind makes clearing a run fail.
    assert encode_deadline_reference(deadline.reference)["__class_path"] == "orchestration.deadlines.RunQueued"
    assert deadline.callback.path == "orchestration.alerts.callbacks.tell_late"


def test_sensor(dag):
    wait = dag.get_task("wait_for_sales_file")
    assert type(wait).__name__ == "S3KeySensor"
    assert wait.bucket_name == "company-data-lake"
    assert wait.aws_conn_id == "aws_default"
    assert (wait.mode, wait.poke_interval, wait.timeout) == ("reschedule", 300, 3600)
    assert not wait.soft_fail


@pytest.mark.parametrize(
    ("logical_date", "day"),
    [(datetime(2024, 1, 5, 2, tzinfo=UTC), "2024-01-05"), (None, "2024-01-06")],
    ids=["a date", "no date"],
)
def test_run_date_is_ds_or_the_day_of_a_run_without_one(dag, logical_date, day):
    run = SimpleNamespace(logical_date=logical_date, run_after=datetime(2024, 1, 6, 2, tzinfo=UTC))
    context = {"dag_run": run} | ({"ds": "2024-01-05"} if logical_date else {})
    wait = dag.get_task("wait_for_sales_file")
    key = wait.render_template(wait.bucket_key, context, dag.get_template_env())
    assert key == f"raw/sales/{day}/sales_export.csv"
    if logical_date:
        assert key == wait.render_template("raw/sales/{{ ds }}/sales_export.csv", context, dag.get_template_env())
    env = dag.get_task("extract_to_staging.raw_sales_run").env
    assert wait.render_template(env["RUN_DATE"], context, dag.get_template_env()) == day


def test_dbt_tasks_load_what_was_waited_for_one_at_a_time(dag):
    dbt = [task for task in dag.tasks if hasattr(task, "build_and_run_cmd")]
    assert len(dbt) == 8
    for task in dbt:
        assert task.env["LANDING_ROOT"] == "s3://company-data-lake"
        assert Path(task.env["WAREHOUSE_PATH"]).is_absolute()
        assert task.pool == "warehouse"
        assert not any("AWS" in name or "SNOWFLAKE" in name for name in task.env)


def test_graph_colours(dag):
    colours = {"wait_for_sales_file": "#e3f2fd", "quality_checks": "#fff3e0", "notify_success": "#e8f5e9"}
    assert {name: dag.get_task(name).ui_color for name in colours} == colours


IO_ERROR = ("files_to_mend", "Runtime Error IO Error")
TO_MEND = ("no_file_to_mend", "Got 2 results, configured to fail if != 0")


def said_by_dbt(*failed):
    """What dbt says at its end of the models and tests that have failed."""
    kinds = [("MainReportVersion", "", ""), *(("RunResultError", name, said) for name, said in failed)]
    for kind, name, said in kinds:
        data = SimpleNamespace(node_info=SimpleNamespace(node_name=name), msg=said)
        report.listen(SimpleNamespace(info=SimpleNamespace(name=kind, msg=said), data=data))


@pytest.fixture
def dbt_says():
    """What dbt says at its end, in this process; it is forgotten with the test."""
    yield said_by_dbt
    said_by_dbt()


@pytest.mark.parametrize(
    ("failed", "action"),
    [
        ([TO_MEND], "fail"),
        ([("no_orders_file_to_mend", "Got 1 result, configured to fail if != 0")], "fail"),
        ([IO_ERROR], "default"),
        ([TO_MEND, IO_ERROR], "default"),
        ([], "default"),
    ],
)
def test_only_a_file_to_mend_is_not_retried(dbt_says, failed, action):
    dbt_says(*failed)
    assert RetryUnlessToMend().evaluate(CosmosDbtRunError("whatever it says"), 1, 3).action.value == action
    # What has ended the task is something else.
    assert RetryUnlessToMend().evaluate(RuntimeError("no_file_to_mend: Got 2"), 1, 3).action.value == "default"


def test_what_failed_is_told_as_dbt_has_said_it(dbt_says, monkeypatch):
    told = []
    monkeypatch.setattr(callbacks, "_post_and_mail", lambda context, text, link, commands: told.append(text))
    monkeypatch.setattr(callbacks, "_asked", lambda *_, **__: [])
    dbt_says(TO_MEND, IO_ERROR)
    for error in (CosmosDbtRunError("dbt invocation completed with errors: no_file..."), RuntimeError("it broke")):
        callbacks.tell_failure(failed_context(error), feed="sales", by_day=True)
    assert [message.splitlines()[2] for message in told] == [
        "Problem: no_file_to_mend: Got 2 results, configured to fail if != 0 files_to_mend: Runtime Error IO Error",
        "Problem: it broke",
    ]


def failed_context(error=None):
    """What Airflow hands to the callback of a failed task."""
    ti = SimpleNamespace(
        dag_id=DAG_ID, task_id="wait_for_sales_file", log_url="http://airflow/log", xcom_pull=lambda **_: None,
        try_number=4, xcom_push=lambda *_: None,
    )  # fmt: skip
    run = SimpleNamespace(logical_date=datetime(2024, 1, 5, 2, tzinfo=UTC), run_after=datetime(2024, 1, 6, tzinfo=UTC))
    return {"ti": ti, "dag": SimpleNamespace(dag_id=DAG_ID), "dag_run": run, "exception": error}


ANSWERS = {
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "429": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n",
    # Byte by byte, so that none of them is waited for long.
    "drips": b"HTTP/1.1 200 OK\r\nContent-Type: " + 60 * b"a" + b"\r\n\r\n",
}


@pytest.fixture(params=["refuses", "hangs", "drips", "500", "429", "no TLS"])
def dead_endpoint(request):
    """The port of a server that refuses connections, takes them and never answers, or answers badly."""
    stopped = threading.Event()

    def answer(connection):
        with connection, suppress(OSError):
            if request.param == "no TLS":
                connection.sendall(b"no handshake")
                return
            connection.recv(65536)
            answer = ANSWERS[request.param]
            for at in range(0, len(answer), size := 1 if request.param == "drips" else len(answer)):
                connection.sendall(answer[at : at + size])
                if request.param == "drips" and stopped.wait(0.5):
                    return

    def serve():
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=server.accept()[:1], daemon=True).start()

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if request.param != "refuses":
            server.listen()
        if request.param not in ("refuses", "hangs"):
            threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], "https" if request.param == "no TLS" else "http"
        stopped.set()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def test_dead_endpoints_cost_seconds_and_raise_nothing(dead_endpoint, monkeypatch, caplog):
    monkeypatch.setattr(settings, "ALERT_SECONDS", 1)
    monkeypatch.setattr(channels.QuickSmtpHook, "timeout", 1)
    port, scheme = dead_endpoint
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_DEFAULT", f"slackwebhook://:x@{scheme}%3A%2F%2F127.0.0.1%3A{port}/")
    plain = "&disable_ssl=true&disable_tls=true" if scheme == "http" else ""
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", f"smtp://127.0.0.1:{port}/?from_email=airflow%40localhost{plain}")
    start, threads = time.monotonic(), threading.active_count()
    callbacks.tell_failure(failed_context(AirflowSensorTimeout("no file")), feed="sales", by_day=True)
    late = {"dag_id": DAG_ID, "dag_run_id": "r", "state": "running", "run_type": "scheduled"}
    late |= {"logical_date": "2024-01-05T02:00:00Z", "run_after": "2024-01-06T02:00:00Z"}
    asyncio.run(callbacks.tell_late({"dag_run": late}))
    assert time.monotonic() - start < 10
    for channel in ("chat", "mail"):
        assert f"No message by {channel}: " in caplog.text
    # Those of other tests are not counted.
    assert threading.active_count() - threads < 10


def test_a_warehouse_that_hangs_and_channels_that_hang_hold_up_no_alert(monkeypatch, caplog):
    """Chat hangs until mail is sent, which it is beside it."""
    monkeypatch.setattr(settings, "ALERT_SECONDS", 1)
    monkeypatch.setattr(project, "use_connections", lambda *_: None)
    freed, mailed = threading.Event(), threading.Event()
    monkeypatch.setattr(callbacks.facts, "to_mend", lambda *_: freed.wait())
    monkeypatch.setattr(channels, "_posts", lambda text: lambda: mailed.wait(60) and posted.append(text))
    monkeypatch.setattr(channels, "_mail", lambda *_: SimpleNamespace(notify=lambda _: mailed.set()))
    posted = []
    callbacks.tell_failure(failed_context(RuntimeError("it broke")), feed="sales", by_day=True)
    freed.set()
    assert ["Problem: it broke" in text for text in posted] == [True]
    assert "The warehouse was not asked: no answer within 2 seconds" in caplog.text


def test_without_connections_it_is_said_once_that_messages_are_off(no_credentials, monkeypatch, caplog):
    for name in ("SLACK", "SMTP"):
        monkeypatch.delenv(f"AIRFLOW_CONN_{name}_DEFAULT", raising=False)
    channels._say_off.cache_clear()
    for _ in range(2):
        callbacks.tell_failure(failed_context(AirflowSensorTimeout("no file")), feed="sales", by_day=True)
    said = [record.getMessage() for record in caplog.records if record.name == channels.__name__]
    assert said == [
        "Messages by chat are off: Airflow has no connection slack_default.",
        "Messages by mail are off: Airflow has no connection smtp_default.",
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, True),
        ({"state": "queued"}, True),
        ({"logical_date": None}, True),
        ({"state": "failed"}, False),
        ({"state": "success"}, False),
        ({"run_type": "backfill"}, False),
    ],
)
def test_only_a_run_that_is_still_at_work_is_late(changes, told, monkeypatch):
    sent = []

    class Channel:
        def __init__(self, subject="", content=""):
            self.text = subject

        async def async_send(self, text):
            sent.append(text)

        async def async_notify(self, context):
            sent.append(self.text)

    monkeypatch.setattr(channels, "_chat", Channel)
    monkeypatch.setattr(channels, "_mail", Channel)
    run = {"dag_id": DAG_ID, "dag_run_id": "a run", "state": "running", "run_type": "manual"}
    run |= {"logical_date": "2024-01-05T02:00:00Z", "run_after": "2024-01-06T02:00:00Z"}
    asyncio.run(callbacks.tell_late({"dag_run": run | changes}))
    day = "2024-01-06" if changes.get("logical_date", run) is None else "2024-01-05"
    assert [f"not complete for {day}, 2 hours" in text for text in sent] == ([True, True] if told else [])


@pytest.fixture
def run_of(dag, monkeypatch):
    """A run that has failed, given the states of its tasks and what those said that have told; returns what is told."""
    told = []
    monkeypatch.setattr(callbacks, "_post_and_mail", lambda context, text, link, commands=(): told.append(text))
    monkeypatch.setattr(callbacks, "_asked", lambda *_, **__: [])

    def failed(states, said=None, **context):
        told.clear()
        monkeypatch.setattr(
            unheard.RuntimeTaskInstance, "get_task_states", lambda _, run_ids: {run_ids[0]: states} if states else {}
        )
        monkeypatch.setattr(unheard.XCom, "get_one", lambda task_id, **_: (said or {}).get(task_id))
        callbacks.tell_unheard({"dag": dag, "run_id": "scheduled__2024-01-06", "reason": "task_failure"} | context)
        return [text.split("\nLog: ")[0].splitlines() for text in told]

    return failed


LOST, OTHER = "load_to_prod.daily_sales_model_build", "update_metrics"


def test_a_failure_of_which_airflow_tells_little_is_told_all_the_same(run_of):
    """Of a task whose process was killed, the run may have no task instance and no date."""
    [(headline, task, problem)] = run_of({LOST: "failed", "notify_success": "upstream_failed", OTHER: "success"})
    assert headline == f"❌ DAG {DAG_ID} failed for scheduled__2024-01-06"
    assert task == f"Task: {LOST}"
    assert problem.startswith("Problem: the task's process ended without a word: it was killed, most often for want of")
    # With its run, the date is known.
    last = SimpleNamespace(task_id=LOST, try_number=4)
    context = failed_context()
    [(headline, *_)] = run_of({LOST: "failed"}, ti=last, dag_run=context["dag_run"])
    assert headline == f"❌ DAG {DAG_ID} failed for 2024-01-05"


def test_each_failure_is_told_once(run_of):
    last = SimpleNamespace(task_id=LOST, try_number=4)
    assert run_of({LOST: "failed"}, {LOST: 4}, ti=last) == []
    assert run_of({LOST: "failed", OTHER: "failed"}, {LOST: 4, OTHER: 1}, ti=last) == []
    assert [lines[1] for lines in run_of({LOST: "failed", OTHER: "failed"}, {LOST: 4}, ti=last)] == [f"Task: {OTHER}"]
    # The run was cleared before Airflow came to call.
    assert run_of({LOST: None, OTHER: "success"}) == []
    # It told of its fourth try, was cleared, and died each time before it could begin.
    again = SimpleNamespace(task_id=LOST, try_number=8)
    assert [lines[1] for lines in run_of({LOST: "failed"}, {LOST: 4}, ti=again)] == [f"Task: {LOST}"]


@pytest.mark.parametrize(
    ("reason", "states", "says"),
    [
        ("timed_out", {LOST: "skipped"}, "the run took longer than it may"),
        ("all_tasks_deadlocked", {LOST: "success"}, "none of the tasks that are left can run"),
        # A failure of a task that the DAG does not have any more, or has many times.
        ("task_failure", {"gone": "failed", f"{LOST}_0": "failed"}, "a task has failed"),
        ("task_failure", {"notify_success": "upstream_failed", LOST: "success"}, "a task has failed"),
        ("task_failure", {}, "a task has failed"),
        ("news", {}, "news"),
    ],
)
def test_a_run_that_fails_by_no_task_is_told(run_of, reason, states, says):
    [(headline, problem)] = run_of(states, reason=reason)
    assert headline == f"❌ DAG {DAG_ID} failed for scheduled__2024-01-06"
    assert problem == f"Problem: {says}"


def test_a_run_is_told_though_airflow_does_not_answer(dag, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("Unhandled request")

    told = []
    monkeypatch.setattr(callbacks, "_post_and_mail", lambda context, text, link: told.append(text))
    monkeypatch.setattr(unheard.RuntimeTaskInstance, "get_task_states", broken)
    callbacks.tell_unheard({"dag": dag, "run_id": "r", "reason": "task_failure"})
    assert [text.split("\nLog: ")[0] for text in told] == [f"❌ DAG {DAG_ID} failed for r\nProblem: a task has failed"]


def test_a_task_that_tells_says_so_to_its_run(monkeypatch):
    """In its own process; what the dag-processor calls for a lost worker has no exception, and is left to the run."""
    told, pushed = [], []
    monkeypatch.setattr(callbacks, "_post_and_mail", lambda context, text, link, commands: told.append(text))
    monkeypatch.setattr(callbacks, "_asked", lambda *_, **__: [])
    context = failed_context()
    context["ti"].xcom_push = lambda *said: pushed.append((len(told), *said))
    callbacks.tell_failure(context)
    assert (told, pushed) == ([], [])
    callbacks.tell_failure(context | {"exception": RuntimeError("it broke")})
    # Only once it has told.
    assert pushed == [(1, unheard.TOLD, 4), (1, messages.PROBLEM, "it broke")]


@pytest.fixture
def no_credentials(monkeypatch):
    """A machine without an AWS account; what a test puts into the environment is gone after it."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "SNOWFLAKE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setattr(project, "_own", {})
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]


@pytest.fixture
def asked_by(no_credentials, monkeypatch):
    """A connection with a role that the machine may take on; who asks for that, by the key."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of the machine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    extra = {"region_name": "eu-west-1", "role_arn": "arn:aws:iam::123456789012:role/lake"}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws", "extra": extra}))
    asked = []

    def assume(factory, sts_client):
        asked.append(factory.basic_session.get_credentials().access_key)
        keys = {"AccessKeyId": f"of the role {len(asked)}", "SecretAccessKey": "another", "SessionToken": "a token"}
        expiration = datetime.now(UTC) + timedelta(hours=1)
        return {"Credentials": keys | {"Expiration": expiration}, "ResponseMetadata": {"HTTPStatusCode": 200}}

    monkeypatch.setattr(BaseSessionFactory, "_assume_role", assume)
    return asked


def test_a_role_is_taken_on_by_the_machine_however_often(asked_by):
    """Not by the role, which may not, though dbt finds that in the environment; nor for SageMaker after it."""
    for _ in range(2):
        project.use_connections({}, None)
        last = len(asked_by)
        assert (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SESSION_TOKEN"]) == (f"of the role {last}", "a token")
    assert churn_tasks._client().meta.region_name == "eu-west-1"
    assert set(asked_by) == {"of the machine"}
    assert len(asked_by) > last
    assert os.environ["AWS_ACCESS_KEY_ID"] == f"of the role {last}"


def test_aws_that_does_not_answer_is_asked_again(asked_by, monkeypatch):
    """By a retry of the task: what is wrong may be over by then."""

    def throttled(factory, sts_client):
        raise ClientError({"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}, "AssumeRole")

    monkeypatch.setattr(BaseSessionFactory, "_assume_role", throttled)
    with pytest.raises(AirflowException, match=r"aws_default leads to does not answer: .*Rate exceeded") as error:
        project.use_connections({}, None)
    assert not isinstance(error.value, AirflowFailException)
    assert os.environ["AWS_ACCESS_KEY_ID"] == "of the machine"


def test_connections_become_the_environment_of_dbt(no_credentials, monkeypatch):
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase")).decode()
    aws = {"conn_type": "aws", "login": "an id", "password": "a secret"}
    aws |= {"extra": {"region_name": "eu-west-1", "endpoint_url": "http://s3.example"}}
    snowflake = {"conn_type": "snowflake", "login": "etl_user", "password": "a passphrase"}
    snowflake |= {"extra": {"account": "acme", "role": "transformer", "private_key_content": pem, "port": 8443}}
    snowflake["extra"]["host"] = "acme.privatelink.example"
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(aws))
    monkeypatch.setenv("AIRFLOW_CONN_SNOWFLAKE_PROD", json.dumps(snowflake))
    monkeypatch.setattr(project, "TARGET", "snowflake")

    project.use_connections({}, None)

    env = {
        name: value for name, value in os.environ.items() if name.startswith(("AWS_", "SNOWFLAKE_", "DBT_ENV_SECRET_"))
    }
    assert env.pop("DBT_ENV_SECRET_SNOWFLAKE_PRIVATE_KEY").startswith("MII")
    assert (
        env.items()
        >= {
            "AWS_ACCESS_KEY_ID": "an id",
            "AWS_SECRET_ACCESS_KEY": "a secret",
            "AWS_SESSION_TOKEN": "",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL_S3": "http://s3.example",
            "SNOWFLAKE_ACCOUNT": "acme",
            "SNOWFLAKE_HOST": "acme.privatelink.example",
            "SNOWFLAKE_PORT": "8443",
            "SNOWFLAKE_USER": "etl_user",
            "SNOWFLAKE_ROLE": "transformer",
        }.items()
    )


def test_a_missing_connection_is_one_plain_sentence(no_credentials, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT", raising=False)
    with pytest.raises(AirflowFailException) as error:
        project.use_connections({}, None)
    assert str(error.value) == (
        "The Airflow connection aws_default is missing or wrong: it gives no access key, and this machine has no role"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "a wrong passphrase"},
        {"password": None},
        {"private_key_content": "garbage-of-a-key"},
        {"private_key_content": "-----BEGIN PRIVATE KEY-----\ngarbage-of-a-key\n-----END PRIVATE KEY-----"},
        {"private_key_file": "/nowhere/key.p8", "private_key_content": None},
        {"account": None},
    ],
)
def test_a_bad_key_is_named_and_not_shown(no_credentials, monkeypatch, caplog, changes):
    """Neither it nor its passphrase, in the error or in a log."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase")).decode()
    extra = {"account": "acme", "private_key_content": pem} | {k: v for k, v in changes.items() if k != "password"}
    snowflake = {"conn_type": "snowflake", "login": "etl_user", "password": changes.get("password", "a passphrase")}
    snowflake["extra"] = {name: value for name, value in extra.items() if value}
    monkeypatch.setenv("AIRFLOW_CONN_SNOWFLAKE_PROD", json.dumps(snowflake))
    monkeypatch.setattr(project, "TARGET", "snowflake")
    with pytest.raises(
        AirflowFailException, match="The Airflow connection snowflake_prod is missing or wrong: "
    ) as error:
        project.use_connections({}, None)
    shown = "".join(traceback.format_exception(error.value)) + caplog.text
    secrets = ("a passphrase", "a wrong passphrase", "garbage-of-a-key", *pem.splitlines()[3:5])
    assert [secret for secret in secrets if secret in shown] == []
