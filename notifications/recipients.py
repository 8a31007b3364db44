"""Who gets an event: its audience, read in chunks at the moment of sending, never held in memory whole."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection

from notifications.events import Claimed, Step


@dataclass(frozen=True, slots=True)
class Recipient:
    """A person an event resolved to, with what routing must know about them."""

    user_id: int
    email: str


@dataclass(slots=True)
class Chunk:
    """Up to a limit of (event, recipient) lines, and how far they take each event."""

    lines: list[tuple[Claimed, Recipient]]
    steps: list[Step]


def chunks(events: list[Claimed], *, limit: int) -> Iterator[Chunk]:
    """
    Cut the rest of these events' audiences into chunks of at most `limit` lines, one query each.

    Many small events share a chunk; a broadcast has chunks of its own, paged by user id.
    """
    waiting = deque(events)
    while waiting:
        if waiting[0].usernames is None:
            chunk = _broadcast(waiting[0], limit=limit)
            if chunk.steps[0].done:
                waiting.popleft()
        else:
            chunk = _named(waiting, limit=limit)
        yield chunk


def _named(waiting: deque[Claimed], *, limit: int) -> Chunk:
    """Fill one chunk from the events at the front that name their users."""
    taken: list[tuple[Claimed, list[str], bool]] = []
    room = limit
    while waiting and room and (names := waiting[0].usernames) is not None:
        event = waiting[0]
        part = names[event.cursor : event.cursor + room]
        event.cursor += len(part)
        done = event.cursor >= len(names)
        if done:
            waiting.popleft()
        taken.append((event, part, done))
        room -= len(part)
    found = _find({name for _, part, _ in taken for name in part})
    return Chunk(
        lines=[(event, found[name]) for event, part, _ in taken for name in part if name in found],
        steps=[
            Step(event=event, cursor=event.cursor, done=done, unknown_users=[n for n in part if n not in found])
            for event, part, done in taken
        ],
    )


def _find(names: set[str]) -> dict[str, Recipient]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT username, id, email FROM core_user WHERE username = ANY(%s) AND is_active", [list(names)]
        )
        return {name: Recipient(user_id=id, email=email) for name, id, email in cursor.fetchall()}


def _broadcast(event: Claimed, *, limit: int) -> Chunk:
    """The next page of a topic's subscribers, or of everyone. The cursor is the last user id."""
    source = (
        "core_user u WHERE"
        if event.everyone
        else "notifications_subscription s JOIN core_user u ON u.id = s.user_id WHERE s.topic_id = %(topic)s AND"
    )
    column = "u.id" if event.everyone else "s.user_id"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT u.id, u.email FROM {source} {column} > %(after)s AND u.is_active "
            f"ORDER BY {column} LIMIT %(limit)s",
            {"topic": event.topic_id, "after": event.cursor, "limit": limit},
        )
        found = [Recipient(user_id=id, email=email) for id, email in cursor.fetchall()]
    event.cursor = found[-1].user_id if found else event.cursor
    return Chunk(
        lines=[(event, recipient) for recipient in found],
        steps=[Step(event=event, cursor=event.cursor, done=len(found) < limit, unknown_users=[])],
    )
