"""Runs of events, from Kafka to production."""

import html
import json

import pytest

from orchestration.local.demos import events_files
from support.dag_runs import hunt, scheduled_run

# One Airflow is started for all of them.
pytestmark = pytest.mark.xdist_group("dag_runs")


def test_events_are_landed_and_loaded_once_each_whatever_is_killed(airflow, told, measured):
    """The topic is another one than that of the schedule, whose runs find nothing in it."""
    client, dag_id, kafka = airflow.airflow, "realtime_event_ingestion", airflow.services.kafka
    topic, tasks = "events.of.tests", ("consume_kafka_events", "transform_events", "load_to_warehouse")
    for name in (topic, events_files.TOPIC):
        kafka.create(name, events_files.PARTITIONS)
    sent = list(events_files.events(1500))
    kafka.send(topic, sent[:1000])
    scheduled_run(client, dag_id)

    def run(minute, act=lambda tries: None, **parameters):
        run_id = client.start(dag_id, f"2024-01-05T10:{minute:02}", {"topic": topic} | parameters)
        found = client.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        act({one["id"]: one["task_id"] for one in found})
        return client.wait(dag_id, run_id)

    def loaded():
        return airflow.query(
            f"select count(*), count(distinct event_id) from prod.usage_events where kafka_topic = '{topic}'"
        )

    first = run(0)
    assert {task.task: task.state for task in first.tasks} == dict.fromkeys(tasks, "success")
    events = ids(sent[:1000])
    assert loaded() == [(len(events), len(events))]
    rejected = airflow.query(f"select count(*) from staging.rejected_events where kafka_topic = '{topic}'")[0][0]
    [text] = [text for text in told()[0] if "2024-01-05T10:00" in text]
    assert text == (
        f"✅ DAG {dag_id} completed for 2024-01-05T10:00\nLoaded 4 objects, events: 1,000 received, {len(events)} "
        f"current, {1000 - rejected - len(events)} duplicates, {rejected} rejected\nLag: none"
    )

    # Nothing new: no dbt, and no word of it.
    assert {task.task: task.state for task in run(5).tasks} == dict(
        zip(tasks, ("success", "skipped", "skipped"), strict=True)
    )
    assert "2024-01-05T10:05" not in str(told())
    load = measured.load(dag_id, "events")
    assert load.pop("freshness") > 0
    assert load == {"rows_received": 1000, "rows_merged": len(events), "rows_rejected": rejected, "rows_held": 0}
    lag = {"dag": dag_id, "topic": topic, "share": 0}
    assert (measured.last("pipeline.events.lag", **lag), measured.last("pipeline.events.lag_age", **lag)) == (0, 0)

    # Lost before it landed: told at once, without a retry.
    kafka.send(topic, sent[1000:])
    old = sum(1 for partition, *_ in sent[:1000] if partition == 2)
    kafka.expire(topic, 2, old + 7)
    failed = run(10)
    assert [(task.state, task.tries) for task in failed.tasks if task.task == tasks[0]] == [("failed", 1)]
    for texts in told():
        [text] = [html.unescape(text) for text in texts if "2024-01-05T10:10" in text]
        assert f"Lost: partition 2: offsets {old} to {old + 6} have expired before they were landed" in text
        assert "trigger the DAG by hand with accept_loss true" in text

    # Gone on from on purpose, by tasks that are killed when they have opened the warehouse: their retries finish it.
    killed = set(tasks[1:])

    def kill_them(tries):
        hunt(airflow.warehouse, {ti: task for ti, task in tries.items() if task in killed}, False, False)

    healed = run(15, kill_them, accept_loss=True)
    assert healed.state == "success"
    assert {task.task for task in healed.tasks if task.tries == 2} == killed
    of_partition = [event for event in sent[1000:] if event[0] == 2]
    there = [event for event in sent[1000:] if event[0] != 2] + of_partition[7:]
    assert loaded() == [(len(ids(sent[:1000] + there)),) * 2]
    client.call("PATCH", f"dags/{dag_id}", json={"is_paused": True})


def ids(messages):
    """The ids of the events that some messages are; those that are none are left out."""
    return {json.loads(value)["event_id"] for _, _, value, _ in messages if value not in events_files.BAD.values()}
