"""What push messages of every kind have in common: the address, the text that fits, how long, and instead of what."""

import base64
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from notifications.values import Message

KEEP = timedelta(days=7)  # how long a service keeps a message for a device that is off, unless it expires before
TITLE = 200  # characters; more is shown nowhere

Kind = TypeVar("Kind")


class BadAddress(ValueError):
    """The text is no address of this kind. Says nothing more: an address is a secret."""


class TooLarge(ValueError):
    """The message is too large even without its text."""


def read_address(message: Message, kind: type[Kind]) -> Kind:
    """The JSON of an address as a Struct. Raises BadAddress."""
    try:
        return msgspec.json.decode(message.address, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise BadAddress from None


def seconds_left(message: Message, *, now: datetime) -> int:
    """How long the message is worth keeping for a device that is off."""
    left = message.expires_at - now if message.expires_at else KEEP
    return max(0, int(min(left, KEEP).total_seconds()))


def collapse_id(message: Message) -> str:
    """
    What a message replaces on its device: what has the same `collapse`, and else only itself, when it comes twice.

    32 characters of URL-safe base64, the most that a Topic may have (RFC 8030, 5.4); the object's name does not show.
    """
    digest = hashlib.sha256((message.collapse or message.key).encode()).digest()
    return base64.urlsafe_b64encode(digest)[:32].decode()


def fit(message: Message, *, limit: int, form: Callable[[str, str], dict[str, Any]]) -> dict[str, Any]:
    """
    What `form` makes of title and text, with the text cut until the JSON has at most `limit` bytes. Raises TooLarge,
    and ValueError for what is no text.
    """
    title = " ".join(message.subject.split())[:TITLE]
    text, end = message.text.strip(), ""
    if len(text) > limit:
        text, end = text[:limit], "…"
    while True:
        made = form(title, text + end)
        over = len(msgspec.json.encode(made)) - limit
        if over <= 0:
            return made
        if not text:
            raise TooLarge
        # A character has at most six bytes in JSON, so that no more is cut than must be.
        text, end = text[: -(over // 6 + 1)], "…"
