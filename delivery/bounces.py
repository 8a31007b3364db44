"""
What ESPs report after a mail was accepted: bounces and complaints, normalised by django-anymail from every ESP's
webhook. They come to /anymail/<esp>/tracking/, signed with ANYMAIL's WEBHOOK_SECRET, in no order, and often twice.
"""

import re
from typing import Any

from anymail.signals import EventType, RejectReason, tracking
from django.utils import timezone

from core import logs
from notifications import suppressions
from notifications.rendering import EMAIL
from notifications.suppressions import Cause, Said

log = logs.logger(__name__)

# Several ESPs call a full mailbox a bounce like any other, and say so only in their own words or in the server's
# reply (RFC 3463: 4.x.x is for now, 5.2.2 is full).
_FOR_NOW = re.compile(r"soft|transient|temporar|undetermined|full|quota|\b4\.\d\.\d|\b5\.2\.2\b", re.IGNORECASE)
_THEIR_WORDS = ("Type", "type", "event", "bounce_class")
_NOT_THERE = {
    (EventType.BOUNCED, RejectReason.INVALID),
    (EventType.BOUNCED, RejectReason.BOUNCED),
    (EventType.REJECTED, RejectReason.INVALID),
    (EventType.REJECTED, RejectReason.BOUNCED),  # the ESP's own list: it bounced before
}


def cause(event: Any) -> Cause | None:
    """Why the address of a tracking event should get nothing more. None: it may."""
    if event.event_type == EventType.COMPLAINED:
        return Cause.COMPLAINT
    if (event.event_type, event.reject_reason) not in _NOT_THERE:
        return None
    raw = event.esp_event if isinstance(event.esp_event, dict) else {}
    words = [event.description, event.mta_response, *(raw.get(name) for name in _THEIR_WORDS)]
    return None if _FOR_NOW.search(" ".join(str(word) for word in words if word)) else Cause.BOUNCE


def note(sender: object, *, event: Any, esp_name: str, **_: Any) -> None:
    """Receiver of `tracking`. Safe to run twice; what raises here the ESP sends again."""
    why = cause(event)
    if why is None or not event.recipient:
        return
    said = Said(EMAIL, event.recipient, why, f"{esp_name}: {event.description or ''} {event.mta_response or ''}")
    added = suppressions.add([said], now=timezone.now())
    key = (event.metadata or {}).get("key", "")
    log.info("address.suppressed", cause=why, esp=esp_name, key=key, added=added)


def listen() -> None:
    """From now on hear what ESPs say."""
    tracking.connect(note, dispatch_uid="bellhop.bounces")
