"""A small client of the socket protocol `bellhop.v1.json` for the scripts, and a check of its numbers."""

import asyncio
import contextlib
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from scripts.shared.terminal import Failed, is_local

SUBPROTOCOL = "bellhop.v1.json"
TIMEOUT = 10.0  # seconds for the handshake and for welcome
LARGEST_FRAME = 16 * 2**20  # bytes; a sync may carry 500 notifications


class Closed(Exception):
    """
    The socket has ended, or could not be opened (code 0). From 4500 on the server asks not to come back.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code} {reason}".strip() if code else reason)
        self.final = 4500 <= code <= 4999


@dataclass(slots=True)
class Seen:
    """What a client saw, over all its connections. Gaps and doubles must stay 0."""

    frames: int = 0
    events: int = 0  # live changes
    items: int = 0  # lines that a delta brought instead
    resets: int = 0
    first: int | None = None  # where it began: the number of its first sync
    last: int = 0  # the last number it has
    gaps: int = 0  # numbers that should have come before one that came
    doubles: int = 0  # changes it had already
    epoch: str = ""

    def take(self, frame: dict[str, Any]) -> None:
        """
        Count a frame and check its numbers: live, k+1 never comes before k, and nothing comes twice.

        A delta may skip numbers (a line carries only its last change), but must begin where we were.
        """
        self.frames += 1
        match frame["type"]:
            case "welcome":
                self.epoch = frame["epoch"]
            case "sync":
                self._sync(frame)
            case "event":
                self._event(frame)
            case "events":
                for one in frame["events"]:
                    self._event(one)

    def _sync(self, frame: dict[str, Any]) -> None:
        if frame["mode"] == "reset":
            self.resets += 1
        else:
            self.items += len(frame["items"])
            self.gaps += max(0, frame["from"] - self.last)
            self.doubles += sum(item["rev"] <= self.last for item in frame["items"])
        self.last = frame["to"]
        if self.first is None:
            self.first = self.last

    def _event(self, event: dict[str, Any]) -> None:
        self.events += 1
        if event["seq"] <= self.last:
            self.doubles += 1
        else:
            self.gaps += event["seq"] - self.last - 1
            self.last = event["seq"]


@dataclass(frozen=True, slots=True)
class Received:
    """A frame, and time.perf_counter() when it was read from the socket."""

    frame: dict[str, Any]
    at: float

    def changes(self) -> list[dict[str, Any]]:
        """The live changes in it: none, one, or several."""
        if self.frame["type"] == "events":
            return list(self.frame["events"])
        return [self.frame] if self.frame["type"] == "event" else []


@dataclass(slots=True)
class SocketClient:
    """One person's client: connects, says hello with its position, answers pings, acknowledges."""

    url: str
    token: str = field(repr=False)
    seen: Seen = field(default_factory=Seen)
    device: str = field(default_factory=lambda: str(uuid.uuid4()))
    retry_ms: tuple[int, int] | None = None  # what `bye` asked for
    _socket: ClientConnection | None = None
    _acked: int = 0
    _ack_every: int = 20
    _acker: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """TCP, and the upgrade to the protocol. Raises Failed, or Closed when the server is away."""
        try:
            socket = await connect(
                self.url,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                additional_headers={"Authorization": f"Bearer {self.token}"},
                proxy=None if is_local(self.url) else True,
                compression=None,
                ping_interval=None,  # the protocol has its own
                open_timeout=TIMEOUT,
                max_size=LARGEST_FRAME,
            )
        except InvalidStatus as error:
            raise Failed(
                f"{self.url} answered {error.response.status_code} instead of 101: check the path /ws/notifications/, "
                "and that a proxy in front passes the Upgrade and Connection headers on."
            ) from error
        except (InvalidHandshake, InvalidURI, EOFError) as error:
            raise Failed(f"{self.url} does not speak WebSocket ({error}): check --ws-url.") from error
        except OSError as error:  # TimeoutError is one
            raise Closed(0, f"{self.url} cannot be reached: {str(error) or 'no answer in time'}") from error
        if socket.subprotocol != SUBPROTOCOL:
            await socket.close()
            raise Failed(
                f"{self.url} did not choose the subprotocol {SUBPROTOCOL}: a proxy in front must pass the "
                "Sec-WebSocket-Protocol header on."
            )
        self._socket = socket

    async def hello(self) -> Received:
        """Say hello with the position, wait for `welcome`. Raises Closed when we are not let in."""
        self.retry_ms = None
        known = {"epoch": self.seen.epoch, "seq": self.seen.last} if self.seen.epoch else None
        await self.send({"type": "hello", "device": self.device, "position": known, "visible": True})
        try:
            async with asyncio.timeout(TIMEOUT):
                while (received := await self.receive()).frame["type"] != "welcome":
                    pass
        except TimeoutError as error:
            raise Closed(0, f"no welcome within {TIMEOUT:.0f} s") from error
        terms = received.frame["ack"]
        self._ack_every = terms["every"]
        self._acker = asyncio.create_task(self._ack_in_time(terms["within_ms"] / 1000))
        return received

    async def receive(self) -> Received:
        """The next frame, after answering it when it is a ping. Raises Closed at the end."""
        assert self._socket is not None
        try:
            text = await self._socket.recv()
        except ConnectionClosed as error:
            end = error.rcvd
            raise Closed(end.code if end else 1006, end.reason if end else "the connection broke") from error
        received = Received(frame=json.loads(text), at=time.perf_counter())
        self.seen.take(received.frame)
        if received.frame["type"] == "ping":
            await self.send({"type": "pong", "seq": self.seen.last})
        elif received.frame["type"] == "bye":
            self.retry_ms = tuple(received.frame["retry_ms"])
        elif self.seen.last - self._acked >= self._ack_every:
            await self._ack()
        return received

    async def send(self, frame: dict[str, Any]) -> None:
        """Send a frame. On a socket that has ended nothing happens: the next receive tells."""
        assert self._socket is not None
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(json.dumps(frame))

    async def _ack(self) -> None:
        self._acked = self.seen.last
        await self.send({"type": "ack", "seq": self._acked})

    async def _ack_in_time(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            if self.seen.last > self._acked:
                await self._ack()

    def drop(self) -> None:
        """Lose the connection without a word, as a phone in a tunnel does."""
        assert self._socket is not None
        self._socket.transport.abort()

    async def close(self) -> None:
        """End the connection; also when there is none."""
        if self._acker is not None:
            self._acker.cancel()
        if self._socket is not None:
            await self._socket.close()
