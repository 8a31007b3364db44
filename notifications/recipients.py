"""Who gets an event: its audience, read in chunks at the moment of sending, never held in memory whole."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from django.conf import settings
from django.db import connection

from notifications import choices
from notifications.events import Claimed, Step
from notifications.words import PUSH

DEVICE = "device:"  # and its id: the address of a push


class Recipient(NamedTuple):
    """A person an event resolved to, with what routing must know about them."""

    user_id: int
    username: str
    email: str
    stamp: int  # of their choices: a decision on another stamp is out of date
    devices: list[int]  # none where push is not installed
    raw: choices.Raw

    def addresses(self, channel: str) -> list[str]:
        """Where they are on a channel."""
        if channel == PUSH:
            return [f"{DEVICE}{id}" for id in self.devices]
        return [self.email] if channel == "email" and self.email else []


class Chunk(msgspec.Struct):
    """Up to a limit of (event, recipient) lines, and how far they take each event."""

    lines: list[tuple[Claimed, Recipient]]
    steps: list[Step]


# Only settings that can matter to these events, so that people who differ elsewhere stay alike.
_SCOPES = "s.category_id = ANY(%(categories)s) OR s.type_id = ANY(%(types)s) OR o.key = ANY(%(topics)s)"
_CHOICES = choices.columns(scopes=_SCOPES)
_DEVICES = "ARRAY(SELECT v.id FROM notifications_device v WHERE v.user_id = u.id AND v.gone_at IS NULL ORDER BY v.id)"
_NO_DEVICES = "ARRAY[]::bigint[]"
_JOINS = f"LEFT JOIN notifications_inboxhead h ON h.user_id = u.id {choices.JOINS}"


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


def read_again(chunk: Chunk) -> None:
    """Somebody changed what they chose after the chunk was read: read all its people anew, one query."""
    found = _people(
        "core_user u",
        "u.id = ANY(%(ids)s)",
        [event for event, _ in chunk.lines],
        ids=[r.user_id for _, r in chunk.lines],
    )
    fresh = {recipient.user_id: recipient for recipient in found}
    chunk.lines = [(event, fresh[r.user_id]) for event, r in chunk.lines if r.user_id in fresh]


def _people(source: str, condition: str, events: Sequence[Claimed], **given: Any) -> list[Recipient]:
    """The active people of a source, with their choices as far as these events ask for them."""
    given |= {
        "categories": list({event.category for event in events}),
        "types": list({event.type for event in events}),
        "topics": list({key for event in events for key in (event.topic, event.object) if key}),
    }
    of_push = _DEVICES if PUSH in settings.DELIVERY_CHANNELS else _NO_DEVICES
    columns = f"u.id, u.username, u.email, coalesce(h.choices, 0), {of_push}, {_CHOICES}"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {source} {_JOINS} WHERE u.is_active AND {condition}", given)
        return [
            Recipient(id, name, email, stamp, devices, choices.Raw(*raw))
            for id, name, email, stamp, devices, *raw in cursor.fetchall()
        ]


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
    names_ = list({name for _, part, _ in taken for name in part})
    people = _people("core_user u", "u.username = ANY(%(names)s)", [event for event, *_ in taken], names=names_)
    found = {recipient.username: recipient for recipient in people}
    return Chunk(
        lines=[
            (event, found[name])
            for event, part, _ in taken
            for name in part
            if name in found and (not event.zone or found[name].raw.timezone == event.zone)
        ],
        steps=[
            Step(event=event, cursor=event.cursor, done=done, unknown_users=[n for n in part if n not in found])
            for event, part, done in taken
        ],
    )


def _broadcast(event: Claimed, *, limit: int) -> Chunk:
    """The next page of a topic's subscribers, or of everyone. The cursor is the last user id."""
    source, column, condition = "core_user u", "u.id", ""
    if not event.everyone:
        source = "notifications_subscription f JOIN core_user u ON u.id = f.user_id"
        column, condition = "f.user_id", "f.topic_id = %(topic)s AND"
    if event.zone:
        condition += f" {choices.ZONE} = %(zone)s AND"
    found = _people(
        source,
        f"{condition} {column} > %(after)s ORDER BY {column} LIMIT %(limit)s",
        [event],
        topic=event.topic_id,
        zone=event.zone,
        after=event.cursor,
        limit=limit,
    )
    event.cursor = found[-1].user_id if found else event.cursor
    return Chunk(
        lines=[(event, recipient) for recipient in found],
        steps=[Step(event=event, cursor=event.cursor, done=len(found) < limit, unknown_users=[])],
    )
