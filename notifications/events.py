"""
Events: accept one, claim the due ones, move along their audience, end them. The only writer of Event.

docs/architecture.md tells the life of a notification; this is its beginning.
"""

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from itertools import count
from operator import or_
from typing import Any

import msgspec
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Greatest
from msgspec import UNSET

from core import queue
from core.errors import AppError, Conflict, Invalid
from notifications import ledger, names, sql
from notifications.models import Event
from notifications.submission import Submission
from notifications.words import EventState, Lane, Priority, lane_of

HELD = [EventState.PROCESSING, EventState.RETRACTING]  # what a claim leaves an event in
ENDED_OTHERWISE = [EventState.FAILED, EventState.CANCELLED, EventState.RETRACTING, EventState.RETRACTED]
_encode = msgspec.json.Encoder(order="deterministic").encode
_order = count(secrets.randbits(23))  # one bit less than it has room for: it does not start again soon


class IdempotencyConflict(Conflict):
    """This Idempotency-Key was used before with another body; use a new key for a new event."""

    code = "idempotency_conflict"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The promise: this event is committed. `repeated`: it had been before this call."""

    id: uuid.UUID
    status: str
    repeated: bool = False


def new_id(now: datetime) -> uuid.UUID:
    """
    A UUIDv7 (RFC 9562, 5.7): milliseconds first, so that new rows go to the end of the index; then a counter (6.2,
    method 1), so that what one process accepts within a millisecond keeps its order.
    """
    milliseconds = int(now.timestamp() * 1000)
    rest = (next(_order) % (1 << 24) << 50) | secrets.randbits(50)
    return uuid.UUID(int=(milliseconds << 80) | (0x7 << 76) | (rest >> 62 << 64) | (0x2 << 62) | (rest % (1 << 62)))


def accept(
    submissions: Sequence[Submission],
    *,
    producer_id: int,
    keys: Sequence[str | None],
    zones: Sequence[str] | None = None,
    trace_id: str,
    now: datetime,
) -> list[Accepted | AppError]:
    """
    Store events in one INSERT and hint their lanes. One answer each, in order; each stands alone. A zone that
    is not "" narrows the audience to people whose clock is in it.

    Safe to repeat and to run at once: with the same key and body the first id is the answer, with another body
    IdempotencyConflict. What was accepted is committed when this returns, or with the caller's own transaction.
    """
    ids = sorted(new_id(now) for _ in submissions)
    answers: dict[uuid.UUID, Accepted | AppError] = {}
    rows = []
    for place, submission in enumerate(submissions):
        if unknown := names.unknown_channels(submission.channels):
            answers[ids[place]] = unknown
        else:
            rows.append(_row(submission, id=ids[place], key=keys[place], zone=zones[place] if zones else "", now=now))
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(
                sql.ACCEPT,
                {"rows": _encode(rows).decode(), "producer": producer_id, "trace": trace_id, "now": now},
            )
            lanes = dict(cursor.fetchall())
        answers |= {id: Accepted(id=id, status=EventState.ACCEPTED) for id in lanes}
        # A lane whose events are all in the future is left to the dispatcher.
        for lane in {lanes[row["id"]] for row in rows if row["id"] in lanes and row["due_at"] <= now}:
            queue.hint(queue.PROCESS_EVENTS, lane=lane)
        if refused := [row for row in rows if row["id"] not in lanes]:
            answers |= _refusals(refused, producer_id=producer_id)
    return [answers[id] for id in ids]


def _row(submission: Submission, *, id: uuid.UUID, key: str | None, zone: str, now: datetime) -> dict[str, Any]:
    to = submission.recipients
    return {
        "id": id,
        "key": key,
        "fingerprint": hashlib.sha256(_encode(submission)).hexdigest(),
        "type": submission.type,
        "category": submission.category,
        "priority": submission.priority,
        # Every lane an event of this audience could be in; the type may still decide the priority.
        "lanes": {p: lane_of(priority=p, broadcast=to.users is UNSET) for p in Priority},
        "title": submission.title,
        "body": submission.body,
        "data": submission.data,
        "template_data": submission.template_data,
        "action_url": submission.action_url,
        "actor": submission.actor,
        "object": submission.about,
        "tags": submission.normalised_tags(),
        "channels": submission.channels,
        "digest_key": submission.digest_key,
        "email_if_unread_after": submission.email_if_unread_after,
        "expires_at": submission.expires_at,
        "usernames": None if to.users is UNSET else list(dict.fromkeys(to.users)),
        "topic": None if to.topic is UNSET else to.topic,
        "everyone": to.all is not UNSET,
        "zone": zone,
        "due_at": submission.due_at(now),
    }


def _refusals(rows: list[dict[str, Any]], *, producer_id: int) -> dict[uuid.UUID, Accepted | AppError]:
    """Why the INSERT left these rows out: a key that was used, or a name that does not exist."""
    keys = [row["key"] for row in rows if row["key"]]
    used = {e.idempotency_key: e for e in Event.objects.filter(producer_id=producer_id, idempotency_key__in=keys)}
    answers: dict[uuid.UUID, Accepted | AppError] = {}
    for row, unknown in zip(rows, names.unknown_names(rows), strict=True):
        first = used.get(row["key"])
        if first is None:
            answers[row["id"]] = unknown or Invalid()
        elif first.fingerprint != row["fingerprint"]:
            answers[row["id"]] = IdempotencyConflict(id=str(first.id))
        else:
            answers[row["id"]] = Accepted(id=first.id, status=first.state, repeated=True)
    return answers


class Claimed(msgspec.Struct):
    """An event in a worker's hands until its lease ends; only the holder of `token` may write it."""

    id: uuid.UUID
    token: int
    attempts: int
    state: str
    trace_id: str
    type: str
    category: str
    priority: str
    lane: str
    title: str
    body: str
    data: str  # as the database gives it: JSON text, passed on without being read
    template_data: str
    action_url: str
    actor: str
    object: str
    tags: list[str]
    channels: list[str] | None  # the event's own
    type_channels: list[str]
    required: list[str]
    not_allowed: list[str]
    digest_key: str
    email_if_unread_after: int | None
    expires_at: datetime | None
    usernames: list[str] | None
    topic_id: int | None
    topic: str | None
    everyone: bool
    zone: str
    worded: bool  # its type has templates for inbox lines
    cursor: int
    error: str
    committed: int = 0  # the cursor as the database has it


