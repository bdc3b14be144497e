"""Chat and mail that keep what they are sent, in memory and as a file of one JSON object a line."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from orchestration.local.processes import free_port

# What a sender must show; unmistakable, so that it is found wherever it should not stand.
CHAT_TOKEN, MAIL_PASSWORD = "services/token-of-the-local-chat", "password-of-the-local-mail"


class Sink:
    """Messages received; `address` is where to send more. One that `refuses` takes nobody's token or password."""

    refuses = False

    def __init__(self, file: Path) -> None:
        self.file = file
        self.messages: list[dict] = []
        self.address = ""
        self._lock = threading.Lock()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")

    def keep(self, message: dict) -> None:
        """Add a message."""
        with self._lock, self.file.open("a") as lines:
            lines.write(json.dumps(message, ensure_ascii=False) + "\n")
            self.messages.append(message)


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


@contextmanager
def mail_sink(file: Path) -> Iterator[Sink]:
    """Take mail by SMTP and keep sender, recipients, subject and text."""
    sink = Sink(file)

    class Mailbox:
        async def handle_DATA(self, server: object, session: object, envelope) -> str:
            mail = message_from_bytes(envelope.content, policy=policy.default)
            body = mail.get_body(preferencelist=("plain", "html"))
            sink.keep(
                {
                    "from": envelope.mail_from,
                    "to": list(envelope.rcpt_tos),
                    "subject": str(mail["subject"] or ""),
                    "text": body.get_content().replace("\r\n", "\n") if body else "",
                }
            )
            return "250 Message accepted for delivery"

    def authenticate(server: object, session: object, envelope: object, mechanism: str, shown) -> AuthResult:
        right = getattr(shown, "password", b"") == MAIL_PASSWORD.encode()
        return AuthResult(success=right and not sink.refuses, handled=False)

    port = free_port()
    controller = Controller(
        Mailbox(),
        hostname="127.0.0.1",
        port=port,
        ready_timeout=30,
        authenticator=authenticate,
        auth_require_tls=False,
    )
    controller.start()
    sink.address = f"127.0.0.1:{port}"
    try:
        yield sink
    finally:
        controller.stop()
