"""
One socket of one person: every change of their inbox, in order, each once.

Every change has a number, and a client never sees k+1 before k: what comes early is held, what is missing
is read from PostgreSQL, what was sent already is dropped. All methods belong to the event loop's thread.
"""

import asyncio
import heapq
from collections.abc import Callable

from delivery import protocol
from delivery.outbox import Outbox, Send

REORDER = 0.25  # seconds to wait for a change that overtook another, before reading it from PostgreSQL
AT_ONCE = 64  # event frames joined into one `events` frame


class Connection:
    """A socket of an authenticated person."""

    __slots__ = (
        "_held",
        "_lagging",
        "_outbox",
        "_timer",
        "awaits_pong",
        "busy",
        "catching_up",
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
        self.catching_up = True  # changes are held until the snapshot has been sent
        self.heal: Callable[[Connection], None] = lambda connection: None
        self._lagging = False  # the reader is too slow: changes are left to PostgreSQL until it has caught up
        self._held: list[tuple[int, str]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._outbox = Outbox(send, overflowed=self._lag, emptied=self._resume)

    @property
    def closed(self) -> bool:
        return self._outbox.closed

    # --- Changes, in order --------------------------------------------------------------------------

    def offer(self, changes: list[tuple[int, str]]) -> None:
        """Take live changes (number, frame): send those whose turn it is, hold those that came early."""
        if self._lagging:
            return
        follows = changes[0][0] == self.position + 1 and changes[-1][0] == self.position + len(changes)
        if follows and not self.catching_up and not self._held:
            # The common case: they follow each other and the last one sent.
            self._send_events([frame for _, frame in changes])
            return
        for change in changes:
            if change[0] > self.position:
                heapq.heappush(self._held, change)
        if not self.catching_up:
            self._release()

    def caught_up(self, *, epoch: str, to: int, frame: str) -> None:
        """The snapshot up to `to` is here: send it, then what came meanwhile."""
        if self._lagging:
            return  # it comes anew when the reader is ready
        before, self.position, self.epoch = self.position, to, epoch
        self.catching_up = False
        self.push(frame, before=before)
        self._release()

    def _release(self) -> None:
        """Send what is held as far as it follows; ask for healing when a hole stays."""
        ready: list[str] = []
        while self._held and self._held[0][0] <= self.position + len(ready) + 1:
            seq, frame = heapq.heappop(self._held)
            if seq == self.position + len(ready) + 1:
                ready.append(frame)
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
        """Send changes that follow the last one sent, until the reader turns out to be too slow."""
        for start in range(0, len(frames), AT_ONCE):
            if self._lagging:
                return
            part = frames[start : start + AT_ONCE]
            before, self.position = self.position, self.position + len(part)
            self.push(part[0] if len(part) == 1 else protocol.events(part), before=before)

    # --- A slow reader ----------------------------------------------------------------------------------

    def _lag(self, position: int) -> None:
        """Too much waits for it. What was dropped comes as one delta when it has read the rest."""
        head, self.position = self.position, position
        self._held.clear()
        if not self._lagging:
            self._lagging = self.catching_up = True
            self.push(protocol.lag(head=head))

    def _resume(self) -> None:
        self._lagging = False
        self.catching_up = False
        self.heal(self)

    # --- Writing and ending -------------------------------------------------------------------------------

    def push(self, frame: str, *, before: int | None = None) -> None:
        """Write a frame, without waiting. `before`: the position to fall back to if it has to be dropped."""
        self._outbox.push(frame, before=before)

    def close(self, *, code: int, reason: str) -> None:
        """Say why, then close. Doing it again does nothing."""
        self._outbox.close(frame=protocol.bye(code=code, reason=reason), code=code, reason=reason)

    def forget(self) -> None:
        """The socket is gone: no timer may come back to it."""
        self._outbox.forget()
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