def claim(*, lane: Lane, limit: int, now: datetime) -> list[Claimed]:
    """
    Take up to `limit` due events of a lane for LEASE, oldest first. Another worker's are left out, not waited for.

    Attempts are counted here, before the work, so that an event that kills its worker is known by them.
    """
    return _claim(sql.IN_LANE, lane=lane, limit=limit, now=now)


def claim_one(event_id: uuid.UUID, *, now: datetime) -> list[Claimed]:
    """Take one event for LEASE, if it is due and nobody has it: a list of one, or of none."""
    return _claim(sql.BY_ID, id=str(event_id), limit=1, now=now)


def _claim(which: str, *, now: datetime, **given: Any) -> list[Claimed]:
    with connection.cursor() as cursor:
        cursor.execute(sql.CLAIM_EVENTS.format(which=which), given | {"now": now, "until": now + settings.LEASE})
        return sorted((Claimed(*row) for row in cursor.fetchall()), key=lambda event: event.id)


@dataclass(slots=True)
class Step:
    """How far one chunk has taken an event."""

    event: Claimed
    cursor: int
    done: bool
    unknown_users: list[str]


def advance(steps: Sequence[Step], *, now: datetime) -> set[uuid.UUID]:
    """
    Move the cursors, renew the leases and end what is done, in the transaction that inserts the chunk.

    Returns the events still ours. Of one not returned the lease was lost: its lines must not be written.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            sql.ADVANCE_EVENTS,
            {
                "ids": [str(step.event.id) for step in steps],
                "tokens": [step.event.token for step in steps],
                "cursors": [step.cursor for step in steps],
                "done": [step.done for step in steps],
                "unknown": [_encode(step.unknown_users).decode() for step in steps],
                "now": now,
                "until": now + settings.LEASE,
            },
        )
        return {row[0] for row in cursor.fetchall()}


def release(held: Sequence[Claimed], *, now: datetime) -> None:
    """Give back events that were not at fault: due again at once, and this claim is not counted."""
    if held:
        mine = reduce(or_, (Q(id=event.id, token=event.token) for event in held))
        Event.objects.filter(mine, state__in=HELD).update(due_at=now, attempts=Greatest(F("attempts") - 1, 0))


def _mine(event: Claimed) -> QuerySet[Event]:
    return Event.objects.filter(id=event.id, token=event.token, state__in=HELD)


def postpone(event: Claimed, *, error: str, now: datetime) -> None:
    """Working on it raised: try again later, or end it as failed when it was tried MAX_ATTEMPTS times."""
    if event.attempts >= settings.MAX_ATTEMPTS:
        fail(event, error=error, now=now)
    else:
        _mine(event).update(due_at=now + timedelta(seconds=min(300, 2**event.attempts)), error=error[:500])


def note(event: Claimed, *, error: str) -> None:
    """Keep what went wrong, for whoever asks why it failed in the end. The lease goes on."""
    _mine(event).update(error=error[:500])


def fail(event: Claimed, *, error: str, now: datetime) -> None:
    """It was tried as often as allowed: it ends here, with the reason."""
    _mine(event).update(state=EventState.FAILED, due_at=None, error=error[:500], processed_at=now)


@transaction.atomic
def cancel(event_id: uuid.UUID, *, now: datetime) -> int:
    """
    Stop what has not been sent: a scheduled event never happens, waiting deliveries end as cancelled, a running
    expansion ends before its next chunk. What is in a provider's hands goes on. How many deliveries it stopped.

    Inbox lines stay. Safe to run twice and at once; an event that has failed stays failed, and one that is being
    withdrawn goes on being so.
    """
    Event.objects.filter(id=event_id).exclude(state__in=ENDED_OTHERWISE).update(
        state=EventState.CANCELLED, due_at=None, token=F("token") + 1
    )
    return ledger.cancel(event_id, now=now)


def expire(event: Claimed, *, now: datetime) -> None:
    """Its `expires_at` has passed before it was processed: nobody gets it."""
    Event.objects.filter(id=event.id, token=event.token).update(
        state=EventState.CANCELLED, due_at=None, error="expired", processed_at=now
    )


def due_lanes(*, now: datetime) -> list[Lane]:
    """The lanes that have due events, from the index of the open ones."""
    waiting = Event.objects.filter(due_at__lte=now).order_by().values_list("lane", flat=True).distinct()
    return [Lane(lane) for lane in waiting]
