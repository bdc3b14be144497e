"""Datadog's agent, over UDP: where DD_AGENT_HOST and DD_DOGSTATSD_PORT say, which Datadog's library reads."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from datadog.dogstatsd.base import DogStatsd

from orchestration.metrics.metric import COUNT, GAUGE, Metric

# What it has to say is said once, by who sends.
logging.getLogger("datadog.dogstatsd").setLevel(logging.CRITICAL)


def send(metrics: Sequence[Metric]) -> None:
    """Sends metrics, in one packet if they fit; raises what a host that is not known raises.

    UDP is not answered: whether an agent hears it is not known.
    """
    client = DogStatsd(disable_telemetry=True, track_instance=False)
    # Else the library would say nothing of a host that is not known.
    client.get_socket()
    try:
        with client:
            sends = {COUNT: client.increment, GAUGE: client.gauge}
            for one in metrics:
                tags = [f"{name}:{value}" for name, value in one.tags.items()]
                sends.get(one.kind, client.timing)(one.name, one.value, tags=tags)
            if not client.flush():
                raise OSError("the agent's machine refuses it")
    finally:
        client.close_socket()
