"""Mail that keeps what it is sent."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from orchestration.local.runtime.processes import free_port
from orchestration.local.stand_ins.sink import Sink

# What a sender must show; unmistakable, so that it is found wherever it should not stand.
MAIL_PASSWORD = "password-of-the-local-mail"


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

    # It warns of its own use of a name that it calls deprecated.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
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
