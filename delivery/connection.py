"""
One socket: what it has been sent, what waits for it, and its closing.

Every change has a number, and a client never sees k+1 before k: what comes early is held, what is missing
is read from PostgreSQL, what was sent already is dropped.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from delivery import protocol

Send = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]

LARGEST_BACKLOG = 256 * 1024  # characters waiting for a slow reader; then it is closed and resumes
REORDER = 0.25  # seconds to wait for a change that overtook another, before reading it from PostgreSQL
FAREWELL = 5.0  # seconds for a peer to take the closing frame
AT_ONCE = 64  # event frames joined into one `events` frame


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


class Connection:
    """A socket of an authenticated person. All methods belong to the event loop's thread."""

    __slots__ = (
        "_abort_timer",
        "_backlog",
        "_backlog_size",
        "_held",
        "_send",
        "_timer",
        "_writer",
        "awaits_pong",
        "busy",
        "catching_up",
        "closed",
        "credential",
        "epoch",
        "heal",
        "id",
        "position",
        "user_id",
    )

    def __init__(self, *, id: str, user_id: int, credential: str, send: Send) -> None:
        self.id = id
        self.user_id = user_id
        self.credential = credential
        self.position = 0  # the number of the last change that was sent
        self.epoch = ""  # what the numbers count in
        self.awaits_pong = False
        self.busy = False  # doing a command: its pongs wait behind it
        self.closed = False
        self.catching_up = True  # changes are held until the snapshot has been sent
        self.heal: Callable[[Connection], None] = lambda connection: None
        self._send = send
        self._held: list[tuple[int, str]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._abort_timer: asyncio.TimerHandle | None = None
        self._backlog: deque[dict[str, Any]] = deque()
        self._backlog_size = 0
        self._writer: asyncio.Task[None] | None = None

    # --- Changes, in order --------------------------------------------------------------------------

    def offer(self, changes: list[tuple[int, str]]) -> None:
        """Take live changes (number, frame): send those whose turn it is, hold those that came early."""
        follows = changes[0][0] == self.position + 1 and changes[-1][0] == self.position + len(changes)
        if follows and not self.catching_up and not self._held:
            # The common case: they follow each other and the last one sent.
            self.position = changes[-1][0]
            self._send_events([frame for _, frame in changes])
            return
        for change in changes:
            if change[0] > self.position:
                heapq.heappush(self._held, change)
        if not self.catching_up:
            self._release()

    def caught_up(self, *, epoch: str, to: int, frame: str) -> None:
        """The snapshot up to `to` is here: send it, then what came meanwhile."""
        self.push(frame)
        self.epoch = epoch
        self.position = to
        self.catching_up = False
        self._release()

    def _release(self) -> None:
        """Send what is held as far as it follows; ask for healing when a hole stays."""
        ready = []
        while self._held and self._held[0][0] <= self.position + 1:
            seq, frame = heapq.heappop(self._held)
            if seq == self.position + 1:
                self.position = seq
                ready.append(frame)
        if ready:
            self._send_events(ready)
        if self._held and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(REORDER, self._check_hole)
        elif not self._held and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_hole(self) -> None:
        self._timer = None
        if self._held and not self.catching_up and not self.closed:
            self.heal(self)

    def _send_events(self, frames: list[str]) -> None:
        for start in range(0, len(frames), AT_ONCE):
            part = frames[start : start + AT_ONCE]
            self.push(part[0] if len(part) == 1 else protocol.events(part))

    # --- Writing --------------------------------------------------------------------------------------

    def push(self, frame: str) -> None:
        """Write a frame, without waiting. A reader too slow to follow is closed; it resumes by its position."""
        self._write({"type": "websocket.send", "text": frame}, size=len(frame))

    def _write(self, message: dict[str, Any], *, size: int = 0) -> None:
        if self.closed:
            return
        if self._writer is not None:
            self._backlog.append(message)
            self._backlog_size += size
            if self._backlog_size > LARGEST_BACKLOG:
                self._abandon()
            return
        coroutine = self._send(message)
        try:
            waits_for = coroutine.send(None)
        except StopIteration:
            return
        except Exception:
            self.closed = True  # the peer is gone; the consumer's receive loop ends it
            return
        self._writer = asyncio.get_running_loop().create_task(self._drain(_Begun(coroutine, waits_for)))

    async def _drain(self, first: Awaitable[None]) -> None:
        try:
            await first
            while self._backlog:
                message = self._backlog.popleft()
                self._backlog_size -= len(message.get("text", ""))
                await self._send(message)
        except Exception:
            self.closed = True
        finally:
            self._writer = None

    def _abandon(self) -> None:
        """It does not read: nothing more can be said to it, not even goodbye."""
        self.closed = True
        self._abort()

    def close(self, *, code: int, reason: str) -> None:
        """Say why, then close. Doing it again does nothing. Who does not take the message is cut off."""
        if self.closed:
            return
        self.push(protocol.bye(code=code, reason=reason))
        self._write({"type": "websocket.close", "code": code, "reason": reason})
        self.closed = True
        self._abort_timer = asyncio.get_running_loop().call_later(FAREWELL, self._abort)

    def _abort(self) -> None:
        """
        Drop the connection under the socket. ASGI has no word for it, and closing politely waits for the peer
        to read; uvicorn's `send` is a method of the protocol, which knows its transport.
        """
        if self._writer is not None:
            self._writer.cancel()
        self._backlog.clear()
        self._backlog_size = 0
        transport = getattr(getattr(self._send, "__self__", None), "transport", None)
        if transport is not None:
            transport.abort()

    def forget(self) -> None:
        """The socket is gone: no timer may come back to it."""
        self.closed = True
        self._held.clear()
        for timer in (self._timer, self._abort_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._abort_timer = None
