"""
Replays: deliveries that failed, or of which nobody knows, are sent again after an incident.

Dead deliveries of a window become pending once more, spread over time; what nobody needs any more is left out
and counted. Beside ledger.py this is the one module that opens deliveries, because their state, their turn and
the row that tells who did it must be written together. The only writer of Replay.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from django.db import connection
from msgspec import Meta

from core import logs
from notifications import deliveries
from notifications.models import Delivery
from notifications.words import DeliveryState

log = logs.logger(__name__)

DEAD = [DeliveryState.FAILED, DeliveryState.UNKNOWN]
LISTED = 100  # deliveries that an answer names one by one
DAY = 86_400


class Stale(StrEnum):
    """Why a dead delivery is left out. docs/operations.md tells what each means."""

    LEFT_OUT = "left_out"
    RETRACTED = "retracted"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DELETED = "deleted"
    ADDRESS_SUPPRESSED = "address_suppressed"
    DEVICE_GONE = "device_gone"
    EMPTY_DIGEST = "empty_digest"
    NEVER_TWICE = "never_twice"
    ALREADY_READ = "already_read"
    ALREADY_SENT = "already_sent"
    TOO_OLD = "too_old"


class Order(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which dead deliveries to send again, and how. `filter` names a window, `since` and `until`."""

    filter: deliveries.Filter
    dry_run: bool = True
    rate: Annotated[int, Meta(ge=1, le=60_000)] = 600  # a minute
    max_age: Annotated[int, Meta(ge=1, le=366 * DAY)] = DAY  # seconds
    include_stale: bool = False

    def __post_init__(self) -> None:
        window = self.filter
        if window.since is None or window.until is None or window.since >= window.until:
            raise ValueError("`filter` needs a window: `since`, and a later `until`")
        if not set(DEAD).issuperset(window.state):
            raise ValueError("`filter.state` is failed or unknown: nothing else can be replayed")


class Group(msgspec.Struct):
    """How many go on a channel for a type; null for digests."""

    channel: str
    type: str | None
    count: int


class Replayed(msgspec.Struct):
    """What goes again, or would, and what is left out, counted by why. `replay` is the row that tells of it."""

    dry_run: bool
    replay: str | None
    would: int
    replayed: int
    stale: dict[Stale, int]
    groups: list[Group]
    items: list[deliveries.Line]


# Of event e, its line n, head h: as the look before sending asks (sql.ITEM, delivery/recheck.py).
_UNWANTED = "({e}.retracted_at IS NOT NULL OR {e}.state = 'cancelled' OR coalesce({e}.expires_at <= %(now)s, false))"
_READ = "coalesce({n}.read_at IS NOT NULL OR {n}.rev <= {h}.read_watermark, false)"

