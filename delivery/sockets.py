"""
The WebSocket at /ws/notifications/: who is there, what they say. Thin: the hub and the inbox do the work.

A plain ASGI application under Channels' router: docs/decisions/0001 says why it is not a stock consumer.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from django.db import Error
from django.utils import timezone

from core import logs
from core.errors import AppError
from delivery import commands, credentials, protocol
from delivery.connection import Connection
from delivery.hub import Hub
from delivery.outbox import Send

log = logs.logger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]


@cache
def hub() -> Hub:
    """The one hub of this process."""
    return Hub()


class Refused(Exception):
    """The socket cannot go on; it is told why and closed."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


async def notifications(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """One socket, from the handshake to its end."""
    await receive()  # websocket.connect
    offered = protocol.SUBPROTOCOL in scope.get("subprotocols", ())
    await send({"type": "websocket.accept", "subprotocol": protocol.SUBPROTOCOL if offered else None})
    connection: Connection | None = None
    try:
        if not offered:
            raise Refused(protocol.WRONG_VERSION, f"offer the subprotocol {protocol.SUBPROTOCOL}")
        hello = await _hello(receive)
        who = await _identify(scope, hello)
        connection = Connection(id=uuid.uuid4().hex, user_id=who.user_id, credential=who.credential, send=send)
        found = await hub().join(connection, position=hello.position)
        connection.push(protocol.welcome(connection=connection.id, epoch=found.epoch, now=timezone.now()))
        connection.caught_up(epoch=found.epoch, to=found.to, frame=found.frame)
        while (frame := await _next(receive)) is not None:
            await _answer(connection, frame)
    except Refused as refusal:
        await _refuse(connection, send, code=refusal.code, reason=refusal.reason)
    except Error:
        log.warning("socket.database_away")
        await _refuse(connection, send, code=protocol.SERVER_ERROR, reason="database away")
    except Exception:
        await _refuse(connection, send, code=protocol.SERVER_ERROR, reason="server error")
        raise
    finally:
        if connection is not None:
            hub().leave(connection)


async def _refuse(connection: Connection | None, send: Send, *, code: int, reason: str) -> None:
    if connection is not None:
        connection.close(code=code, reason=reason)
        return
    # The peer may be gone already; then there is nobody to tell.
    with contextlib.suppress(Exception):
        await send({"type": "websocket.send", "text": protocol.bye(code=code, reason=reason)})
        await send({"type": "websocket.close", "code": code, "reason": reason})


async def _next(receive: Receive) -> protocol.Frame | None:
    """The next frame of the client; None when it has gone. Raises Refused for what is not a frame."""
    message = await receive()
    if message["type"] == "websocket.disconnect":
        return None
    if message.get("text") is None:
        raise Refused(protocol.BAD_PROTOCOL, "send text frames, not binary ones")
    try:
        return protocol.parse(message["text"])
    except protocol.BadFrame as error:
        raise Refused(protocol.BAD_PROTOCOL, str(error)[:100]) from error


async def _hello(receive: Receive) -> protocol.Hello:
    try:
        frame = await asyncio.wait_for(_next(receive), protocol.HELLO_WITHIN)
    except TimeoutError as error:
        raise Refused(protocol.HELLO_TIMEOUT, "no hello within 5 seconds") from error
    if not isinstance(frame, protocol.Hello):
        raise Refused(protocol.BAD_PROTOCOL, "the first frame must be hello")
    return frame


async def _identify(scope: dict[str, Any], hello: protocol.Hello) -> credentials.Who:
    try:
        return await hub().in_thread(credentials.identify, scope, ticket=hello.ticket)
    except AppError as error:
        raise Refused(protocol.INVALID_TOKEN, error.message[:100]) from error


async def _answer(connection: Connection, frame: protocol.Frame) -> None:
    connection.awaits_pong = False  # whoever speaks is alive
    match frame:
        case protocol.Ack() | protocol.Pong():
            pass
        case protocol.Resume(seq=seq):
            hub().heal(connection, position=max(0, min(seq, connection.position)))
        case protocol.Command():
            connection.busy = True
            connection.push(await hub().in_thread(commands.obey, connection.user_id, frame))
            connection.busy = False
        case protocol.Hello():
            raise Refused(protocol.BAD_PROTOCOL, "hello comes once")
