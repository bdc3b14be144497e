"""What Airflow's side of events does without Airflow running: the connection, shares, the lag, and what is new."""

import hashlib
import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from orchestration import arrivals, kafka, report, settings
from orchestration.alerts import callbacks
from orchestration.arrivals import Arrivals, Known, compare
from orchestration.events import broker as events_broker
from orchestration.events import chain
from orchestration.events.chain import Share
from orchestration.events.errors import LossError
from orchestration.events.lag import Lag, duration, is_to_be_told, lag_of
from orchestration.events.lander import Limits, Partition
from orchestration.events.objects import objects_at
from orchestration.events.silence import Silence, silence_of
from orchestration.events.silence import is_to_be_told as silence_is_to_be_told
from orchestration.retries import RetryUnlessToMend
from support.events import TOPIC, landed, numbered, run, start_of
from support.events import compare as compare_with_log

NOW = datetime(2024, 1, 5, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def connection(monkeypatch):
    """Sets the connection of Kafka; without anything there is none."""

    def is_now(**parts):
        monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps({"conn_type": "kafka"} | parts))

    monkeypatch.delenv("AIRFLOW_CONN_KAFKA_DEFAULT", raising=False)
    return is_now


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ({"extra": {"bootstrap.servers": "a:1,b:2"}}, {"bootstrap.servers": "a:1,b:2"}),
        ({"host": "a"}, {"bootstrap.servers": "a:9092"}),
        (
            {"host": "a", "port": 1, "login": "me", "password": "hush", "extra": {"security.protocol": "SASL_SSL"}},
            {
                "bootstrap.servers": "a:1", "sasl.username": "me", "sasl.password": "hush",
                "security.protocol": "SASL_SSL",
            },
        ),
        # What the extra says is in force.
        (
            {"host": "a", "login": "me", "extra": {"bootstrap.servers": "b:2", "sasl.username": "other", "n": 5}},
            {"bootstrap.servers": "b:2", "sasl.username": "other", "n": 5},
        ),
    ],
)  # fmt: skip
def test_a_connection_becomes_the_settings_of_librdkafka(connection, parts, found):
    connection(**parts)
    assert kafka.kafka_settings() == found


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (None, "kafka_default is missing or wrong: "),
        ({}, "kafka_default is missing or wrong: it names no broker: it needs bootstrap.servers in its extra"),
        (
            {"password": "hush", "extra": "{hush"},
            "kafka_default is missing or wrong: its extra must be one JSON object",
        ),
        ({"extra": '["hush"]'}, "kafka_default is missing or wrong: its extra must be one JSON object"),
    ],
)
def test_a_connection_that_cannot_be_is_named_without_its_secrets(connection, parts, says):
    if parts is not None:
        connection(**parts)
    with pytest.raises(AirflowFailException, match=says) as raised:
        kafka.kafka_settings()
    assert "hush" not in str(raised.value)


def test_settings_that_librdkafka_does_not_take_are_those_of_the_connection(connection, context, monkeypatch):
    monkeypatch.setattr(kafka, "use_landing_zone", lambda: None)
    connection(host="localhost", extra={"sasl.password": "hush", "no.such": "setting"})
    says = 'The Airflow connection kafka_default is missing or wrong: .*"no.such"'
    with pytest.raises(AirflowFailException, match=says) as raised:
        kafka.consume(context)
    assert "hush" not in str(raised.value)


def test_shares_land_what_one_run_does(kafka_topic, tmp_path):
    kafka_topic.send(TOPIC, numbered(3, 75))
    shares = [Share(index, 2) for index in range(2)]
    done = [run(kafka_topic.address, tmp_path, share=share) for share in shares]
    assert [[one.partition for one in each.partitions] for each in done] == [[0, 2], [1]]
    compare_with_log(kafka_topic.address, tmp_path, range(3))
    assert [run(kafka_topic.address, tmp_path, share=share).events for share in shares] == [0, 0]


