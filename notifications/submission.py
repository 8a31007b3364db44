"""
What a producer may submit: the one definition of an event's fields and limits.

It validates the request, and the OpenAPI page is made from it. msgspec and not a serializer, because a
batch of 1,000 events is checked here on the hot path: docs/decisions/0002.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Meta, UnsetType

from notifications.words import Priority

MAX_USERS = 10_000
MAX_DATA_BYTES = 8 * 1024
MAX_DATA_DEPTH = 32
SMALLEST, LARGEST = 1e-15, 1e15
# Years outside are a time zone away from no date at all, which neither Python nor PostgreSQL's driver can hold.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_SAFE_URL = re.compile(r"https?://[^\s\\]+|/(?![/\\])[^\s]*", re.IGNORECASE)

# Python's $ also matches before a last newline, which would break a mail header.
Line = Annotated[str, Meta(max_length=200, pattern=r"^[^\r\n]*$(?!\n)")]
Name = Annotated[str, Meta(min_length=1, max_length=150)]
Tag = Annotated[str, Meta(min_length=1, max_length=50)]


class Recipients(msgspec.Struct, forbid_unknown_fields=True):
    """Who gets it: exactly one of a list of user names, a topic, or everyone."""

    users: Annotated[list[Name], Meta(min_length=1, max_length=MAX_USERS)] | UnsetType = UNSET
    topic: Annotated[str, Meta(min_length=1, max_length=100)] | UnsetType = UNSET
    all: Literal[True] | UnsetType = UNSET

    def __post_init__(self) -> None:
        given = [x for x in (self.users, self.topic, self.all) if x is not UNSET]
        if len(given) != 1:
            raise ValueError("Give exactly one of `users`, `topic` and `all`")


class Submission(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"about": "object"}):
    """One event as a producer sends it. What is left out comes from the type."""

    type: Annotated[str, Meta(min_length=1, max_length=100)]
    recipients: Recipients
    title: Line = ""
    body: Annotated[str, Meta(max_length=10_000)] = ""
    data: dict[str, Any] = {}
    action_url: Annotated[str, Meta(max_length=2000)] = ""
    actor: Line = ""
    category: Annotated[str, Meta(max_length=50)] | None = None
    tags: Annotated[list[Tag], Meta(max_length=20)] = []
    priority: Priority | None = None
    about: Line = ""
    channels: Annotated[list[Annotated[str, Meta(max_length=20)]], Meta(min_length=1)] | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    email_if_unread_after: Annotated[int, Meta(ge=1, le=30 * 86400)] | None = None
    digest_key: Annotated[str, Meta(max_length=100, pattern=r"^[^\x00-\x1f]*$(?!\n)")] = ""
    template_data: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if self.action_url and not followable(self.action_url):
            raise ValueError("`action_url` must start with https://, http:// or a single /")
        check_data("data", self.data)
        check_data("template_data", self.template_data)
        for name in ("send_at", "expires_at"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"`{name}` needs a time zone, for example a final Z")
            if moment is not None and not EARLIEST <= moment < LATEST:
                raise ValueError(f"`{name}` must be between the years {EARLIEST.year} and {LATEST.year}")
        if self.expires_at and self.send_at and self.expires_at <= self.send_at:
            raise ValueError("`expires_at` must come after `send_at`")

    def normalised_tags(self) -> list[str]:
        """Lower case, trimmed, each once, in the order given."""
        return list(dict.fromkeys(tag.strip().lower() for tag in self.tags))

    def due_at(self, now: datetime) -> datetime:
        """Not before this. A `send_at` in the past means now."""
        return max(self.send_at.astimezone(UTC), now) if self.send_at else now


def check_data(name: str, value: dict[str, Any]) -> None:
    """Raises ValueError for what is too large, too deep, or grows when it is stored."""
    _check_plain(name, value, depth=0)
    if len(msgspec.json.encode(value)) > MAX_DATA_BYTES:
        raise ValueError(f"`{name}` may have at most {MAX_DATA_BYTES} bytes as JSON")


def _check_plain(name: str, value: Any, *, depth: int) -> None:
    """
    Refuse data that grows when it is stored or shown: PostgreSQL writes 1e300 out in 301 digits, and every
    reader of deep nesting recurses. Raises ValueError.
    """
    if depth > MAX_DATA_DEPTH:
        raise ValueError(f"`{name}` may be nested at most {MAX_DATA_DEPTH} deep")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            _check_plain(name, one, depth=depth + 1)
    elif isinstance(value, float) and value and not SMALLEST <= abs(value) <= LARGEST:
        raise ValueError(f"numbers in `{name}` must lie between {SMALLEST} and {LARGEST}")


def followable(url: str) -> bool:
    """Whether a browser may follow it and a mail can carry it: `http://[` is neither."""
    try:
        return bool(_SAFE_URL.fullmatch(url) and (url.startswith("/") or urlsplit(url).hostname))
    except ValueError:
        return False
