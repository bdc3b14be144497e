"""Hands metrics to the channels that the setting METRICS names.

Data never waits for metrics: each channel is tried once, in a thread of its own, and what fails or takes long is one
line in the log.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module

from orchestration import settings
from orchestration.metrics.metric import Metric

log = logging.getLogger(__name__)

# Each has a function `send`. They are imported only when they are asked for.
CHANNELS = {"datadog": "orchestration.metrics.dogstatsd", "cloudwatch": "orchestration.metrics.cloudwatch"}
# So many may be on their way at a time from a process that does not wait for them.
MOST = 20

_threads: list[threading.Thread] = []


def send(measure: Callable[[], Sequence[Metric]], wait: bool = True) -> None:
    """Sends what a function measures, all of it at once. It never raises, whatever that function does, which is not
    even called without METRICS.

    A task waits, for its process ends soon, but not longer than for chat or mail. What must go on at once, Airflow's
    scheduler above all, does not.
    """
    if not settings.METRICS:
        return
    try:
        if measured := measure():
            _send(measured, wait)
    except Exception as error:
        _failed("any channel", error)


def modules() -> list[str]:
    """The modules of the channels that are asked for."""
    return [CHANNELS[name] for name in settings.METRICS if name in CHANNELS]


@cache
def _channels() -> tuple[str, ...]:
    # Any other setting that cannot be stops the DAGs; no load is to be stopped for want of metrics.
    for word in settings.METRICS:
        if word not in CHANNELS:
            log.error(
                "METRICS names %r, which nothing is sent to: it may name %s, divided by a comma.",
                word,
                " and ".join(CHANNELS),
            )
    return tuple(name for name in dict.fromkeys(settings.METRICS) if name in CHANNELS)


def _send(metrics: Sequence[Metric], wait: bool) -> None:
    _threads[:] = [thread for thread in _threads if thread.is_alive()]
    started = []
    for channel in _channels():
        if len(_threads) >= MOST:
            log.error("No metrics by %s: %s are still on their way", channel, len(_threads))
            continue
        thread = threading.Thread(target=_by, args=(channel, metrics), name=f"metrics by {channel}", daemon=True)
        thread.start()
        _threads.append(thread)
        started.append((channel, thread))
    if wait:
        deadline = time.monotonic() + settings.ALERT_SECONDS
        for channel, thread in started:
            thread.join(max(0, deadline - time.monotonic()))
            if thread.is_alive():
                log.error("No metrics by %s: not sent within %s seconds", channel, settings.ALERT_SECONDS)


def _by(channel: str, metrics: Sequence[Metric]) -> None:
    try:
        import_module(CHANNELS[channel]).send(metrics)
    except Exception as error:
        _failed(channel, error)


def _failed(channel: str, error: Exception) -> None:
    log.error("No metrics by %s: %s", channel, " ".join(f"{type(error).__name__}: {error}".split())[:300])


def _before_fork() -> None:
    # A lock that a thread holds, of an import for one, would stay locked for ever in the child, which lacks the thread.
    deadline = time.monotonic() + settings.ALERT_SECONDS
    for thread in _threads:
        if thread is not threading.current_thread():
            thread.join(max(0, deadline - time.monotonic()))


os.register_at_fork(before=_before_fork)