def test_a_share_finds_what_is_lost_of_its_own_and_the_first_accepts_for_all(kafka_topic, tmp_path):
    kafka_topic.send(TOPIC, numbered(3, 30))
    run(kafka_topic.address, tmp_path)
    kafka_topic.send(TOPIC, numbered(3, 30, first=30))
    kafka_topic.expire(TOPIC, 1, 14)
    with pytest.raises(LossError) as raised:
        run(kafka_topic.address, tmp_path, share=Share(1, 2))
    assert raised.value.lost == ["partition 1: offsets 10 to 13 have expired before they were landed"]
    # The others have lost nothing, and land on.
    assert run(kafka_topic.address, tmp_path, share=Share(0, 2)).events == 20
    assert run(kafka_topic.address, tmp_path, share=Share(1, 2), accept_loss=True).partitions == []
    done = run(kafka_topic.address, tmp_path, share=Share(0, 2), accept_loss=True)
    assert [one.partition for one in done.partitions] == [0, 1, 2]
    assert [loss["first"] for loss in start_of(tmp_path, 1)["losses"]] == [10]
    rows = landed(tmp_path)
    assert [row[0] for row in rows[0, 1] + rows[1, 1]] == [*range(10), *range(14, 20)]
    assert [row[0] for row in rows[0, 0] + rows.get((1, 0), [])] == [*range(20)]
    assert [run(kafka_topic.address, tmp_path, share=Share(index, 2)).events for index in range(2)] == [0, 0]


def test_a_partition_that_is_gone_is_of_its_share(kafka_topic, tmp_path):
    kafka_topic.send(TOPIC, numbered(3, 30))
    run(kafka_topic.address, tmp_path)
    kafka_topic.delete(TOPIC)
    kafka_topic.create(TOPIC, 2)
    found = []
    for index in range(2):
        with pytest.raises(LossError) as raised:
            run(kafka_topic.address, tmp_path, share=Share(index, 2))
        found.append([said.split(":")[0] for said in raised.value.lost])
    assert found == [["partition 0", "partition 2"], ["partition 1"]]


def test_no_retry_brings_back_what_is_lost():
    lost = LossError("t", ["partition 1: gone"], "start.json")
    assert RetryUnlessToMend().evaluate(lost, 1, 3).action.value == "fail"
    assert RetryUnlessToMend().evaluate(events_broker.EventsError("no broker"), 1, 3).action.value == "default"


@pytest.fixture
def kafka_topic(kafka_server):
    """A local Kafka with an empty topic of three partitions; the name `kafka` is that of a module here."""
    kafka_server.create(TOPIC, 3)
    yield kafka_server
    kafka_server.delete(TOPIC)


def test_what_is_left_has_an_age(kafka_topic, tmp_path):
    """That of the first event behind the end of the chain."""
    sent_at = datetime.now(UTC).timestamp() - 3600
    events = [(0, None, b"%d" % n, int((sent_at + 60 * n) * 1000)) for n in range(30)]
    kafka_topic.send(TOPIC, events)
    done = run(kafka_topic.address, tmp_path, limits=Limits(10, events=20, patience=5))
    assert done.partitions[0].behind == 10
    assert 3600 - 20 * 60 <= done.partitions[0].age < 3600 - 19 * 60
    assert [one.age for one in done.partitions[1:]] == [0, 0]
    assert run(kafka_topic.address, tmp_path).partitions[0].age == 0


def test_a_lag_that_does_not_shrink_for_an_hour_is_told_once_until_it_has_shrunk():
    lag, told, ages = None, [], [0, 5, 5, 9, 12, 12, 20, 11, 12, 13, 14, 15, 0, 3]
    for number, behind in enumerate(ages):
        now = NOW + number * HOUR / 3
        lag = lag_of(behind, behind * 2.0, lag, now)
        if is_to_be_told(lag, now, HOUR):
            told.append(number)
            lag = Lag(lag.behind, lag.age, lag.since, told=True)
    # From the second run on for an hour; then it shrinks in the eighth.
    assert told == [4, 10]
    assert lag == Lag(3, 6.0, (NOW + 13 * HOUR / 3).isoformat(timespec="seconds"))


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (119, "119 s"), (600, "10 min"), (7200, "2 h"), (180000, "2 days")]
)
def test_a_time_is_said_as_people_do(seconds, said):
    assert duration(seconds) == said


@pytest.fixture
def context():
    """What Airflow hands to a task of a run; `runs` is what earlier ones have said, by their ids."""
    runs, said = {}, {}
    ti = SimpleNamespace(
        task_id="consume_kafka_events", map_index=-1, log_url="http://airflow/log",
        xcom_push=lambda key, value: said.update({key: value}),
        xcom_pull=lambda task_ids, key, run_id, map_indexes: runs[run_id].get(key),
        get_previous_ti=lambda state, map_index: SimpleNamespace(run_id=max(runs)) if runs else None,
    )  # fmt: skip
    limits = {"topic": TOPIC, "batch_size": 10, "most_events": 100, "most_seconds": 60}
    return {
        "ti": ti, "runs": runs, "said": said, "dag": SimpleNamespace(dag_id="realtime_event_ingestion"),
        "dag_run": SimpleNamespace(logical_date=NOW, run_after=datetime.now(UTC)),
        "params": limits | {"start": "earliest", "accept_loss": False},
    }  # fmt: skip


