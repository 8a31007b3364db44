"""
SMTP (RFC 5321): one connection for a claimed batch, one message per recipient, every reply an Outcome.

The dialogue is done step by step and not by smtplib's sendmail(), because what a lost connection means
depends on the step: before the final dot nothing was sent, after it nobody knows.
"""

import smtplib
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from email.headerregistry import HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import formatdate, parseaddr
from urllib.parse import unquote, urlsplit

from django.conf import settings

from delivery.providers import mails
from notifications.values import Message, Outcome, Result

GREYLIST = timedelta(seconds=60)  # RFC 6647, 2: greylisting servers ask for a minute or more
FULL_MAILBOX = timedelta(hours=6)


class _Unfolded(UnstructuredHeader):
    """A header of one long word: the library would write it as an encoded word, where no mail program finds a link."""

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"  # type: ignore[attr-defined]


_HEADERS = HeaderRegistry()
_HEADERS.map_to_type("List-Unsubscribe", _Unfolded)  # type: ignore[arg-type]
_POLICY = SMTP.clone(header_factory=_HEADERS)


class BadAddress(ValueError):
    """EMAIL_URL must look like smtp://host:25, smtp+tls://user:password@host:587 or smtps://user:password@host:465."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where the mail goes. Never shows its password."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    security: str  # "", "starttls" or "tls"

    @classmethod
    def parse(cls, url: str) -> "Server":
        """The server behind an EMAIL_URL. Raises BadAddress."""
        parts = urlsplit(url)
        kinds = {"smtp": ("", 25), "smtp+tls": ("starttls", 587), "smtps": ("tls", 465)}
        try:
            given_port = parts.port
        except ValueError:  # it quotes what it read, which may be a part of the password
            given_port = -1
        if parts.scheme not in kinds or not parts.hostname or given_port == -1:
            raise BadAddress(" ".join((BadAddress.__doc__ or "").split()))
        security, port = kinds[parts.scheme]
        return cls(
            host=parts.hostname,
            port=given_port or port,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            security=security,
        )


class Deadline:
    """A limit for several steps together: smtplib's own time-out starts anew with each reply."""

    def __init__(self, client: smtplib.SMTP, seconds: float) -> None:
        self._client = client
        self._ends = time.monotonic() + seconds

    def check(self) -> None:
        """Let the next step take what is left. Raises TimeoutError when nothing is."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the mail server took too long")
        if self._client.sock is not None:
            self._client.sock.settimeout(left)


class SMTPProvider:
    """Any SMTP server, with STARTTLS or TLS from the first byte; certificates are verified."""

    at_once = 1  # a connection carries one mail after the other

    def __init__(self, *, server: Server, sender: str, timeout: float) -> None:
        self._server = server
        self._sender = sender
        self._limit = timeout
        # Reaching the server, signing in, one message: each is held to the limit as a whole.
        self.timeout = 3 * timeout

    @classmethod
    def from_settings(cls) -> "SMTPProvider":
        return cls(
            server=Server.parse(settings.EMAIL_URL),
            sender=settings.EMAIL_FROM,
            timeout=settings.EMAIL_TIMEOUT,
        )

    def send(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        """See delivery.channels.base.Provider.send."""
        client: smtplib.SMTP | None = None
        try:
            for message in messages:
                if client is None:
                    try:
                        client = self._connect()
                    except (OSError, smtplib.SMTPException) as error:
                        yield _refused(error)
                        continue
                outcome = self._send_one(client, message)
                if outcome.code == "disconnected":
                    client.close()
                    client = None
                yield outcome
        finally:
            if client is not None:
                _leave(client)

    def probe(self) -> Outcome | None:
        """Reach the server and sign in, and send nothing. None when it let us in, else what is wrong."""
        try:
            client = self._connect()
            client.ehlo_or_helo_if_needed()
            _leave(client)
        except (OSError, smtplib.SMTPException) as error:
            return _refused(error)
        return None

    def _connect(self) -> smtplib.SMTP:
        server, context = self._server, ssl.create_default_context()
        client: smtplib.SMTP
        if server.security == "tls":
            client = smtplib.SMTP_SSL(server.host, server.port, timeout=self._limit, context=context)
        else:
            client = smtplib.SMTP(server.host, server.port, timeout=self._limit)
        deadline = Deadline(client, self._limit)
        try:
            deadline.check()
            if server.security == "starttls":
                client.starttls(context=context)
            if server.user:
                deadline.check()
                client.login(server.user, server.password)
        except BaseException:
            client.close()
            raise
        return client

    def _send_one(self, client: smtplib.SMTP, message: Message) -> Outcome:
        content = self._compose(message)
        if content is None:
            return Outcome(
                Result.FAILED, code="bad_message", detail="The address or the content cannot stand in a mail."
            )
        final_dot_sent = False
        deadline = Deadline(client, self._limit)
        try:
            deadline.check()
            client.ehlo_or_helo_if_needed()
            for command in (
                f"MAIL FROM:<{parseaddr(self._sender)[1]}>",
                f"RCPT TO:<{message.address}>",
                "DATA",
            ):
                deadline.check()
                code, reply = client.docmd(command)
                if code not in (250, 251, 354):
                    client.docmd("RSET")
                    return classify(code, reply, about=command[:4])
            deadline.check()
            client.send(smtplib._quote_periods(content) + b".\r\n")  # type: ignore[attr-defined]
            final_dot_sent = True
            code, reply = client.getreply()
        except (OSError, smtplib.SMTPException) as error:
            result = Result.UNKNOWN if final_dot_sent else Result.RETRY
            return Outcome(result, code="disconnected", detail=type(error).__name__, provider_away=not final_dot_sent)
        if code == 250:
            return Outcome(Result.SENT, code="250", provider_id=_text(reply)[:255])
        return classify(code, reply, about="DATA")

    def _compose(self, message: Message) -> bytes | None:
        if not mails.may_be_address(message.address):
            return None
        mail = EmailMessage(policy=_POLICY)
        try:
            mail["From"] = self._sender
            mail["To"] = message.address
            mail["Subject"] = mails.subject(message)
            mail["Date"] = formatdate()
            for name, value in mails.headers(message, sender=self._sender).items():
                mail[name] = value
            mail.set_content(message.text)
            mail.add_alternative(message.html, subtype="html")
            return mail.as_bytes()
        except ValueError:
            return None


def classify(code: int, reply: bytes, *, about: str = "RCPT") -> Outcome:
    """What an SMTP reply to a command means for one message (RFC 5321, 4.2; enhanced codes RFC 3463)."""
    text = _text(reply)
    enhanced = text.split(" ", 1)[0] if text[:1] in "245" and text[1:2] == "." else ""

    def say(result: Result, retry_after: timedelta | None = None) -> Outcome:
        return Outcome(result, code=enhanced or str(code), detail=text[:200], retry_after=retry_after)

    if code in (530, 535):
        return say(Result.CONFIG)
    if enhanced in ("5.2.2", "4.2.2") or code == 552:
        return say(Result.RETRY, FULL_MAILBOX)
    if 400 <= code < 500:
        return say(Result.RETRY, GREYLIST)
    # 5.1.7 and 5.1.8 speak of the sender, and so does every refusal of MAIL: nobody's address is gone.
    if enhanced.startswith("5.7.") or code == 554 or enhanced in ("5.1.7", "5.1.8") or about == "MAIL":
        return say(Result.CONFIG)
    # Without an enhanced code, a refusal of the content looks like one of the address.
    if enhanced.startswith("5.1.") or (code in (550, 551, 553) and not enhanced and about == "RCPT"):
        return say(Result.GONE)
    return say(Result.FAILED)


def _refused(error: Exception) -> Outcome:
    """The connection could not be made: nothing was sent, and nothing would be."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        detail = "The mail server refused our sign-in."
        return Outcome(Result.CONFIG, code=str(error.smtp_code), detail=detail, provider_away=True)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        detail = "The mail server offers no STARTTLS or no sign-in."
        return Outcome(Result.CONFIG, code="unsupported", detail=detail, provider_away=True)
    if isinstance(error, ssl.SSLError):
        return Outcome(Result.CONFIG, code="tls", detail=type(error).__name__, provider_away=True)
    return Outcome(Result.RETRY, code="unreachable", detail=type(error).__name__, provider_away=True)


def _leave(client: smtplib.SMTP) -> None:
    try:
        client.quit()
    except (OSError, smtplib.SMTPException):
        client.close()


def _text(reply: bytes) -> str:
    return reply.decode("utf-8", "replace").replace("\n", " ")
