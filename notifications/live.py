"""
Live changes: what the sockets of a person are told, published after the commit that made it true.

One Redis message carries a whole chunk. What all recipients of an event share is encoded once and sent
once; a line adds what is the person's own. A message that is lost costs nothing but time: every change
has a number, and the hub reads what is missing from PostgreSQL.
"""

import threading
from collections.abc import Sequence
from typing import Any

import msgspec

from core import redis
from notifications.words import Change

CHANNEL = "bellhop:live"


class Line(msgspec.Struct, array_like=True):
    """One change of one person's inbox. The notification's JSON is `own + shared[index]`; index -1: `own` alone."""

    user_id: int
    seq: int
    change: Change
    unread: int
    unseen: int
    own: str = ""
    index: int = -1
    at: str = ""


class Batch(msgspec.Struct, array_like=True):
    """One message on CHANNEL: changes, and the texts they share."""

    lines: list[Line]
    shared: list[str] = []
    trace_ids: list[str] = []  # beside `shared`
    origin: str = ""  # the command that caused it, for the device that sent the command


class Kick(msgspec.Struct, array_like=True, tag=True):
    """End sockets: all of a person's, or those made with one credential."""

    user_id: int
    credential: str = ""


class Canary(msgspec.Struct, array_like=True, tag=True):
    """The hub's own message to itself, to see that the subscription is alive."""

    id: str


class Live(msgspec.Struct, array_like=True):
    """The envelope: exactly one is set."""

    batch: Batch | None = None
    kick: Kick | None = None
    canary: Canary | None = None
    check: bool = False  # a message before this one was lost: look at the heads


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Live).decode
_json = msgspec.json.Encoder(enc_hook=str).encode


def publish(
    lines: Sequence[Line], *, shared: Sequence[str] = (), trace_ids: Sequence[str] = (), origin: str = ""
) -> bool:
    """Tell every hub, best effort. False when Redis is away: the sockets then catch up by themselves."""
    batch = Batch(lines=list(lines), shared=list(shared), trace_ids=list(trace_ids), origin=origin)
    return _send(Live(batch=batch))


def kick(*, user_id: int, credential: str = "") -> bool:
    """End a person's sockets after logging out. If it is lost, the hubs find out within CHECK (delivery/hub.py)."""
    return _send(Live(kick=Kick(user_id=user_id, credential=credential)))


def canary(id: str) -> bytes:
    """A message that says nothing but that the way is open."""
    return _encode(Live(canary=Canary(id=id)))


def decode(raw: bytes) -> Live:
    return _decode(raw)


def _send(message: Live) -> bool:
    raw = _encode(message)
    sent = redis.attempt(lambda r: r.publish(CHANNEL, raw)) is not None
    if not sent:
        _ask_for_check_later()
    return sent


_later: threading.Timer | None = None


def _ask_for_check_later() -> None:
    """
    Something was not told: ask the hubs to look at their heads as soon as Redis answers again.

    They look by themselves too, but only twice a minute. If this process dies first, that is how they find it.
    """
    global _later
    if _later is None or _later is threading.current_thread() or not _later.is_alive():
        _later = threading.Timer(redis.COOL_DOWN, _send, (Live(check=True),))
        _later.daemon = True
        _later.start()


def own_text(*, id: int, rev: int) -> str:
    return f'{{"id":"{id}","rev":{rev},'


def shared_text(rest: dict[str, Any]) -> str:
    return _json(rest)[1:].decode()
