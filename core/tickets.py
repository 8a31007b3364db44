"""
Tickets: what a page shows in its first frame instead of a token. Signed, for sockets only, short-lived.

A ticket names the user and the credential it was made with, so that logging out ends its sockets too.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.core import signing

from core.errors import AppError

_SALT = "bellhop.ws-ticket"


class BadTicket(AppError):
    """The ticket is forged, malformed or expired; get a new one from POST /auth/ws-ticket."""

    code = "bad_ticket"
    status = 401


@dataclass(frozen=True, slots=True)
class Ticket:
    """Who it was made for, and with which credential."""

    user_id: int
    credential: str


def session_credential(session_key: str) -> str:
    """A session as tickets and sockets name it: a ticket can be read by its page, and the key must not be."""
    return "session:" + hashlib.sha256(session_key.encode()).hexdigest()[:32]


def token_credential(digest: str) -> str:
    """A token as tickets and sockets name it; `digest` is the stored hash."""
    return f"token:{digest[:32]}"


def issue(*, user_id: int, credential: str, now: datetime) -> tuple[str, datetime]:
    """A ticket and the moment it expires."""
    text = signing.TimestampSigner(salt=_SALT).sign_object({"u": user_id, "c": credential})
    return text, now + settings.TICKET_TTL


def read(text: str) -> Ticket:
    """The ticket behind `text`. Raises BadTicket."""
    try:
        value = signing.TimestampSigner(salt=_SALT).unsign_object(text, max_age=settings.TICKET_TTL)
    except signing.BadSignature as error:
        raise BadTicket from error
    return Ticket(user_id=value["u"], credential=value["c"])
