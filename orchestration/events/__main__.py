"""Lands the events of a Kafka topic below LANDING_ROOT, and says by partition which offsets.

.venv/bin/python -m orchestration.events --bootstrap-servers localhost:9092 --topic user.events.v1
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from orchestration.events.errors import EventsError, LossError
from orchestration.events.lander import STARTS, Limits, land
from orchestration.events.text import said
from orchestration.landing.zones import LandingError


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 if all went well, 1 with a sentence on what did not, 2 if that is events that are gone."""
    options = _options(arguments)
    # What librdkafka says by itself is in the error too, once and as a sentence.
    logging.getLogger("orchestration.events").setLevel(logging.CRITICAL + 1)
    root = os.environ.get("LANDING_ROOT") or "demo/landing"
    try:
        landed = land(
            _settings(options.settings, options.bootstrap_servers),
            options.topic,
            root,
            start=options.start,
            accept_loss=options.accept_loss,
            limits=Limits(options.batch_size, options.most_events, options.most_seconds, options.patience),
        )
    except (EventsError, LandingError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, LossError) else 1
    except KeyboardInterrupt:
        print("Stopped. What had landed stays, and the next run reads on from there.", file=sys.stderr)
        return 130
    print("\n".join(said(landed, options.topic, root)))
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m orchestration.events",
        description="Land the events of a Kafka topic as Parquet below LANDING_ROOT, a folder or s3://bucket.",
    )
    limits = Limits()
    parser.add_argument("--bootstrap-servers", required=True, metavar="HOST:PORT", help="brokers, divided by commas")
    parser.add_argument("--topic", required=True)
    parser.add_argument(
        "--batch-size", type=_count, default=limits.batch_size, help="events in one object, at most [%(default)s]"
    )
    parser.add_argument(
        "--start", choices=STARTS, default="earliest", help="where the very first run begins [%(default)s]"
    )
    parser.add_argument(
        "--accept-loss", action="store_true", help="go on past events that are gone, and record that they are"
    )
    parser.add_argument("--most-events", type=_count, default=limits.events, help="in one run [%(default)s]")
    parser.add_argument("--most-seconds", type=_count, default=limits.seconds, help="of one run [%(default)s]")
    parser.add_argument(
        "--patience",
        type=_count,
        default=10,
        help="how many seconds an answer of the broker is waited for [%(default)s]",
    )
    parser.add_argument(
        "--settings", metavar="FILE.json", type=Path, help="an object of librdkafka's settings, for a secured broker"
    )
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _settings(file: Path | None, servers: str) -> Mapping[str, object]:
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file else {}
    except (OSError, ValueError) as error:
        # Not what is wrong with it: that would show some of it.
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise EventsError(f"The settings {file} cannot be read: {reason}.") from None
    if not isinstance(found, dict):
        raise EventsError(f"The settings {file} must be one JSON object of librdkafka's names and their values.")
    return found | {"bootstrap.servers": servers}


if __name__ == "__main__":
    sys.exit(main())
