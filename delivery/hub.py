"""
The hub: one per process. It holds one Redis subscription and writes to the sockets directly.

Redis may lose, repeat or reorder messages, and be away: the numbers show it, and PostgreSQL has what is
missing. docs/subsystems/realtime.md tells the cases.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import redis.asyncio
from django.conf import settings
from django.db import Error, close_old_connections
from redis.exceptions import RedisError

from core import logs
from delivery import catchup, credentials, protocol
from delivery.connection import Connection
from notifications import inbox, live
from notifications.words import Change

log = logs.logger(__name__)
Answer = TypeVar("Answer")

THREADS = 4  # for PostgreSQL: bounds the connections of this process, whatever the number of sockets
CHECK = 30.0  # seconds: a lost last message has no successor that would show the hole
SILENCE = 15.0  # seconds without even our own canary: the subscription is dead
CANARY = 5.0
WAIT_FOR_SUBSCRIPTION = 2.0  # seconds a new socket waits for Redis before it goes on without


class Hub:
    """Everything this process knows of its sockets. All methods belong to the event loop's thread."""

    def __init__(self) -> None:
        self._by_user: dict[int, set[Connection]] = {}
        self._slots: list[set[Connection]] = [set() for _ in range(protocol.HEARTBEAT)]
        self._slot_of: dict[Connection, int] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="postgres")
        self._subscribed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- Life -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to listen, to ping and to check."""
        for loop in (self._listen, self._turn_wheel, self._check_forever, self._sing):
            self._spawn(self._keep(loop))

    async def stop(self) -> None:
        """End everything; sockets were closed before."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    async def _keep(loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run one of the endless loops; a bug in it is logged and must not silence the sockets for good."""
        while True:
            try:
                await loop()
            except Exception:
                log.exception("hub.loop_failed", loop=loop.__name__)
                await asyncio.sleep(1)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("hub.task_failed", exc_info=error)

    async def in_thread(self, call: Callable[..., Answer], *args: Any, **kwargs: Any) -> Answer:
        """Run something that asks PostgreSQL in one of the few threads."""

        def run() -> Answer:
            close_old_connections()
            return call(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    # --- Sockets ------------------------------------------------------------------------------------------

    async def join(self, connection: Connection, *, position: protocol.Position | None) -> catchup.CaughtUp:
        """
        Take a socket in: hold its changes first, read the snapshot after, so that nothing falls between.

        The caller sends `welcome` and hands the snapshot to `connection.caught_up`.
        """
        connection.heal = self.heal
        self._by_user.setdefault(connection.user_id, set()).add(connection)
        # Without Redis we go on: the check after every subscription finds what was missed.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._subscribed.wait(), WAIT_FOR_SUBSCRIPTION)
        found = await self.in_thread(catchup.read, connection.user_id, position=position)
        # Only now, so that no ping comes before `welcome`; a random slot spreads the pings.
        slot = random.randrange(protocol.HEARTBEAT)  # noqa: S311
        self._slots[slot].add(connection)
        self._slot_of[connection] = slot
        return found

    def leave(self, connection: Connection) -> None:
        """The socket is gone. Doing it again does nothing."""
        connection.forget()
        mine = self._by_user.get(connection.user_id)
        if mine is not None:
            mine.discard(connection)
            if not mine:
                del self._by_user[connection.user_id]
        slot = self._slot_of.pop(connection, None)
        if slot is not None:
            self._slots[slot].discard(connection)

    def heal(self, connection: Connection, *, position: int | None = None) -> None:
        """Changes are missing: read them from PostgreSQL and go on from there."""
        if not connection.catching_up and not connection.closed:
            connection.catching_up = True
            self._spawn(self._heal(connection, position=connection.position if position is None else position))

    async def _heal(self, connection: Connection, *, position: int) -> None:
        try:
            epoch = (await self.in_thread(inbox.head, connection.user_id)).epoch
            here = protocol.Position(epoch=epoch, seq=position)
            found = await self.in_thread(catchup.read, connection.user_id, position=here)
        except Exception as error:
            # It cannot stay open: it would wait for ever. The client comes back with its position.
            connection.close(code=protocol.SERVER_ERROR, reason="catching up failed")
            if not isinstance(error, Error):
                raise
            return
        connection.caught_up(epoch=found.epoch, to=found.to, frame=found.frame)

    # --- Live ---------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Stay subscribed for ever. After each new subscription every head is checked: something was missed."""
        while True:
            # No read time-out: SILENCE watches the subscription, and a quiet one is not a dead one.
            client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=None)
            try:
                async with client.pubsub() as subscriber:
                    await subscriber.subscribe(live.CHANNEL)
                    await self._receive(subscriber)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("hub.redis_away", error=str(error) or type(error).__name__)
            finally:
                self._subscribed.clear()
                with contextlib.suppress(RedisError, OSError):
                    await client.aclose()
            await asyncio.sleep(random.uniform(0.1, 1.0))  # noqa: S311  not all hubs at once

    async def _receive(self, subscriber: "redis.asyncio.client.PubSub") -> None:
        while True:
            message = await asyncio.wait_for(subscriber.get_message(timeout=None), SILENCE)
            if message is None:
                continue
            if message["type"] == "subscribe":
                self._subscribed.set()
                self._spawn(self._check_heads())
            elif message["type"] == "message":
                self._take(message["data"])

    def _take(self, raw: bytes) -> None:
        try:
            message = live.decode(raw)
        except ValueError:
            log.exception("hub.bad_message")
            return
        if message.kick:
            self._kick(message.kick)
        if message.batch:
            self._fan_out(message.batch)
        if message.check:
            self._spawn(self._check_heads())

    def _fan_out(self, batch: live.Batch) -> None:
        """Each frame is put together once and written to every socket of its person in this process."""
        mine: dict[int, list[tuple[int, str]]] = {}
        for line in batch.lines:
            if line.user_id in self._by_user:
                shared, trace = ("", "") if line.index < 0 else (batch.shared[line.index], batch.trace_ids[line.index])
                chosen = line.change == Change.PREFERENCES
                frame = protocol.event(
                    seq=line.seq,
                    change=line.change,
                    unread=line.unread,
                    unseen=line.unseen,
                    notification="" if chosen else line.own + shared,
                    preferences=line.own if chosen else "",
                    at=line.at,
                    trace_id=trace,
                    origin=batch.origin,
                )
                mine.setdefault(line.user_id, []).append((line.seq, frame))
        for user_id, changes in mine.items():
            for connection in tuple(self._by_user.get(user_id, ())):
                connection.offer(changes)

    def _kick(self, kick: live.Kick) -> None:
        for connection in tuple(self._by_user.get(kick.user_id, ())):
            if not kick.credential or kick.credential == connection.credential:
                connection.close(code=protocol.LOGGED_OUT, reason="logged out")

    # --- Watching -------------------------------------------------------------------------------------------

    async def _turn_wheel(self) -> None:
        """Every second ping one slot of the sockets, and close those of an earlier slot that did not answer."""
        second = 0
        while True:
            await asyncio.sleep(1)
            second += 1
            for connection in tuple(self._slots[(second - protocol.PONG_WITHIN) % protocol.HEARTBEAT]):
                if connection.awaits_pong and not connection.busy:
                    connection.close(code=protocol.NO_PONG, reason="no pong")
            for connection in tuple(self._slots[second % protocol.HEARTBEAT]):
                connection.awaits_pong = True
                connection.push(protocol.ping(head=connection.position))

    async def _check_forever(self) -> None:
        while True:
            await asyncio.sleep(random.uniform(0.8, 1.2) * CHECK)  # noqa: S311  not all hubs at once
            await self._check_credentials()
            await self._check_heads()

    async def _check_heads(self) -> None:
        """One query for all sockets: whoever is behind its head is healed; who counts in another epoch starts anew."""
        try:
            heads = await self.in_thread(inbox.heads, list(self._by_user))
        except Error as error:
            log.warning("hub.database_away", error=str(error))
            return
        for user_id, (epoch, head) in heads.items():
            for connection in tuple(self._by_user.get(user_id, ())):
                if connection.epoch and connection.epoch != epoch:
                    connection.close(code=protocol.RESYNC, reason="another epoch")
                elif connection.position < head:
                    self.heal(connection)

    async def _check_credentials(self) -> None:
        """One query for all sockets: a logout nobody heard of, an expired token or a closed account ends them."""
        open_now = {
            connection: credentials.Who(user_id=connection.user_id, credential=connection.credential)
            for connections in self._by_user.values()
            for connection in connections
        }
        try:
            alive = await self.in_thread(credentials.alive, list(set(open_now.values())))
        except Error as error:
            log.warning("hub.database_away", error=str(error))
            return
        for connection, who in open_now.items():
            if who not in alive:
                connection.close(code=protocol.LOGGED_OUT, reason="logged out")

    async def _sing(self) -> None:
        """A canary through Redis: when even that does not come back, `_receive` gives the subscription up."""
        client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1)
        while True:
            with contextlib.suppress(RedisError, OSError):
                await client.publish(live.CHANNEL, live.canary("hub"))
            await asyncio.sleep(CANARY)
