"""The frozen values that cross from the pipeline to a provider and back. Pure Python."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from notifications.words import Priority


@dataclass(frozen=True, slots=True)
class Message:
    """What a provider gets. `key` is the same at every attempt of one delivery: the dedupe handle."""

    key: str
    address: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)
    trace_id: str
    url: str = field(default="", repr=False)  # where a tap leads
    priority: Priority = Priority.NORMAL
    expires_at: datetime | None = None  # not worth delivering after it
    unsubscribe: str = field(default="", repr=False)  # the link that ends messages of this kind
    collapse: str = field(default="", repr=False)  # on a device, a message replaces the one before it with the same


class Result(StrEnum):
    """What a provider said about one message."""

    SENT = "sent"
    RETRY = "retry"  # certainly not sent; worth another try
    THROTTLED = "throttled"  # not sent; the provider asks us to slow down
    GONE = "gone"  # the address does not exist any more
    FAILED = "failed"  # never will be, whatever we do
    CONFIG = "config"  # our own settings are wrong: sign-in, sender, policy
    UNKNOWN = "unknown"  # the call ended without an answer; it may have been sent


@dataclass(frozen=True, slots=True)
class Outcome:
    """One Result with what the provider said. `code` is short and stable, `detail` is for people."""

    result: Result
    code: str = ""
    detail: str = ""
    provider_id: str = ""
    retry_after: timedelta | None = None
    provider_away: bool = False  # nobody was there: other messages would fare the same
    scope: str = ""  # of many services behind one provider, the one that said it: it says nothing about the others
    gone_since: datetime | None = None  # of GONE, if the provider says so: whoever registered later is not meant
