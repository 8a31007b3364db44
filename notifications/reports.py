"""What became of an event, for the producer who asks."""

from typing import Any

from django.db.models import Count

from notifications.models import Delivery, Event, Notification
from notifications.words import IN_APP


def summary(event: Event) -> dict[str, Any]:
    """What the event's own row says of it."""
    return {
        "id": str(event.id),
        "type": event.type_id,
        "category": event.category_id,
        "status": event.state,
        "error": event.error,
        "trace_id": event.trace_id,
        "accepted_at": event.accepted_at,
        "due_at": event.due_at,
        "processed_at": event.processed_at,
        "unknown_users": event.unknown_users,
    }


def report(event: Event) -> dict[str, Any]:
    """What became of an event: its summary, and counts by channel and state."""
    by_channel: dict[str, dict[str, int]] = {}
    lines = Notification.objects.filter(event=event).aggregate(all=Count("id"), inbox=Count("rev"))
    if lines["inbox"]:
        by_channel[IN_APP] = {"created": lines["inbox"]}
    deliveries = (
        Delivery.objects.filter(notification__event=event).values_list("channel", "state").annotate(n=Count("id"))
    )
    for channel, state, n in deliveries:
        by_channel.setdefault(channel, {})[state] = n
    return summary(event) | {"recipients": lines["all"], "channels": by_channel}
