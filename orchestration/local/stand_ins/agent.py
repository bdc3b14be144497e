"""Datadog's agent on this machine: keeps the metrics that it is sent as DogStatsD."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestration.local.stand_ins.sink import Sink

# As much as a packet may hold.
PACKET = 65535


def parsed(line: str) -> dict:
    """A metric of DogStatsD's protocol: `name:value|type|#tag:value,...`; other fields are left out."""
    name, _, rest = line.partition(":")
    value, kind, *fields = rest.split("|")
    tags = next((field[1:] for field in fields if field.startswith("#")), "")
    return {
        "name": name,
        "value": float(value),
        "type": kind,
        "tags": dict(tag.split(":", 1) if ":" in tag else (tag, "") for tag in filter(None, tags.split(","))),
    }


@contextmanager
def agent(file: Path) -> Iterator[Sink]:
    """Listen on a free port of loopback, by UDP as the agent does, until the block ends."""
    sink = Sink(file)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        host, port = listening.getsockname()
        sink.address = f"{host}:{port}"

        def receive() -> None:
            while packet := listening.recv(PACKET):
                for line in packet.decode(errors="replace").splitlines():
                    try:
                        sink.keep(parsed(line))
                    except ValueError:
                        sink.keep({"unreadable": line})

        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            # A packet without content ends it.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
                sending.sendto(b"", (host, port))
            thread.join()