def test_the_lag_goes_from_run_to_run_and_is_told(context, monkeypatch):
    told = []
    monkeypatch.setattr(callbacks, "_post_and_mail", lambda context, message, link: told.append(message))
    earlier = asdict(Lag(500, 60, (datetime.now(UTC) - HOUR).isoformat()))
    context["runs"]["a"] = {"lag of user.events.v1": earlier}
    assert kafka._lag(context, [Partition(0, 0, 10, behind=400, age=7300), Partition(1, 0, 9, behind=200)], 0)["told"]
    [message] = told
    assert message.startswith("⚠️ DAG realtime_event_ingestion falls behind topic user.events.v1\nLag: 600 offsets")
    assert "the oldest of their events has waited for 2 h; it has not shrunk since 20" in message
    # The next one knows that.
    context["runs"]["b"] = dict(context["said"])
    assert kafka._lag(context, [Partition(0, 0, 10, behind=700)], 0)["told"]
    # Of another topic nothing is known, and a run without a date has none before it.
    assert not kafka._lag(context | {"params": {"topic": "other"}}, [Partition(0, 0, 10, behind=700)], 0)["told"]
    without = context | {"dag_run": SimpleNamespace(logical_date=None)}
    assert not kafka._lag(without, [Partition(0, 0, 10, behind=700)], 0)["told"]
    assert len(told) == 1


def test_a_topic_of_which_nothing_comes_is_told_once_a_day_until_something_comes():
    day = timedelta(days=1)
    silence = silence_of(0, None, NOW)
    assert silence == Silence(NOW.isoformat())
    assert not silence_is_to_be_told(silence, NOW + day - HOUR, day)
    silence = silence_of(0, silence, NOW + day)
    assert silence_is_to_be_told(silence, NOW + day, day)
    told = Silence(silence.since, (NOW + day).date().isoformat())
    assert silence_of(0, told, NOW + day + HOUR) == told
    assert not silence_is_to_be_told(told, NOW + day + HOUR, day)
    assert silence_is_to_be_told(told, NOW + 2 * day, day)
    assert silence_of(1, told, NOW + 2 * day) == Silence((NOW + 2 * day).isoformat())


def test_the_silence_goes_from_run_to_run_and_is_told(context, monkeypatch):
    told = []
    monkeypatch.setattr(callbacks, "_post_and_mail", lambda context, message, link: told.append(message))
    kafka._silence(context, 0, 0)
    assert told == []
    since = (datetime.now(UTC) - 25 * HOUR).isoformat(timespec="seconds")
    context["runs"]["a"] = {"silence of user.events.v1": {"since": since}}
    kafka._silence(context, 0, 0)
    [message] = told
    says = f"🔇 DAG realtime_event_ingestion: no event has come of topic user.events.v1 since {since[:16]}\n"
    assert message.startswith(says)
    # The next one knows that; what comes ends it.
    context["runs"]["b"] = dict(context["said"])
    kafka._silence(context, 0, 0)
    assert context["said"]["silence of user.events.v1"]["since"] == since
    kafka._silence(context, 1, 0)
    assert context["said"]["silence of user.events.v1"]["since"] > since
    assert len(told) == 1
    # A run of the past that is cleared knows nothing of today.
    context["runs"]["c"] = context["runs"]["a"]
    past = SimpleNamespace(logical_date=NOW, run_after=NOW)
    kafka._silence(context | {"dag_run": past}, 0, 0)
    assert len(told) == 1
    # One task of several knows of its own partitions.
    monkeypatch.setattr(settings, "CONSUMERS", 3)
    context["runs"]["c"] = context["runs"]["a"]
    kafka._silence(context, 0, 2)
    assert "of topic user.events.v1, share 2 of 3 of its partitions, since" in told[-1]


