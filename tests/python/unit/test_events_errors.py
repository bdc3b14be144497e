"""The command that lands events, and what goes wrong with it: one sentence, without a secret."""

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from confluent_kafka import KafkaError

from orchestration.events import broker as events_broker
from orchestration.events.__main__ import main
from orchestration.events.errors import EventsError
from orchestration.landing.zones import LandingError
from orchestration.local.stand_ins.broker import FETCH
from support.events import TOPIC, numbered, objects, run
from support.reference import PROJECT


def command(kafka_address: str, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestration.events", "--bootstrap-servers", kafka_address, *arguments],
        cwd=PROJECT, env=os.environ | {"LANDING_ROOT": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command_says_which_offsets(kafka, tmp_path):
    kafka.send(TOPIC, numbered(2, 30))
    done = command(kafka.address, tmp_path, "--topic", TOPIC, "--batch-size", "10")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"30 events of {TOPIC} landed in {tmp_path}/raw/events/{TOPIC}/0",
        "  partition 0: offsets 0 to 14, 15 events in 2 objects",
        "  partition 1: offsets 0 to 14, 15 events in 2 objects",
        "  partition 2: nothing new, it stands at offset 0",
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--topic", "user.events.v2"], r"has no topic user\.events\.v2\. Check its name, or create it\."),
        (["--topic", "../up"], r"'\.\./up' cannot be a topic"),
        (["--settings", "no.json"], r"The settings .*no\.json cannot be read: No such file or directory\."),
        (["--settings", "broken.json"], r"The settings .*broken\.json cannot be read: it is not JSON\."),
        (["--settings", "wrong.json"], r'The settings of the connection to Kafka cannot be: .*"sasl\.words"'),
        (["--bootstrap-servers", "127.0.0.1:1"], r"^No broker at 127\.0\.0\.1:1 answers within 2 seconds, .*refused"),
        (["--bootstrap-servers", "no.host.invalid:9"], r"^No broker at no\.host\.invalid:9 answers"),
    ],
)
def test_what_goes_wrong_is_one_sentence(kafka, tmp_path, monkeypatch, capsys, change, says):
    (tmp_path / "broken.json").write_text('{"sasl.password": "secret of the broker"')
    (tmp_path / "wrong.json").write_text('{"sasl.words": "secret of the broker"}')
    change = [str(tmp_path / word) if word.endswith(".json") else word for word in change]
    monkeypatch.setenv("LANDING_ROOT", str(tmp_path))
    given = ["--bootstrap-servers", kafka.address, "--topic", TOPIC, "--patience", "2", *change]
    assert main(given) == 1
    said = capsys.readouterr()
    assert said.out == ""
    [line] = said.err.splitlines()
    assert re.search(says, line), line
    assert "secret of the broker" not in line


def test_a_landing_root_that_is_not_there(kafka, tmp_path):
    with pytest.raises(LandingError, match="is not a folder"):
        run(kafka.address, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            "does not let this user read topic user.events.v1, partition 0, offset 0",
        ),
        (KafkaError.OFFSET_OUT_OF_RANGE, "no longer has topic user.events.v1, partition 0, offset 0: it went while"),
    ],
)
def test_an_error_of_a_fetch_names_where(kafka, tmp_path, error, says):
    kafka.send(TOPIC, numbered(1, 30))
    kafka.fail(FETCH, *[error] * 5)
    try:
        with pytest.raises(EventsError) as raised:
            run(kafka.address, tmp_path)
    finally:
        kafka.fail(FETCH)
    assert says in str(raised.value)


def test_silence_is_not_the_end_of_the_log(kafka, tmp_path, monkeypatch):
    kafka.send(TOPIC, numbered(1, 30))
    assign = events_broker.Broker._assign

    def assign_nothing(self, _) -> None:
        assign(self, {})

    monkeypatch.setattr(events_broker.Broker, "_assign", assign_nothing)
    with pytest.raises(EventsError, match=r"said nothing for 1 seconds of topic .*, partition 0, from offset 0 on"):
        run(kafka.address, tmp_path, patience=1)
    assert not objects(tmp_path)


def test_a_chain_without_its_start_or_with_a_stranger_is_told(kafka, tmp_path):
    kafka.send(TOPIC, numbered(3, 30))
    run(kafka.address, tmp_path)
    folder = tmp_path / f"raw/events/{TOPIC}/0"
    duckdb.sql("select 1 as one").write_parquet(str(folder / "1" / "stranger.parquet"))
    with pytest.raises(EventsError, match=r"1/stranger\.parquet is not an object that was landed here"):
        run(kafka.address, tmp_path)
    (folder / "1" / "stranger.parquet").unlink()
    (folder / "start.json").unlink()
    with pytest.raises(EventsError, match=r"has no start\.json"):
        run(kafka.address, tmp_path)


def test_a_run_that_was_killed_before_it_began_leaves_nothing(kafka, tmp_path):
    (tmp_path / f"raw/events/{TOPIC}/0").mkdir(parents=True)
    assert run(kafka.address, tmp_path).folder == f"raw/events/{TOPIC}/0"


@pytest.mark.fast
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        *((name, False) for name in ("sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem")),
        *((name, False) for name in ("sasl.username", "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config")),
        *((name, True) for name in ("client.id", "ssl.ca.location", "sasl.mechanism")),
    ],
)
def test_no_secret_is_in_an_error(name, shown):
    value = "a  secret\nof several words " * 20
    settings = {"bootstrap.servers": "127.0.0.1:1", "client.id": "x"} | {name: value}
    with closing(events_broker.Broker({"bootstrap.servers": "127.0.0.1:1"}, TOPIC, 1)) as client:
        client.settings = settings
        said = client._said(ValueError(f"what came of {value} is this"))
    assert ("secret" in said) is shown
