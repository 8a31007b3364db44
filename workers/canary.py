"""
The canary: one test notification to one person through every channel, and what became of it.

It takes the way of every other event, so that what it needs is what people need: workers, providers, addresses.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from django.conf import settings

from core import logs
from core.errors import AppError
from core.models import User
from notifications import events
from notifications.models import Category, Delivery, Event, Notification, Type
from notifications.submission import Submission
from notifications.words import IN_APP, DeliveryState, Priority, Value

TYPE, CATEGORY = "bellhop.canary", "bellhop"


class Arrival(NamedTuple):
    """What became of the canary on one channel. `seconds` since it was accepted; None while it is on its way."""

    channel: str
    arrived: bool
    what: str
    seconds: float | None


def send(user: User, *, now: datetime) -> UUID:
    """
    Accept the event. Its type is made on first use, and required on every channel: nobody's choice holds it
    back. Raises AppError when it is not accepted.
    """
    channels = [IN_APP, *settings.DELIVERY_CHANNELS]
    Category.objects.get_or_create(key=CATEGORY, defaults={"name": "Bellhop"})
    # What is critical waits for no quiet hours, and is in no digest and no budget.
    Type.objects.update_or_create(
        key=TYPE,
        defaults={"category_id": CATEGORY, "title": "A test of every channel", "priority": Priority.CRITICAL}
        | {"channels": channels, "required": channels, "not_allowed": []},
    )
    body = {
        "type": TYPE,
        "recipients": {"users": [user.username]},
        "body": "If you can read this, the channel works.",
    }
    (accepted,) = events.accept(
        [msgspec.convert(body, Submission)], producer_id=user.pk, keys=[None], trace_id=logs.trace_id(), now=now
    )
    if isinstance(accepted, AppError):
        raise accepted
    return accepted.id


def look(event_id: UUID, *, user: User) -> list[Arrival]:
    """What became of it so far, the inbox first. At most three queries."""
    event = Event.objects.get(pk=event_id)
    line = Notification.objects.filter(event=event, user=user).first()
    if line is None:
        why = event.error or f"the event is {event.state}"
        ended = None if event.due_at else 0.0
        return [Arrival(name, False, why, ended) for name in (IN_APP, *settings.DELIVERY_CHANNELS)]
    arrivals = [
        Arrival(IN_APP, line.rev is not None, "in the inbox", (line.created_at - event.accepted_at).total_seconds())
    ]
    deliveries = list(Delivery.objects.filter(notification=line).order_by("id"))
    for channel in settings.DELIVERY_CHANNELS:
        ours = [_of_delivery(one, event) for one in deliveries if one.channel == channel]
        arrivals += ours or [_left_out(channel, line.decisions.get(channel, {}))]
    return arrivals


def _of_delivery(delivery: Delivery, event: Event) -> Arrival:
    what = " ".join(part for part in (delivery.state, delivery.reason, delivery.code) if part)
    seconds = (delivery.ended_at - event.accepted_at).total_seconds() if delivery.ended_at else None
    return Arrival(delivery.channel, delivery.state == DeliveryState.SENT, what, seconds)


def _left_out(channel: str, decision: dict[str, str]) -> Arrival:
    """Nothing was to be sent: that is not an arrival."""
    what = f"no: {decision.get('reason', 'not decided')}" if decision.get("value") != Value.ON else "not planned"
    return Arrival(channel, False, what, 0.0)
