"""
Retraction: withdraw everything a producer told us about an object.

`retract` marks the events and ends their waiting deliveries, in one transaction. Their inbox lines, of which
there may be a hundred thousand, are withdrawn by the workers chunk by chunk: `work`. Beside events.py, inbox.py
and ledger.py this is the one module that writes their tables, because it must do so together.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import connection, transaction

from core import logs, queue
from notifications import live, shapes
from notifications.events import Claimed
from notifications.models import Event, Notification
from notifications.words import Change, EventState

log = logs.logger(__name__)
_json = msgspec.json.Encoder(enc_hook=str).encode

# Nobody has claimed an `accepted` event, so it has no lines. What was cancelled or failed may have left some.
# The new token ends a running expansion before its next chunk. The lines are walked in the order of users.
MARK = """
UPDATE notifications_event e
SET state = CASE e.state WHEN 'accepted' THEN 'retracted' ELSE 'retracting' END,
    due_at = CASE e.state WHEN 'accepted' THEN NULL ELSE %(now)s END,
    token = e.token + 1, attempts = 0, cursor = 0, retracted_at = %(now)s
WHERE e.id = ANY(%(ids)s::uuid[]) AND (e.state NOT IN ('cancelled', 'failed') OR EXISTS (
    SELECT FROM notifications_notification n WHERE n.event_id = e.id AND n.deleted_at IS NULL))
RETURNING e.id, e.lane, e.due_at IS NOT NULL
"""

END_DELIVERIES = """
WITH waiting AS MATERIALIZED (
    SELECT d.id FROM notifications_delivery d JOIN notifications_notification n ON n.id = d.notification_id
    WHERE n.event_id = ANY(%(ids)s::uuid[]) AND d.due_at IS NOT NULL AND NOT d.in_flight
    ORDER BY d.id FOR NO KEY UPDATE OF d)
UPDATE notifications_delivery d
SET state = 'cancelled', reason = 'retracted', due_at = NULL, ended_at = %(now)s
FROM waiting w WHERE d.id = w.id
"""

# The event first, then the heads in the order of users: as an expansion locks them. Whose token is old locks no head.
HOLD = """
WITH line AS MATERIALIZED (
    SELECT n.id, n.user_id FROM notifications_event e
    JOIN notifications_notification n ON n.event_id = e.id AND n.user_id > e.cursor AND n.deleted_at IS NULL
    WHERE e.id = %(event)s ORDER BY n.user_id LIMIT %(limit)s),
mine AS (
    UPDATE notifications_event e
    SET cursor = greatest(e.cursor, c.last), attempts = 1, error = '',
        state = CASE WHEN c.lines < %(limit)s THEN 'retracted' ELSE e.state END,
        due_at = CASE WHEN c.lines < %(limit)s THEN NULL ELSE %(until)s END
    FROM (SELECT count(*) AS lines, max(user_id) AS last FROM line) c
    WHERE e.id = %(event)s AND e.token = %(token)s AND e.state = 'retracting'
    RETURNING e.state = 'retracted' AS done),
head AS MATERIALIZED (
    SELECT h.user_id FROM mine CROSS JOIN line JOIN notifications_inboxhead h USING (user_id)
    ORDER BY h.user_id FOR NO KEY UPDATE OF h)
SELECT mine.done, ARRAY(SELECT id FROM line), (SELECT count(*) FROM head) FROM mine
"""

# A statement of its own: it sees what people did to these lines while HOLD waited for their heads. A line that
# is not in the inbox (rev NULL) takes no number. What is unread, unseen and read by a mark is as in
# sql.CHANGE_NOTIFICATIONS.
WITHDRAW = """
WITH target AS (
    SELECT n.id, n.user_id, n.rev IS NOT NULL AS visible,
        n.archived_at IS NULL AND n.read_at IS NULL AND n.rev > h.read_watermark AS unread,
        n.archived_at IS NULL AND n.seen_at IS NULL AND n.rev > h.read_watermark AS unseen,
        coalesce(n.read_at, mark.at) AS read_at, coalesce(n.seen_at, mark.at) AS seen_at
    FROM notifications_notification n
    LEFT JOIN notifications_inboxhead h USING (user_id)
    LEFT JOIN LATERAL (SELECT m.at FROM notifications_readmark m
                       WHERE m.user_id = n.user_id AND m.seq >= n.rev ORDER BY m.seq LIMIT 1) mark ON true
    WHERE n.id = ANY(%(ids)s::bigint[]) AND n.deleted_at IS NULL),
