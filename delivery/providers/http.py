"""
HTTP: what the providers share that speak it. A group of messages is sent side by side, each call with one limit
for all its steps, over connections that last as long as one send().

httpcore and not httpx, because it lets a provider choose the network (delivery/addresses.py), and tells how far a
call got: until the body was begun nothing was sent, after it nobody knows.
"""

import asyncio
import email.utils
import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import Any

import httpcore

from core import logs
from delivery import addresses
from delivery.providers import payloads
from notifications.values import Message, Outcome, Result

log = logs.logger(__name__)

LONGEST_ANSWER = 4096  # bytes of an answer's body after which no more is read
LONGEST_WAIT = timedelta(days=1)  # of a Retry-After that is obeyed
REFUSED_STREAM = 7  # RFC 9113, 8.7: the server did nothing with the request
LONG_AGO = datetime.fromtimestamp(0, UTC)

Carry = Callable[[Message], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Request:
    """A POST. Its URL, headers and content may hold secrets."""

    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said; of the body the beginning."""

    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def retry_after(self) -> timedelta | None:
        """RFC 9110, 10.2.3: seconds, or a date."""
        text = self.headers.get("retry-after", "")
        if re.fullmatch(r"\d{1,9}", text):
            return min(timedelta(seconds=int(text)), LONGEST_WAIT)
        try:
            date = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
        wait = (date if date.tzinfo else date.replace(tzinfo=UTC)) - datetime.now(UTC)
        return max(timedelta(0), min(wait, LONGEST_WAIT))

    @property
    def detail(self) -> str:
        """The body for people: what is long enough to be a token is left out."""
        text = " ".join(self.body.decode("utf-8", "replace").split())
        return re.sub(r"[\w.:%/+=~-]{24,}", "…", text)[:200]


class SideBySide(ABC):
    """A provider that sends many messages at once."""

    at_once = 50
    timeout: float

    @abstractmethod
    def session(self) -> AbstractAsyncContextManager[Carry]:
        """Connections for one send(); how to send one message over them."""

    def send(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        """See delivery.channels.base.Provider.send. Not to be called where an event loop runs."""
        waiting = iter(messages)
        group = list(islice(waiting, self.at_once))
        if not group:
            return
        stack = AsyncExitStack()
        with asyncio.Runner() as runner:
            carry = runner.run(stack.enter_async_context(self.session()))
            try:
                while group:
                    yield from runner.run(_side_by_side(carry, group))
                    group = list(islice(waiting, self.at_once))
            finally:
                runner.run(stack.aclose())


class HTTPProvider(SideBySide):
    """A provider whose every message is one POST of at most `limit` seconds."""

    def __init__(self, *, limit: float) -> None:
        self._limit = limit
        self.timeout = limit

    @abstractmethod
    def compose(self, message: Message) -> Request:
        """The call for a message, without what signs it. Raises ValueError when it cannot be written."""

    @abstractmethod
    def classify(self, answer: Answer) -> Outcome:
        """What an answer means for its message."""

    def scope(self, request: Request) -> str:
        """Outcome.scope of what comes of a call; empty where the provider is one service."""
        return ""

    async def sign_in(self, pool: httpcore.AsyncConnectionPool) -> dict[str, str] | Outcome:
        """Headers that sign every call, made when the first message of a send() needs them; or why there are none."""
        return {}

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Carry]:
        """See SideBySide.session."""
        async with self._pool() as pool:
            signing_in: asyncio.Task[dict[str, str] | Outcome] | None = None

            async def carry(message: Message) -> Outcome:
                nonlocal signing_in
                try:
                    request = self.compose(message)
                except ValueError as error:
                    code = "bad_address" if isinstance(error, payloads.BadAddress) else "bad_message"
                    return Outcome(Result.FAILED, code=code, detail=type(error).__name__)
                signing_in = signing_in or asyncio.create_task(self.sign_in(pool))
                signed = await asyncio.shield(signing_in)
                if isinstance(signed, Outcome):
                    return signed
                answer = await post(pool, replace(request, headers=request.headers | signed), limit=self._limit)
                outcome = answer if isinstance(answer, Outcome) else self.classify(answer)
                return replace(outcome, scope=self.scope(request))

            yield carry

    def _pool(self) -> httpcore.AsyncConnectionPool:
        return httpcore.AsyncConnectionPool(
            ssl_context=self._tls, max_connections=self.at_once, http2=True, network_backend=self._network()
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()  # reads the authorities of the machine: a dozen milliseconds

    def _network(self) -> httpcore.AsyncNetworkBackend | None:
        """None: any address."""
        return None


async def _side_by_side(carry: Carry, group: list[Message]) -> list[Outcome]:
    found: list[Any] = await asyncio.gather(*(carry(message) for message in group), return_exceptions=True)
    outcomes = [_crashed(outcome) if isinstance(outcome, BaseException) else outcome for outcome in found]
    # One dead address, or one of several services being down, says nothing about the others.
    away = all(outcome.provider_away for outcome in outcomes)
    return [outcome if away else replace(outcome, provider_away=False) for outcome in outcomes]


def _crashed(error: BaseException) -> Outcome:
    """A bug of ours, in the call of one message: it may have left."""
    log.error("provider.crashed", exc_info=error)
    return Outcome(Result.UNKNOWN, code="crashed", detail=type(error).__name__)


async def post(pool: httpcore.AsyncConnectionPool, request: Request, *, limit: float) -> Answer | Outcome:
    """Make a call: `limit` seconds for all its steps, half of them for connecting. No redirect is followed."""
    begun = False
    status, headers, body = 0, {}, bytearray()

    async def watch(step: str, _: dict[str, Any]) -> None:
        nonlocal begun
        begun = begun or step.endswith("send_request_body.started")

    # No time-outs of single reads: in HTTP/2 the one who waits longest reads for all, and would end them all.
    sent: list[tuple[bytes | str, bytes | str]] = [*request.headers.items()]
    extensions = {"timeout": {"connect": limit / 2, "pool": limit}, "trace": watch}
    try:
        async with (
            asyncio.timeout(limit),
            pool.stream("POST", request.url, headers=sent, content=request.content, extensions=extensions) as response,
        ):
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            status = response.status
            async for part in response.aiter_stream():
                body += part
                if len(body) >= LONGEST_ANSWER:
                    break
    except addresses.Forbidden:
        return Outcome(Result.FAILED, code="forbidden_address", detail="The host has no address that may be called.")
    except (TimeoutError, OSError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        if not status:
            return _broken(error, begun=begun)
    return Answer(status, headers, bytes(body))


def _broken(error: Exception, *, begun: bool) -> Outcome:
    """What a call means that ended without an answer."""
    name = type(error).__name__
    reset = error.args[0] if error.args else None
    if getattr(reset, "error_code", None) == REFUSED_STREAM:
        return Outcome(Result.RETRY, code="refused", detail=name)
    if begun:
        code = "timeout" if isinstance(error, TimeoutError) else "disconnected"
        return Outcome(Result.UNKNOWN, code=code, detail=name)
    code = "tls" if isinstance(error.__cause__ or error.__context__, ssl.SSLError) else "unreachable"
    return Outcome(Result.RETRY, code=code, detail=name, provider_away=True)
