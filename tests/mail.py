"""A mail server for tests: keeps what it is sent, and answers as the address asks."""

import asyncio
import email
import email.policy
import socket
import ssl
from email.message import EmailMessage
from types import TracebackType
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tests.processes import free_port

# The local part of an address decides what becomes of it.
RCPT_REPLIES = {
    "later": "450 4.2.0 Greylisted",
    "full": "452 4.2.2 Mailbox full",
    "gone": "550 5.1.1 No such user",
    "blocked": "550 5.7.1 Blocked",
}
HANG_UP, SILENT, REFUSE = "hangup", "silent", "refuse"  # after the final dot


class MailServer:
    """Use as `with MailServer() as server`. Its port stays the same when it is stopped and started again."""

    def __init__(self, *, user: str = "", password: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.received: list[EmailMessage] = []
        self.connections = 0
        self._login = user, password
        self._tls = tls
        self._controller: Any = None

    def __enter__(self) -> "MailServer":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        secured: dict[str, Any] = {"tls_context": self._tls, "require_starttls": True} if self._tls else {}
        if self._login[0]:
            secured |= {"authenticator": self._check, "auth_required": True, "auth_require_tls": True}
        self._controller = Controller(
            self, hostname="127.0.0.1", port=self.port, decode_data=False, enable_SMTPUTF8=False, **secured
        )
        self._controller.start()
        self.connections = 0  # the controller made one to see that it listens

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    @property
    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.received]

    def _check(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        given = data.login.decode(), data.password.decode()
        return AuthResult(success=given == self._login, handled=False)

    # --- aiosmtpd's hooks ---------------------------------------------------------------------------

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = RCPT_REPLIES.get(address.partition("@")[0], "250 OK")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        behaviour = envelope.rcpt_tos[0].partition("@")[0]
        if behaviour == REFUSE:
            return "554 5.6.0 Content refused"
        self.received.append(email.message_from_bytes(content, policy=email.policy.default))
        if behaviour == HANG_UP:
            assert server.transport is not None
            server.transport.close()
        elif behaviour == SILENT:
            await asyncio.Event().wait()
        return "250 stored as 42"


def nobody() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"smtp://127.0.0.1:{probe.getsockname()[1]}"
