"""The local stand-ins answer, and none of their processes outlives the one that started them."""

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from email.message import EmailMessage

import httpx
import psutil
import psycopg2
import pytest

from orchestration.local import services
from orchestration.local.errors import LocalError
from orchestration.local.runtime.postgres import postgres
from orchestration.local.runtime.processes import Supervised
from orchestration.local.services import sole_user
from orchestration.local.stand_ins.chat import chat_sink
from orchestration.local.stand_ins.mail import mail_sink
from orchestration.local.stand_ins.s3 import storage

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("local_services")

# Starts what processes there are, a command with a child in a session of its own among them; tells what runs,
# and then ends in the way that it is told. (S3 is a thread of the owner like chat and mail, and slow to load.)
OWNER = """
import json, sys, time
from pathlib import Path
from orchestration.local.runtime.postgres import postgres
from orchestration.local import services
from orchestration.local.runtime.processes import Supervised
from orchestration.local.stand_ins.chat import chat_sink
from orchestration.local.stand_ins.mail import mail_sink
from orchestration.local.terminal import command

state = Path(sys.argv[1])
TREE = "import subprocess, time; subprocess.Popen(['sleep', '300'], start_new_session=True); time.sleep(300)"

def work():
    with (
        postgres(state / "postgres", state / "postgres.log") as database,
        chat_sink(state / "chat") as chat, mail_sink(state / "mail") as mail,
    ):
        database.wait()
        tree = Supervised("tree", [sys.executable, "-c", TREE], log=state / "tree.log")
        try:
            time.sleep(0.5)
            print(json.dumps([chat.address, mail.address]), flush=True)
            if sys.stdin.readline() == "exception\\n":
                raise RuntimeError("as told")
        finally:
            tree.stop()
    return 0

sys.exit(command("owner", work))
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """One folder for all owners: each finds what the one before has left."""
    return tmp_path_factory.mktemp("state")


@pytest.mark.parametrize(
    ("way_out", "code"),
    [("kill", -signal.SIGKILL), ("terminate", 143), ("interrupt", 130), ("exception", 1), ("end", 0)],
)
def test_nothing_outlives_its_owner(state, way_out, code):
    """Whatever ends the owner, kill -9 included, ends all processes and closes all ports."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    addresses = json.loads(owner.stdout.readline())
    started = psutil.Process(owner.pid).children(recursive=True)
    names = [process.name() for process in started]
    assert "sleep" in names
    assert names.count("postgres") > 3

    if way_out in ("exception", "end"):
        owner.communicate(way_out + "\n")
    else:
        signals = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM, "interrupt": signal.SIGINT}
        owner.send_signal(signals[way_out])

    assert owner.wait(15) == code
    _, alive = psutil.wait_procs(started, timeout=60)
    assert [process.name() for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    for address in addresses:
        host, port = address.removeprefix("http://").split(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=1).close()


def test_storage_keeps_what_has_landed(tmp_path):
    """What has landed is in S3 and in the folder, and is in S3 again after the next start."""
    with storage("lake", tmp_path) as s3:
        assert s3.land("raw/sales/a.csv", b"one")
        assert not s3.land("raw/sales/a.csv", b"one")
        assert s3.land("raw/sales/a.csv", b"two")
        assert s3.client.get_object(Bucket="lake", Key="raw/sales/a.csv")["Body"].read() == b"two"
    with storage("lake", tmp_path) as s3:
        listed = s3.client.list_objects_v2(Bucket="lake")["Contents"]
        assert [item["Key"] for item in listed] == ["raw/sales/a.csv"]
        assert s3.client.get_object(Bucket="lake", Key="raw/sales/a.csv")["Body"].read() == b"two"
        assert s3.endpoint.startswith("http://127.0.0.1:")
    with storage("lake", tmp_path / "another") as s3:
        assert "Contents" not in s3.client.list_objects_v2(Bucket="lake")


def test_chat_speaks_the_webhook_protocol(tmp_path):
    """JSON is kept and answered with ok; anything else is refused, as the real service does."""
    with chat_sink(tmp_path / "chat.jsonl") as chat:
        answer = httpx.post(f"{chat.address}/services/local", json={"text": "grün"}, trust_env=False)
        assert (answer.status_code, answer.text) == (200, "ok")
        assert httpx.post(chat.address, content=b"no json", trust_env=False).status_code == 400
        assert chat.messages == [{"text": "grün"}]
    assert json.loads((tmp_path / "chat.jsonl").read_text()) == {"text": "grün"}


def test_mail_is_kept(tmp_path):
    """A mail is kept with sender, recipients, subject and text."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "airflow@localhost", "data-alerts@company.com", "held ✗"
    mail.set_content("three rows")
    with mail_sink(tmp_path / "mail.jsonl") as sink:
        host, port = sink.address.split(":")
        with smtplib.SMTP(host, int(port)) as client:
            client.send_message(mail)
        (kept,) = sink.messages
    assert kept == {
        "from": "airflow@localhost",
        "to": ["data-alerts@company.com"],
        "subject": "held ✗",
        "text": "three rows\n",
    }


def test_postgres_answers_after_a_crash_of_the_server(state):
    """A server killed with -9 in an earlier session is recovered, and only a socket leads to it."""
    with postgres(state / "postgres", state / "postgres.log") as database:
        database.wait()
        postmaster = int((state / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
    with postgres(state / "postgres", state / "postgres.log") as database:
        database.wait()
        connection = psycopg2.connect(host=str(database.socket), user="postgres", dbname="postgres")
        cursor = connection.cursor()
        cursor.execute("show listen_addresses")
        assert cursor.fetchone() == ("",)
        connection.close()


def test_an_ended_command_is_reported(tmp_path):
    """A command that ends by itself is noticed, with where to read why."""
    process = Supervised("The thing", [sys.executable, "-c", "print('why')"], log=tmp_path / "thing.log")
    assert process.wait() == 0
    with pytest.raises(LocalError, match=r"The thing has ended.*thing\.log, ends with:\nwhy"):
        process.check()
    assert (tmp_path / "thing.log").read_text() == "why\n"


@pytest.mark.long
def test_a_port_that_is_taken_meanwhile_is_told(tmp_path, monkeypatch):
    """Between its choice and its use somebody else has taken Airflow's port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(services, "free_port", lambda: taken.getsockname()[1])
        started = services.local_services(tmp_path / "state", warehouse=tmp_path / "warehouse.duckdb")
        with pytest.raises(LocalError, match=r"(?s)api-server has ended unexpectedly.*address already in use"), started:
            pass


def test_the_state_has_one_user(tmp_path):
    """A second command in the same folder is told that there is a first."""
    with sole_user(tmp_path), pytest.raises(LocalError, match="Another `make run`"), sole_user(tmp_path):
        time.sleep(0)