# The first CASE holds always: what is sent in spite of it would be stopped just before, or must not arrive twice.
# The second is what people hardly need any more. `inside` is what is still wanted of a digest.
# The rows are locked in the order in which everybody locks them, and looked at again when another held them:
# what a replay at the same time took is not dead any more.
REPLAY = f"""
WITH judged AS MATERIALIZED (
    SELECT d.id, d.channel, e.type_id AS type, coalesce(
        CASE
            WHEN d.notification_id IS NOT NULL AND d.digest_id IS NOT NULL THEN 'left_out'
            WHEN e.retracted_at IS NOT NULL THEN 'retracted'
            WHEN e.state = 'cancelled' THEN 'cancelled'
            WHEN e.expires_at <= %(now)s THEN 'expired'
            WHEN n.deleted_at IS NOT NULL THEN 'deleted'
            WHEN coalesce(x.until > %(now)s, x.id IS NOT NULL) THEN 'address_suppressed'
            WHEN d.channel = 'push' AND v.id IS NULL THEN 'device_gone'
            WHEN d.notification_id IS NULL AND inside.wanted = 0 THEN 'empty_digest'
            WHEN e.email_if_unread_after IS NOT NULL AND {_READ.format(n="n", h="h")} THEN 'already_read'
            WHEN (NOT t.resend_unknown OR inside.once) AND (d.state = 'unknown' OR d.lost_claims > 0 OR EXISTS (
                SELECT FROM notifications_attempt a WHERE a.delivery_id = d.id AND a.result = 'unknown'))
                THEN 'never_twice'
        END,
        CASE
            WHEN %(include_stale)s THEN NULL
            WHEN {_READ.format(n="n", h="h")} THEN 'already_read'
            WHEN EXISTS (SELECT FROM notifications_delivery o WHERE o.notification_id = d.notification_id
                         AND o.channel = d.channel AND o.state = 'sent') THEN 'already_sent'
            WHEN coalesce(g.closed_at, d.created_at) < %(oldest)s THEN 'too_old'
        END) AS why
    FROM notifications_delivery d
    LEFT JOIN notifications_notification n ON n.id = d.notification_id
    LEFT JOIN notifications_event e ON e.id = n.event_id
    LEFT JOIN notifications_type t ON t.key = e.type_id
    LEFT JOIN notifications_inboxhead h ON h.user_id = n.user_id
    LEFT JOIN notifications_digest g ON g.id = d.digest_id
    LEFT JOIN notifications_suppression x ON x.channel = d.channel AND x.address = lower(d.address)
    LEFT JOIN notifications_device v ON d.channel = 'push' AND v.user_id = coalesce(n.user_id, g.user_id)
        AND v.gone_at IS NULL AND d.address = 'device:' || v.id
    LEFT JOIN LATERAL (
        SELECT count(*) AS wanted, bool_or(NOT t.resend_unknown) AS once
        FROM notifications_delivery i
        JOIN notifications_notification n ON n.id = i.notification_id
        JOIN notifications_event e ON e.id = n.event_id
        JOIN notifications_type t ON t.key = e.type_id
        LEFT JOIN notifications_inboxhead h ON h.user_id = n.user_id
        WHERE d.notification_id IS NULL AND i.digest_id = d.digest_id AND i.state = 'digested'
            AND NOT {_UNWANTED.format(e="e")} AND n.deleted_at IS NULL AND NOT {_READ.format(n="n", h="h")}
        ) inside ON true
    WHERE d.id IN ({{found}}) AND d.state IN ('failed', 'unknown')
    ORDER BY d.id {{lock}}),
{{act}},
summary AS (
    SELECT why, channel, type, count(*) AS n, (array_agg(id ORDER BY id))[1:{LISTED}] AS ids
    FROM judged GROUP BY why, channel, type)
SELECT made.id, why, channel, type, n, ids FROM made LEFT JOIN summary ON true ORDER BY why, channel, type
"""
LOOK = "made AS (SELECT NULL::bigint AS id)"
# Attempts stay as they are, and so does the token, which goes on rising: what was tried before is not forgotten.
ACT = """
made AS (
    INSERT INTO notifications_replay (by_id, at, wanted, replayed, stale)
    SELECT %(by)s::bigint, %(now)s, %(wanted)s::jsonb, count(*) FILTER (WHERE why IS NULL), count(why) FROM judged
    RETURNING id),
turn AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM judged WHERE why IS NULL),
opened AS (
    UPDATE notifications_delivery d
    SET state = 'pending', reason = 'replayed', rule = 'replay:' || made.id, attempts = 0, ended_at = NULL,
        due_at = %(now)s + turn.place * interval '1 minute' / %(rate)s
    FROM turn, made WHERE d.id = turn.id AND d.state IN ('failed', 'unknown'))
"""


def run(order: Order, *, by: int | None, now: datetime) -> Replayed:
    """
    Send dead deliveries again, `rate` a minute in the order they were planned, or only say what would go.

    One statement and one that reads what is listed, however many there are. Safe to run twice and at once: what a
    replay took is pending and in nobody's replay until it is dead again. What people chose meanwhile is looked at
    just before sending, as always.
    """
    found, given = _found(order.filter)
    parameters = given | {
        "now": now,
        "oldest": now - timedelta(seconds=order.max_age),
        "include_stale": order.include_stale,
        "rate": order.rate,
        "by": by,
        "wanted": msgspec.json.encode(order).decode(),
    }
    query = REPLAY.format(
        found=found, lock="" if order.dry_run else "FOR UPDATE OF d", act=LOOK if order.dry_run else ACT
    )
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        answer = _answer(order, cursor.fetchall())
    if not order.dry_run:
        log.info(
            "deliveries.replayed",
            replay=answer.replay,
            by=by,
            replayed=answer.replayed,
            stale=sum(answer.stale.values()),
        )
    return answer


def _found(wanted: deliveries.Filter) -> tuple[str, dict[str, Any]]:
    """The log's own query for a filter, with named parameters."""
    wanted = msgspec.structs.replace(wanted, state=wanted.state or DEAD)
    text, given = deliveries.find(wanted).values("pk").query.sql_with_params()
    names = [f"given{place}" for place in range(len(given))]
    return text % tuple(f"%({name})s" for name in names), dict(zip(names, given, strict=True))


def _answer(order: Order, rows: list[tuple[Any, ...]]) -> Replayed:
    answer = Replayed(
        dry_run=order.dry_run,
        replay=str(rows[0][0]) if rows[0][0] else None,
        would=0,
        replayed=0,
        stale={},
        groups=[],
        items=[],
    )
    first: list[int] = []
    for _, why, channel, type, count, ids in rows:
        if why is not None:
            answer.stale[Stale(why)] = answer.stale.get(Stale(why), 0) + count
        elif count:
            answer.groups.append(Group(channel=channel, type=type, count=count))
            first += ids
    answer.would = sum(group.count for group in answer.groups)
    answer.replayed = 0 if order.dry_run else answer.would
    listed = deliveries.told(Delivery.objects.filter(pk__in=sorted(first)[:LISTED])).order_by("pk")
    answer.items = [deliveries.line(row) for row in listed]
    return answer
