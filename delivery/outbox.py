"""
What waits to be written to one socket: bounded, in order, and without a task while the socket keeps up.

All methods belong to the event loop's thread.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, NamedTuple

Send = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]

LARGEST = 256 * 1024  # characters that may wait; what is beyond is dropped and read from PostgreSQL again
SLOWEST = 30.0  # seconds for a reader to take what waits before it is cut off
FAREWELL = 5.0  # seconds for a peer to take the closing frame


class _Begun:
    """
    The rest of a coroutine that has run up to its first wait.

    A server's `send` nearly always finishes without waiting, so it is stepped once right here: a task for
    each frame would cost more than the frame. Only what really waits is handed to a task.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._waits_for
        except BaseException:
            self._coroutine.close()
            raise
        yield from self._coroutine.__await__()


class Waiting(NamedTuple):
    """One message that waits. `before`: the number to go on from if it is dropped; None: it must not be."""

    message: dict[str, Any]
    before: int | None


class Outbox:
    """
    The way out to one peer.

    When too much waits, `overflowed` is called with the number of the last change that is not dropped, and
    `emptied` once the peer has taken the rest. A peer that takes nothing for SLOWEST is cut off.
    """

    __slots__ = ("_overflown", "_send", "_size", "_timer", "_waiting", "_writer", "closed", "emptied", "overflowed")

    def __init__(self, send: Send, *, overflowed: Callable[[int], None], emptied: Callable[[], None]) -> None:
        self.closed = False
        self.overflowed = overflowed
        self.emptied = emptied
        self._send = send
        self._waiting: deque[Waiting] = deque()
        self._size = 0
        self._overflown = False
        self._writer: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def push(self, frame: str, *, before: int | None = None) -> None:
        """Write a frame now if the socket takes it, else after what waits. Never waits itself."""
        self._write(Waiting({"type": "websocket.send", "text": frame}, before))

    def close(self, *, frame: str, code: int, reason: str) -> None:
        """Say goodbye and close. Doing it again does nothing. Who does not take the message is cut off."""
        if not self.closed:
            self.push(frame)
            self._write(Waiting({"type": "websocket.close", "code": code, "reason": reason}, None))
            self.closed = True
            self._cut_off_after(FAREWELL)

    def forget(self) -> None:
        """The socket is gone: no timer may come back to it."""
        self.closed = True
        self._stop_timer()

    def _write(self, one: Waiting) -> None:
        if self.closed:
            return
        if self._writer is not None:
            self._waiting.append(one)
            self._size += _size(one)
            if self._size > LARGEST:
                self._overflow()
            return
        coroutine = self._send(one.message)
        try:
            waits_for = coroutine.send(None)
        except StopIteration:
            return
        except Exception:
            self.closed = True  # the peer is gone; the receive loop ends it
            return
        self._writer = asyncio.get_running_loop().create_task(self._drain(_Begun(coroutine, waits_for)))

    async def _drain(self, first: Awaitable[None]) -> None:
        try:
            await first
            while self._waiting:
                one = self._waiting.popleft()
                self._size -= _size(one)
                await self._send(one.message)
        except Exception:
            self.closed = True
        finally:
            self._writer = None
        if self._overflown and not self.closed:
            self._overflown = False
            self._stop_timer()
            self.emptied()

    def _overflow(self) -> None:
        """Keep what must be said, drop the changes: they stand in PostgreSQL."""
        dropped = [one.before for one in self._waiting if one.before is not None]
        self._waiting = deque(one for one in self._waiting if one.before is None)
        self._size = sum(_size(one) for one in self._waiting)
        if self._size > LARGEST:
            self._cut_off()  # even the answers to its own commands are too many
        elif dropped:
            if not self._overflown:
                self._overflown = True
                self._cut_off_after(SLOWEST)
            self.overflowed(dropped[0])

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut_off_after(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._cut_off)

    def _cut_off(self) -> None:
        """
        Drop the connection under the socket. ASGI has no word for it, and closing politely waits for the peer
        to read; uvicorn's `send` is a method of the protocol, which knows its transport.
        """
        self.closed = True
        if self._writer is not None:
            self._writer.cancel()
        self._waiting.clear()
        self._size = 0
        transport = getattr(getattr(self._send, "__self__", None), "transport", None)
        if transport is not None:
            transport.abort()


def _size(one: Waiting) -> int:
    return len(one.message.get("text", ""))
