"""
The frames of `bellhop.v1.json` (docs/protocol.md). Pure: text in, values out, and values in, text out.

Frames that carry a notification are put together from JSON that was encoded once for all recipients.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

SUBPROTOCOL = "bellhop.v1.json"
LARGEST_FRAME = 16 * 1024  # bytes a client may send at once
HELLO_WITHIN = 5.0  # seconds
HEARTBEAT = 25  # seconds; home routers forget a silent connection after 60
PONG_WITHIN = 10  # seconds
ACK = {"every": 20, "within_ms": 1000}
WINDOW = 256

# Close codes. 4000-4499: reconnect; 4500-4999: stop.
SERVER_ERROR = 4000
DRAIN = 4001
NO_PONG = 4002
RESYNC = 4005
HELLO_TIMEOUT = 4009
INVALID_TOKEN = 4500
BAD_PROTOCOL = 4502
WRONG_VERSION = 4503
LOGGED_OUT = 4506


class Position(msgspec.Struct):
    """The last change a client has: a number, and the epoch it counts in."""

    epoch: str
    seq: int


class Hello(msgspec.Struct, tag="hello"):
    ticket: str | None = None
    device: str = ""
    position: Position | None = None
    visible: bool = True

    def __repr__(self) -> str:
        return "Hello(...)"  # never what it holds


class Ack(msgspec.Struct, tag="ack"):
    seq: int


class Pong(msgspec.Struct, tag="pong"):
    seq: int = 0


class Resume(msgspec.Struct, tag="resume"):
    seq: int


class Command(msgspec.Struct, tag="command"):
    id: str
    name: str
    args: dict[str, Any] = {}


Frame = Hello | Ack | Pong | Resume | Command
_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_encode = msgspec.json.Encoder(enc_hook=str).encode


class BadFrame(ValueError):
    """The frame is not one of the protocol's; the message says what is wrong with it."""


def parse(text: str) -> Frame:
    """A client's frame. Raises BadFrame."""
    if len(text) > LARGEST_FRAME:
        raise BadFrame(f"A frame may have at most {LARGEST_FRAME} bytes")
    try:
        return _decoder.decode(text)
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError) as error:
        raise BadFrame(str(error)) from error


def _frame(**fields: Any) -> str:
    return _encode(fields).decode()


def welcome(*, connection: str, epoch: str, now: datetime) -> str:
    return _frame(
        type="welcome",
        connection=connection,
        epoch=epoch,
        heartbeat=HEARTBEAT,
        ack=ACK,
        window=WINDOW,
        server_time=now,
    )


def sync(
    *,
    mode: Literal["delta", "reset"],
    start: int,
    to: int,
    items: Sequence[dict[str, Any]],
    counts: dict[str, int],
    more: bool,
    read_all: Sequence[dict[str, Any]],
    preferences: Any = None,
) -> str:
    """
    Each `read_all`: what the client holds with a rev up to `seq` was read at `at`, if not before.

    `preferences`: what the person chose, when that changed.
    """
    fields: dict[str, Any] = {"type": "sync", "mode": mode, "from": start, "to": to, "items": items}
    return _frame(**fields, counts=counts, more=more, read_all=read_all, preferences=preferences)


def event(
    *,
    seq: int,
    change: str,
    unread: int,
    unseen: int,
    notification: str = "",
    preferences: str = "",
    at: str = "",
    trace_id: str = "",
    origin: str = "",
) -> str:
    """One live change; `notification` or `preferences` is JSON already, `at` the time of a change that has neither."""
    return (
        f'{{"type":"event","seq":{seq},"change":"{change}","counts":{{"unread":{unread},"unseen":{unseen}}}'
        + (f',"notification":{notification}' if notification else "")
        + (f',"preferences":{preferences}' if preferences else "")
        + (f',"at":"{at}"' if at else "")
        + (f',"trace":{_encode(trace_id).decode()}' if trace_id else "")
        + (f',"origin":{_encode(origin).decode()}' if origin else "")
        + "}"
    )


def events(frames: Sequence[str]) -> str:
    """Several `event` frames that were waiting anyway, as one."""
    return f'{{"type":"events","events":[{",".join(frames)}]}}'


def lag(*, head: int) -> str:
    """Pushing has stopped at a slow reader; one `sync` follows when it has read what was sent."""
    return f'{{"type":"lag","head":{head}}}'


def ping(*, head: int) -> str:
    return f'{{"type":"ping","head":{head}}}'


def result(*, id: str, seq: int | None, data: Mapping[str, Any]) -> str:
    return _frame(type="result", id=id, ok=True, seq=seq, data=data)


def refusal(*, id: str, code: str, message: str, details: dict[str, Any] | None = None) -> str:
    error = {"code": code, "message": message} | ({"details": details} if details else {})
    return _frame(type="result", id=id, ok=False, error=error)


def bye(*, code: int, reason: str, retry_ms: tuple[int, int] = (0, 4000)) -> str:
    return _frame(type="bye", code=code, reason=reason, retry_ms=retry_ms)