def test_consuming_says_what_has_landed_and_needs_no_warehouse(kafka_topic, context, connection, tmp_path, monkeypatch):
    monkeypatch.setattr(kafka, "use_landing_zone", lambda: None)
    monkeypatch.setitem(kafka.ENV, "LANDING_ROOT", str(tmp_path))
    monkeypatch.setattr(report, "ask", lambda _: pytest.fail("the warehouse was asked"))
    connection(extra={"bootstrap.servers": kafka_topic.address})
    kafka_topic.send(TOPIC, numbered(3, 75))
    done = kafka.consume(context)
    assert (done["events"], done["lag"]["behind"], done["losses"]) == (75, 0, [])
    assert json.loads(json.dumps(done)) == done
    # What one run may take is shared out.
    monkeypatch.setattr(settings, "CONSUMERS", 2)
    kafka_topic.send(TOPIC, numbered(3, 300, first=75))
    assert [kafka.consume(context, share)["events"] for share in range(2)] == [50, 50]


def put(root, path, content=b"x"):
    """Lands an object of no content that matters."""
    assert objects_at(str(root)).create(path, content)
    return path


FOLDER = f"{chain.folder_of(TOPIC)}/0"
NAMES = [f"{offset:020d}.parquet" for offset in (0, 10, 200_000)]


@pytest.mark.parametrize(
    ("known", "found"),
    [
        (Known(), Arrivals({f"{FOLDER}/0": "", f"{FOLDER}/1": ""}, [], False)),
        (Known({f"{FOLDER}/0": NAMES[2], f"{FOLDER}/1": NAMES[0]}, is_built=True), None),
        (Known({f"{FOLDER}/0": NAMES[1], f"{FOLDER}/1": NAMES[0]}, is_built=True),
         Arrivals({f"{FOLDER}/0": NAMES[1]}, [], True)),
        (Known({f"{FOLDER}/0": NAMES[2]}, is_built=True), Arrivals({f"{FOLDER}/1": ""}, [], True)),
        # A load was killed; production was never built.
        (Known({f"{FOLDER}/0": NAMES[2], f"{FOLDER}/1": NAMES[0]}, unfinished=["a"], is_built=True),
         Arrivals({}, ["a"], True)),
        (Known({f"{FOLDER}/0": NAMES[2], f"{FOLDER}/1": NAMES[0]}), Arrivals({}, [], False)),
    ],
)  # fmt: skip
def test_what_has_arrived(tmp_path, known, found):
    for name in NAMES:
        put(tmp_path, f"{FOLDER}/0/{name}")
    put(tmp_path, f"{FOLDER}/1/{NAMES[0]}")
    put(tmp_path, f"{FOLDER}/start.json")
    arrived = compare(objects_at(str(tmp_path)), known)
    assert arrived == (found or Arrivals({}, [], True))
    assert bool(arrived) == (found is not None)


def test_a_refused_object_is_news_once_it_is_another_one_or_gone(tmp_path):
    path = put(tmp_path, f"{FOLDER}/0/{NAMES[0]}", b"nothing")
    known = Known({f"{FOLDER}/0": NAMES[0]}, refused={path: hashlib.sha256(b"nothing").hexdigest()}, is_built=True)
    objects = objects_at(str(tmp_path))
    assert not compare(objects, known)
    (tmp_path / path).write_bytes(b"mended")
    assert compare(objects, known) == Arrivals({}, [path], True)
    (tmp_path / path).unlink()
    assert compare(objects, known) == Arrivals({}, [path], True)


def test_a_run_without_news_starts_no_dbt(context, monkeypatch):
    monkeypatch.setattr(kafka, "use_connections", lambda *_: None)
    monkeypatch.setattr(arrivals, "find", lambda: Arrivals({}, [], True))
    with pytest.raises(AirflowSkipException):
        kafka.skip_unless_arrived(context)
    monkeypatch.setattr(arrivals, "find", lambda: Arrivals({"a": "b"}, ["c"], True))
    kafka.skip_unless_arrived(context)
    assert context["said"] == {"arrived": {"folders": {"a": "b"}, "objects": ["c"], "is_built": True}}


def test_a_loss_is_told_partition_by_partition_with_what_to_do(context, monkeypatch):
    told = []
    monkeypatch.setattr(callbacks, "_post_and_mail", lambda context, message, link, commands: told.append(message))
    lost = LossError(
        TOPIC, [f"partition {n}: offsets 10 to 13 have expired before they were landed" for n in range(9)], "s"
    )
    ti = SimpleNamespace(**vars(context["ti"]) | {"dag_id": "realtime_event_ingestion", "try_number": 1})
    callbacks.tell_failure(context | {"ti": ti, "exception": lost})
    lines = told[0].splitlines()
    assert lines[2] == "Problem: Topic user.events.v1: not all of it can be landed any more."
    assert lines[3:12] == [f"Lost: {one}" for one in lost.lost]
    assert "trigger the DAG by hand with accept_loss true" in lines[-1]
