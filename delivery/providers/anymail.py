"""
Any e-mail service provider (ESP) that django-anymail knows, by its HTTP API; and any other mail backend of Django's:
the console's, for development. Backends are blocking, so each call has a thread, and many run side by side.
"""

import asyncio
import copy
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import requests
from anymail.exceptions import AnymailError, AnymailRecipientsRefused
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives, get_connection
from urllib3.exceptions import NewConnectionError

from delivery.providers import mails
from delivery.providers.http import LONGEST_ANSWER, Answer, Carry, SideBySide
from notifications.values import Message, Outcome, Result

# Of an anymail_status; any other is that it took it. `rejected`: the address is on the ESP's own list.
_STATUSES = {"invalid": Result.GONE, "rejected": Result.FAILED, "failed": Result.RETRY}


class AnymailProvider(SideBySide):
    """The backend in EMAIL_ESP, which reads its keys in ANYMAIL."""

    def __init__(self, *, backend: str, sender: str, limit: float) -> None:
        if not backend:
            raise ValueError("EMAIL_ESP must name a mail backend, like anymail.backends.postmark.EmailBackend.")
        try:
            # Connecting, signing in, and every wait for an answer; the limit stands above all of them.
            self._backend = get_connection(backend, timeout=(limit / 2, limit * 0.9))
        except ImproperlyConfigured as error:
            raise ValueError(f"EMAIL_ESP={backend}: {error}") from error
        self._sender = sender
        self._limit = limit
        self.timeout = limit

    @classmethod
    def from_settings(cls) -> "AnymailProvider":
        return cls(backend=settings.EMAIL_ESP, sender=settings.EMAIL_FROM, limit=settings.EMAIL_TIMEOUT)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Carry]:
        """See SideBySide.session. A backend serves one call at a time, and keeps its connection for the next."""
        idle: list[Any] = []
        threads = ThreadPoolExecutor(max_workers=2 * self.at_once, thread_name_prefix="esp")

        async def carry(message: Message) -> Outcome:
            mail = self._compose(message)
            if isinstance(mail, Outcome):
                return mail
            backend = idle.pop() if idle else copy.copy(self._backend)
            call = asyncio.get_running_loop().run_in_executor(threads, _send, backend, mail)
            try:
                async with asyncio.timeout(self._limit):
                    outcome = await call
            except TimeoutError:  # its thread goes on alone, until the backend's own time-out
                return Outcome(Result.UNKNOWN, code="timeout", detail="TimeoutError")
            idle.append(backend)
            return outcome

        try:
            yield carry
        finally:
            threads.shutdown(wait=False)
            for backend in idle:
                backend.close()

    def _compose(self, message: Message) -> EmailMultiAlternatives | Outcome:
        if not mails.may_be_address(message.address):
            return Outcome(Result.FAILED, code="bad_address", detail="The address cannot stand in a mail.")
        headers = mails.headers(message, sender=self._sender)
        written = "\n".join([mails.subject(message), message.text, message.html, *headers.values()])
        if any(len(value.splitlines()) > 1 for value in headers.values()) or not _encodable(written):
            return Outcome(Result.FAILED, code="bad_message", detail="The content cannot stand in a mail.")
        mail = EmailMultiAlternatives(
            subject=mails.subject(message),
            body=message.text,
            from_email=self._sender,
            to=[message.address],
            headers=headers,
            alternatives=[(message.html, "text/html")],
        )
        mail.metadata = {"key": message.key}  # type: ignore[attr-defined]  # comes back with the ESP's webhooks
        return mail


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _send(backend: Any, mail: EmailMultiAlternatives) -> Outcome:
    """One call, in a thread."""
    try:
        backend.open()
        backend.send_messages([mail])
    except AnymailRecipientsRefused:
        pass  # the status says which it was
    except AnymailError as error:
        response = getattr(error, "response", None)
        if response is not None:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return classify(Answer(response.status_code, headers, response.content[:LONGEST_ANSWER]))
        if isinstance(error, requests.RequestException):
            return _broken(error.__cause__ or error)
        return Outcome(Result.FAILED, code="bad_message", detail=type(error).__name__)
    status = getattr(mail, "anymail_status", None)
    if status is None:  # a backend that is none of anymail's, and it did not raise
        return Outcome(Result.SENT, code="sent")
    (recipient,) = status.recipients.values()
    result = _STATUSES.get(recipient.status or "", Result.SENT)
    return Outcome(result, code=recipient.status or "", provider_id=recipient.message_id or "")


def classify(answer: Answer) -> Outcome:
    """What an ESP's refusal means for one message."""

    def say(result: Result) -> Outcome:
        return Outcome(result, code=str(answer.status), detail=answer.detail, retry_after=answer.retry_after)

    if answer.status == 429:
        return say(Result.THROTTLED)
    if answer.status in (401, 402, 403, 404):  # the key, the bill, the sending domain
        return say(Result.CONFIG)
    if answer.status in (408, 500, 503) or answer.status > 504:
        return say(Result.RETRY)
    if 400 <= answer.status < 500:
        return say(Result.FAILED)
    return say(Result.UNKNOWN)  # a gateway that lost the answer (502, 504), or a success that cannot be read


def _broken(error: BaseException) -> Outcome:
    """A call that ended without an answer: whether anything was written decides."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    # The library calls a silent TLS handshake a read time-out; only its words tell.
    handshake = isinstance(error, requests.exceptions.SSLError) or "handshake" in str(_root(error))
    if handshake or isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError):
        code = "tls" if isinstance(error, requests.exceptions.SSLError) else "unreachable"
        return Outcome(Result.RETRY, code=code, detail=type(error).__name__, provider_away=True)
    code = "timeout" if isinstance(error, requests.Timeout) else "disconnected"
    return Outcome(Result.UNKNOWN, code=code, detail=type(error).__name__)


def _root(error: BaseException) -> BaseException:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return error