head AS (
    UPDATE notifications_inboxhead h
    SET head_seq = h.head_seq + 1, unread = h.unread - t.unread::int, unseen = h.unseen - t.unseen::int
    FROM target t WHERE h.user_id = t.user_id AND t.visible
    RETURNING h.user_id, h.head_seq, h.unread, h.unseen),
gone AS (
    UPDATE notifications_notification n
    SET rev = h.head_seq, deleted_at = %(now)s, read_at = t.read_at, seen_at = t.seen_at
    FROM target t LEFT JOIN head h USING (user_id) WHERE n.id = t.id
    RETURNING n.id, n.user_id)
SELECT g.user_id, g.id, h.head_seq, h.unread, h.unseen FROM gone g JOIN head h USING (user_id) ORDER BY g.user_id
"""


class Retracted(NamedTuple):
    """How many events were withdrawn, and how many deliveries will not go out because of it."""

    events: int
    deliveries: int


class Withdrawn(NamedTuple):
    """One line that left an inbox, with the person's counts right after it."""

    user_id: int
    id: int
    rev: int
    unread: int
    unseen: int


@transaction.atomic
def retract(about: str, *, producer_id: int | None, type: str | None, now: datetime) -> Retracted:
    """
    Withdraw the events of an object: of one producer or (None) of all, of one type or of any.

    When this returns (and the caller's transaction commits) no new line or delivery comes of them, and no waiting
    one goes out; what is in a provider's hands goes on. The lines follow. Safe to run twice and at once: what is
    being withdrawn is not found again. Three statements, whatever the number.
    """
    rows = Event.objects.filter(object=about).exclude(state__in=[EventState.RETRACTING, EventState.RETRACTED])
    if producer_id is not None:
        rows = rows.filter(producer_id=producer_id)
    if type is not None:
        rows = rows.filter(type_id=type)
    # Locked before they are marked: only the next statement sees the lines of a chunk this one waited for.
    ids = list(rows.order_by("id").select_for_update(no_key=True).values_list("id", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(MARK, {"ids": [str(id) for id in ids], "now": now})
        marked: list[tuple[UUID, str, bool]] = cursor.fetchall()
        cursor.execute(END_DELIVERIES, {"ids": [str(id) for id, _, _ in marked], "now": now})
        ended = cursor.rowcount
    for lane in {lane for _, lane, is_open in marked if is_open}:
        queue.hint(queue.PROCESS_EVENTS, lane=lane)
    return Retracted(events=len(marked), deliveries=ended)


def work(event: Claimed, *, now: datetime) -> bool:
    """
    Withdraw the next CHUNK lines of a claimed event that is `retracting`, and tell the sockets. True: nothing is left.

    The lease is renewed, or the event ended, in the transaction that changes the lines. Whoever lost the lease changes
    nothing and is done. Safe to run twice and at once; after a crash the next claim goes on. Two statements a chunk.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            HOLD,
            {
                "event": str(event.id),
                "token": event.token,
                "limit": settings.CHUNK,
                "until": now + settings.LEASE,
            },
        )
        held = cursor.fetchone()
        if held is None:
            return True
        done, ids, _ = held
        cursor.execute(WITHDRAW, {"ids": ids, "now": now})
        withdrawn = [Withdrawn(*row) for row in cursor.fetchall()]
        transaction.on_commit(lambda: _tell(event, withdrawn, done=done, now=now))
    return bool(done)


def _tell(event: Claimed, withdrawn: Sequence[Withdrawn], *, done: bool, now: datetime) -> None:
    """One message for the chunk: each line as its tombstone."""
    lines = [
        live.Line(
            user_id=line.user_id,
            seq=line.rev,
            change=Change.DELETED,
            unread=line.unread,
            unseen=line.unseen,
            own=_json(shapes.as_json(Notification(id=line.id, rev=line.rev, deleted_at=now))).decode(),
        )
        for line in withdrawn
    ]
    told = live.publish(lines) if lines else True
    log.info(
        "event.withdrawn",
        trace_id=event.trace_id,
        event_id=str(event.id),
        lines=len(lines),
        done=done,
        published=told,
    )
