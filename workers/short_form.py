"""
The short form of an event: one notification for one person, there when the call returns.

Accepted and claimed in one transaction, so that no worker takes it meanwhile; should this process die after
the commit, a worker goes on when the lease ends, as with every event.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from msgspec import UNSET

from core.errors import AppError, Conflict, Invalid
from core.models import User
from notifications import events, inbox, shapes
from notifications.submission import Submission
from workers import pipeline


class NotInInbox(Conflict):
    """It is not for their inbox: they, a default or the type decided so. GET /events/{id}/explain says which rule."""

    code = "not_in_inbox"


def notify(
    submission: Submission, *, producer_id: int, key: str | None, trace_id: str, clock: Callable[[], datetime]
) -> dict[str, Any]:
    """
    The new line as its person's API shows it. Raises Invalid for somebody who does not exist, NotInInbox, and
    what events.accept refuses.

    Safe to repeat with the same key: the line of the first time is the answer.
    """
    users = submission.recipients.users
    if users is UNSET or len(users) != 1:
        raise Invalid("The short form has exactly one recipient; POST /events takes more.")
    username = users[0]
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise Invalid("The body is not valid: see details.", user=[f"There is no active user {username!r}."])
    with transaction.atomic():
        (accepted,) = events.accept([submission], producer_id=producer_id, keys=[key], trace_id=trace_id, now=clock())
        if isinstance(accepted, AppError):
            raise accepted
        claimed = [] if accepted.repeated else events.claim_one(accepted.id, now=clock())
    pipeline.process_claimed(claimed, clock=clock)
    return _line(accepted.id, user_id=user.pk)


def _line(event_id: UUID, *, user_id: int) -> dict[str, Any]:
    row = inbox.visible(user_id).filter(event_id=event_id).first()
    if row is None:
        raise NotInInbox(event=str(event_id))
    return shapes.as_json(row)
