"""What Datadog's agent and CloudWatch were sent, both stood in for."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import boto3

from orchestration.local.stand_ins.s3 import KEY, REGION, SECRET
from orchestration.local.stand_ins.sink import Sink

# A metric by its name and its tags.
Key = tuple[str, frozenset[tuple[str, str]]]
# What the scheduler sends comes a moment after it has shown it.
SECONDS = 20


def key(name: str, **tags: object) -> Key:
    """A metric's name and tags, as a key."""
    return name, frozenset((tag, str(value)) for tag, value in tags.items())


class Measured:
    """What an agent receives from now on, or since it had received so many."""

    def __init__(self, sink: Sink, since: int | None = None) -> None:
        self.sink = sink
        self.start = len(sink.messages) if since is None else since

    def values(self) -> dict[Key, list[float]]:
        """All values of each metric, in the order in which they came."""
        found = defaultdict(list)
        for one in self.sink.messages[self.start :]:
            found[key(one["name"], **one["tags"])].append(one["value"])
        return dict(found)

    def counts(self, name: str, **tags: object) -> dict[str, int]:
        """How often something was counted with these tags and a task, by the task."""
        wanted, found = frozenset(key(name, **tags)[1]), Counter()
        for (one, having), values in self.values().items():
            if one == name and wanted < having:
                found[dict(having - wanted)["task"]] += int(sum(values))
        return dict(found)

    def last(self, name: str, seconds: float = SECONDS, **tags: object) -> float:
        """The newest value of a metric, which is waited for."""
        deadline = time.monotonic() + seconds
        while not (values := self.values().get(key(name, **tags))):
            assert time.monotonic() < deadline, f"{name} of {tags} did not come: {sorted(map(str, self.values()))}"
            time.sleep(0.1)
        return values[-1]

    def load(self, dag: str, feed: str) -> dict[str, float]:
        """The newest values of all that is measured of a load."""
        begin = "pipeline.load."
        return {
            name.removeprefix(begin): values[-1]
            for (name, tags), values in self.values().items()
            if name.startswith(begin) and tags == key("", dag=dag, feed=feed)[1]
        }


def in_cloudwatch(endpoint: str, namespace: str) -> Mapping[Key, tuple[int, float, str]]:
    """Of each metric how many values CloudWatch has, their sum, and their unit."""
    client = boto3.client(
        "cloudwatch", endpoint_url=endpoint, region_name=REGION, aws_access_key_id=KEY, aws_secret_access_key=SECRET
    )
    now = datetime.now(UTC)
    found = {}
    for metric in _listed(client, namespace):
        points = client.get_metric_statistics(
            Namespace=namespace,
            MetricName=metric["MetricName"],
            Dimensions=metric["Dimensions"],
            StartTime=now - timedelta(hours=3),
            EndTime=now + timedelta(hours=3),
            Period=86400,
            Statistics=["SampleCount", "Sum"],
        )["Datapoints"]
        tags = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
        found[key(metric["MetricName"], **tags)] = (
            int(sum(one["SampleCount"] for one in points)),
            sum(one["Sum"] for one in points),
            {one["Unit"] for one in points}.pop(),
        )
    return {one: _alone(one, found) for one in found}


def _alone(one: Key, found: Mapping[Key, tuple[int, float, str]]) -> tuple[int, float, str]:
    """A metric without what moto counts with it: those of its name that have all of its tags and more."""
    more = [values for (name, tags), values in found.items() if name == one[0] and tags > one[1]]
    count, total, unit = found[one]
    return count - sum(values[0] for values in more), total - sum(values[1] for values in more), unit


def _listed(client, namespace: str) -> Iterator[dict]:
    seen = set()
    for page in client.get_paginator("list_metrics").paginate(Namespace=namespace):
        for metric in page["Metrics"]:
            one = key(metric["MetricName"], **{tag["Name"]: tag["Value"] for tag in metric["Dimensions"]})
            if one not in seen:
                seen.add(one)
                yield metric
