"""Chat that keeps what it is sent."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestration.local.stand_ins.serving import Handler, serving
from orchestration.local.stand_ins.sink import Sink

# What a sender must show; unmistakable, so that it is found wherever it should not stand.
CHAT_TOKEN = "services/token-of-the-local-chat"


@contextmanager
def chat_sink(file: Path) -> Iterator[Sink]:
    """Speak Slack's incoming-webhook protocol: take JSON by POST, answer `ok`."""
    sink = Sink(file)

    class Webhook(Handler):
        def do_POST(self) -> None:
            try:
                message = json.loads(self.body())
                status, answer = (200, b"ok") if isinstance(message, dict) else (400, b"invalid_payload")
            except ValueError:
                status, answer = 400, b"invalid_payload"
            if sink.refuses:
                status, answer = 403, b"invalid_token"
            if status == 200:
                sink.keep(message)
            self.answer(status, "text/plain", answer)

    with serving(Webhook) as sink.address:
        yield sink
