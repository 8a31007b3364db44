"""
The catalogue staff keep: categories, types and topics; and who follows which topic.

What is used by an event cannot be deleted, because the event would lose its meaning: the count of what uses
it is in the error.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import Model

from core.errors import Conflict, Invalid
from notifications.models import Category, Event, Template, Topic, Type


class AlreadyThere(Conflict):
    """There is one with this key already; change that one, or choose another key."""

    code = "already_there"


class InUse(Conflict):
    """Something still uses it; details says how many of what. Let go of those first."""

    code = "in_use"


def create(row: Model) -> None:
    """Store a new entry. Raises AlreadyThere, and Invalid for a category that does not exist or rules that clash."""
    _check_rules(row)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        if isinstance(row, Type) and not Category.objects.filter(pk=row.category_id).exists():
            raise unknown_category(row.category_id) from error
        raise AlreadyThere from error


def change(row: Model, columns: Mapping[str, Any]) -> None:
    """Store new values of an entry. Raises Invalid for rules that clash."""
    for column, value in columns.items():
        setattr(row, column, value)
    _check_rules(row)
    row.save(force_update=True)


def _check_rules(row: Model) -> None:
    both = sorted(set(row.required) & set(row.not_allowed)) if isinstance(row, Type) else []
    if both:
        raise Invalid(
            "The body is not valid: see details.",
            not_allowed=[f"{', '.join(both)}: also in `required`; take it out of one of the two."],
        )


def unknown_category(key: str) -> Invalid:
    known = ", ".join(Category.objects.order_by("key").values_list("key", flat=True))
    return Invalid("The body is not valid: see details.", category=[f"{key!r} does not exist. Known: {known}."])


def delete(row: Category | Type | Topic) -> None:
    """Delete an entry that nothing uses. Raises InUse with the counts."""
    # What people chose counts too: it would vanish without their being told.
    uses: dict[str, Any] = {"settings": row.notificationsetting_set.count()}
    if isinstance(row, Category):
        uses |= {
            "types": Type.objects.filter(category=row).count(),
            "events": Event.objects.filter(category=row).count(),
        }
    elif isinstance(row, Type):
        uses |= {
            "events": Event.objects.filter(type=row).count(),
            "templates": Template.objects.filter(type=row).count(),
        }
    else:
        uses |= {"events": Event.objects.filter(topic=row).count()}
    if uses := {name: count for name, count in uses.items() if count}:
        raise InUse(**uses)
    row.delete()


def check_channels(channels: Sequence[str], *, known: set[str], field: str = "channels") -> None:
    """Raises Invalid naming, for this field, the channels that this installation does not have."""
    unknown = sorted(set(channels) - known)
    if unknown:
        raise Invalid(
            "The body is not valid: see details.",
            **{field: [f"Unknown: {', '.join(unknown)}. Known: {', '.join(sorted(known))}."]},
        )


def subscribe(topic: Topic, usernames: Sequence[str]) -> tuple[int, list[str]]:
    """
    Let active people follow a topic; how many are new, and the names that are nobody's. One statement.

    Safe to run twice and at once: who follows it already stays.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH found AS (SELECT id, username FROM core_user WHERE username = ANY(%(names)s) AND is_active),
            added AS (
                INSERT INTO notifications_subscription (topic_id, user_id, created_at)
                SELECT %(topic)s, id, now() FROM found ORDER BY id
                ON CONFLICT (topic_id, user_id) DO NOTHING RETURNING 1)
            SELECT (SELECT count(*) FROM added), ARRAY(SELECT username FROM found)
            """,
            {"topic": topic.pk, "names": list(usernames)},
        )
        added, found = cursor.fetchone()
    return added, [name for name in dict.fromkeys(usernames) if name not in set(found)]


def unsubscribe(topic: Topic, usernames: Sequence[str]) -> int:
    """Let people stop following a topic; how many did. Safe to run twice."""
    return topic.subscription_set.filter(user__username__in=usernames).delete()[0]
