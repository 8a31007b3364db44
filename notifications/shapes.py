"""A notification as the API and the sockets show it: what the event says, and what became of the line."""

from datetime import datetime
from typing import Any

import msgspec

from notifications.events import Claimed
from notifications.models import Notification


def content(event: Any, *, data: Any) -> dict[str, Any]:
    """What a notification says: the event's part of its JSON."""
    return {
        "event": str(event.id),
        "type": getattr(event, "type_id", None) or event.type,
        "category": getattr(event, "category_id", None) or event.category,
        "tags": event.tags,
        "priority": event.priority,
        "title": event.title,
        "body": event.body,
        "data": data,
        "action_url": event.action_url,
        "actor": event.actor,
        "object": event.object,
        "expires_at": event.expires_at,
    }


def state(
    *,
    created_at: datetime,
    seen_at: datetime | None = None,
    read_at: datetime | None = None,
    archived_at: datetime | None = None,
    snoozed_until: datetime | None = None,
) -> dict[str, Any]:
    """What became of it: the person's part of its JSON, without id and rev."""
    return {
        "created_at": created_at,
        "seen_at": seen_at,
        "read_at": read_at,
        "archived_at": archived_at,
        "snoozed_until": snoozed_until,
    }


def as_json(row: Notification) -> dict[str, Any]:
    """A row from `visible()` or `since()` as the API shows it; a deleted one is only its tombstone."""
    if row.deleted_at is not None:
        return {"id": str(row.pk), "rev": row.rev, "deleted": True}
    read_all: datetime | None = row.read_all_at  # type: ignore[attr-defined]
    return (
        {"id": str(row.pk), "rev": row.rev}
        | content(row.event, data=row.event.data)
        | {name: own for name, own in (("title", row.title), ("body", row.body)) if own is not None}
        | state(
            created_at=row.created_at,
            seen_at=row.seen_at or read_all,
            read_at=row.read_at or read_all,
            archived_at=row.archived_at,
            snoozed_until=row.snoozed_until,
        )
    )


def created_json(event: Claimed, *, title: str, body: str, now: datetime) -> dict[str, Any]:
    """What the new lines of an event have in common, for those who read it in these words."""
    said = content(event, data=msgspec.Raw(event.data.encode()))
    return said | {"title": title, "body": body} | state(created_at=now)
