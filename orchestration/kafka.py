"""Reads Kafka for Airflow: by the connection that the settings name, into the landing zone."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.log import mask_secret

from orchestration import arrivals, metrics, settings
from orchestration.alerts import text
from orchestration.alerts.callbacks import ARRIVED, tell_lag, tell_silence
from orchestration.project import ENV, read_connection, use_connections, use_landing_zone

log = logging.getLogger(__name__)


def kafka_settings() -> dict[str, Any]:
    """librdkafka's settings: the connection's extra, as Airflow's own provider of Kafka has it, and what of them its
    other fields add.

    Raises AirflowFailException, with its name, if it is missing or incomplete.
    """
    return read_connection(settings.KAFKA_CONNECTION, _of_kafka)


def _of_kafka() -> dict[str, Any]:
    connection = BaseHook.get_connection(settings.KAFKA_CONNECTION)
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        # Not what is wrong with it: that would show some of it.
        raise ValueError("its extra must be one JSON object of librdkafka's names and their values") from None
    mask_secret(extra)
    # Port 9092 is Kafka's own.
    address = f"{connection.host}:{connection.port or 9092}" if connection.host else None
    other = {
        "bootstrap.servers": address,
        "sasl.username": connection.login or None,
        "sasl.password": connection.password or None,
    }
    found = {name: value for name, value in other.items() if value is not None} | extra
    if not found.get("bootstrap.servers"):
        raise ValueError("it names no broker: it needs bootstrap.servers in its extra, or a host and a port")
    return found


def consume(context: Any, share: int = 0) -> dict[str, Any]:
    """Lands what the topic of a run has that has not landed; the partitions of one share, if they are shared out.

    Returns, for the record, what has landed and how far the landing zone is behind. A lag that has grown for long is
    told.
    """
    # Here, for a DAG file that imports them is slow to read.
    from orchestration.events.chain import Share
    from orchestration.events.errors import SettingsError
    from orchestration.events.lander import Limits, land
    from orchestration.events.text import said

    params, shares = context["params"], settings.CONSUMERS
    kafka = kafka_settings()
    use_landing_zone()
    root = ENV["LANDING_ROOT"]
    try:
        landed = land(
            kafka,
            params["topic"],
            root,
            start=params["start"],
            accept_loss=params["accept_loss"],
            limits=Limits(
                params["batch_size"],
                -(-params["most_events"] // shares),
                params["most_seconds"],
                settings.KAFKA_SECONDS,
            ),
            share=Share(share, shares),
        )
    except SettingsError as error:
        name = settings.KAFKA_CONNECTION
        raise AirflowFailException(f"The Airflow connection {name} is missing or wrong: {error}") from None
    for line in said(landed, params["topic"], root):
        log.info(line)
    if landed.partitions:
        _silence(context, landed.events, share)
    lag = _lag(context, landed.partitions, share)
    metrics.send(lambda: _measured(lag, dag=context["dag"].dag_id, topic=params["topic"], share=share))
    return asdict(landed) | {"events": landed.events, "lag": lag}


def skip_unless_arrived(context: Any) -> None:
    """Before the transform: skips it, and with it all that follows, if all that has landed is loaded."""
    use_connections(context, None)
    arrived = arrivals.find()
    if not arrived:
        raise AirflowSkipException("Nothing to do: all events that have landed are loaded.")
    context["ti"].xcom_push(ARRIVED, asdict(arrived))


def _share_of(share: int) -> str:
    """Which share of a topic a task reads, in words; nothing where one reads all of it."""
    return f", share {share} of {settings.CONSUMERS} of its partitions," if settings.CONSUMERS > 1 else ""


def _lag(context: Any, partitions: Any, share: int) -> dict[str, Any]:
    from orchestration.events.lag import Lag, is_to_be_told, lag_of

    topic, now = context["params"]["topic"], datetime.now(UTC)
    earlier = _said_before(context, f"lag of {topic}")
    behind, age = sum(one.behind for one in partitions), max((one.age for one in partitions), default=0)
    lag = lag_of(behind, age, Lag(**earlier) if earlier else None, now)
    if is_to_be_told(lag, now, timedelta(minutes=settings.LAG_MINUTES)):
        tell_lag(context, topic, _share_of(share), lag)
        lag = replace(lag, told=True)
    context["ti"].xcom_push(f"lag of {topic}", asdict(lag))
    log.info("Lag: %s", text.lag_of(lag.behind, lag.age))
    return asdict(lag)


def _measured(lag: dict[str, Any], **tags: object) -> list[metrics.Metric]:
    return [
        metrics.gauge("pipeline.events.lag", lag["behind"], **tags),
        metrics.gauge("pipeline.events.lag_age", lag["age"], metrics.SECONDS, **tags),
    ]


def _silence(context: Any, events: int, share: int) -> None:
    """Tells once a day that nothing comes of a topic."""
    from orchestration.events.silence import Silence, is_to_be_told, silence_of

    topic, now = context["params"]["topic"], datetime.now(UTC)
    # A run of the past that is cleared knows what was said then.
    if now - context["dag_run"].run_after > timedelta(days=1):
        return
    earlier = _said_before(context, f"silence of {topic}")
    silence = silence_of(events, Silence(**earlier) if earlier else None, now)
    if is_to_be_told(silence, now, timedelta(hours=settings.SILENT_HOURS)):
        tell_silence(context, topic, _share_of(share), silence.since)
        silence = replace(silence, told=now.date().isoformat())
    context["ti"].xcom_push(f"silence of {topic}", asdict(silence))


def _said_before(context: Any, key: str) -> dict[str, Any] | None:
    """What the run before has left for this one. A run without a date has none before it."""
    ti = context["ti"]
    if not context["dag_run"].logical_date:
        return None
    before = ti.get_previous_ti(state="success", map_index=ti.map_index)
    if before is None:
        return None
    return ti.xcom_pull(task_ids=ti.task_id, key=key, run_id=before.run_id, map_indexes=ti.map_index)
