"""Chat that keeps what it is sent."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from orchestration.local.stand_ins.sink import Sink

# What a sender must show; unmistakable, so that it is found wherever it should not stand.
CHAT_TOKEN = "services/token-of-the-local-chat"


@contextmanager
def chat_sink(file: Path) -> Iterator[Sink]:
    """Speak Slack's incoming-webhook protocol: take JSON by POST, answer `ok`."""
    sink = Sink(file)

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                message = json.loads(body)
                status, answer = (200, b"ok") if isinstance(message, dict) else (400, b"invalid_payload")
            except ValueError:
                status, answer = 400, b"invalid_payload"
            if sink.refuses:
                status, answer = 403, b"invalid_token"
            if status == 200:
                sink.keep(message)
            self.send_response(status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            """Say nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    sink.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
