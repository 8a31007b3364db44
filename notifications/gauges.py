"""
What stands in the tables right now, for graphs and alarms: read by GET /metrics and `manage.py doctor`.

Six statements, whatever there is. They read the indexes of the open rows and of the troubled ones, and the newest
attempts: what they cost grows with the backlog, never with the history.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction

from notifications.models import Breaker

TIMEOUT = 5_000  # milliseconds for each statement: a look must not become the load
TROUBLE = timedelta(hours=24)  # how far back ended deliveries count
NEWEST = 10_000  # attempts that are looked at, at most
ATTEMPTS = timedelta(hours=1)  # how far back they count
SENT = timedelta(minutes=15)  # how far back those count whose time from the accepted event is told
BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)  # seconds

# In hand: claimed, and the lease has not ended. A postponed event has an error, and waits.
_EVENTS = """
SELECT '', lane, count(*), count(*) FILTER (WHERE due_at <= %(now)s),
    count(*) FILTER (WHERE due_at > %(now)s AND state <> 'accepted' AND error = ''), min(due_at)
FROM notifications_event WHERE due_at IS NOT NULL GROUP BY lane
"""
# In hand: begun, so that a death now would leave a doubt, and the lease has not ended.
_DELIVERIES = """
SELECT channel, lane, count(*), count(*) FILTER (WHERE due_at <= %(now)s),
    count(*) FILTER (WHERE due_at > %(now)s AND in_flight), min(due_at)
FROM notifications_delivery WHERE due_at IS NOT NULL GROUP BY channel, lane
"""
_TROUBLE = """
SELECT channel, count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE state = 'unknown'),
    coalesce(sum(lost_claims), 0), count(*) FILTER (WHERE lost_claims > 0 AND state = 'sent')
FROM notifications_delivery
WHERE (state IN ('failed', 'unknown') OR lost_claims > 0) AND ended_at > %(since)s GROUP BY channel
"""
# Without a notification it is a digest, and there is no single event to count from.
_ATTEMPTS = f"""
WITH newest AS MATERIALIZED (
    SELECT delivery_id, result, ended_at FROM notifications_attempt ORDER BY id DESC LIMIT {NEWEST}),
tried AS (
    SELECT d.channel, a.result,
        CASE WHEN a.result = 'sent' AND a.ended_at > %(sent_since)s
            THEN extract(epoch FROM a.ended_at - e.accepted_at)::float END AS seconds
    FROM newest a JOIN notifications_delivery d ON d.id = a.delivery_id
    LEFT JOIN notifications_notification n ON n.id = d.notification_id
    LEFT JOIN notifications_event e ON e.id = n.event_id
    WHERE a.ended_at > %(since)s)
SELECT channel, result, count(*), coalesce(sum(seconds), 0), count(seconds),
    ARRAY[{", ".join(f"count(*) FILTER (WHERE seconds <= {bucket})" for bucket in BUCKETS)}],
    (SELECT CASE WHEN count(*) = {NEWEST} THEN min(ended_at) END FROM newest)
FROM tried GROUP BY channel, result
"""
_DIGESTS = "SELECT channel, count(*) FROM notifications_digest WHERE open GROUP BY channel"
_BREAKERS = f"SELECT provider, state FROM {Breaker._meta.db_table}"


class Backlog(NamedTuple):
    """The open rows of a lane; of events the channel is ''."""

    channel: str
    lane: str
    open: int
    due: int
    in_hand: int
    first_due_at: datetime

    def oldest(self, now: datetime) -> float:
        """Seconds for which the oldest row has been due; 0 when none is."""
        return max(0.0, (now - self.first_due_at).total_seconds())


class Trouble(NamedTuple):
    """Deliveries of a channel that ended within TROUBLE, and not well."""

    channel: str
    failed: int
    unknown: int
    lost_claims: int
    duplicates_suspected: int


class Tried(NamedTuple):
    """Newest attempts of a channel with one result; for what was sent, the seconds since its event was accepted."""

    channel: str
    result: str
    tries: int
    seconds: float  # of those that are timed, together
    timed: int
    up_to: list[int]  # how many took at most as long as each of BUCKETS says
    reach: datetime | None  # the oldest attempt looked at; None: all of ATTEMPTS were


@dataclass(frozen=True, slots=True)
class Gauges:
    """One look at the tables."""

    events: list[Backlog]
    deliveries: list[Backlog]
    trouble: list[Trouble]
    tried: list[Tried]
    open_digests: dict[str, int]
    breakers: dict[str, str]
    reach: float  # seconds that the attempts go back
    now: datetime

    def late(self) -> list[tuple[float, str]]:
        """For each lane that has due rows, since how many seconds, and its name."""
        return [
            (row.oldest(self.now), f"{what} {row.channel} {row.lane}".replace("  ", " "))
            for what, rows in (("events", self.events), ("deliveries", self.deliveries))
            for row in rows
            if row.due
        ]


def read(*, now: datetime) -> Gauges:
    """
    What stands in the tables. Changes nothing. Raises django.db.Error when PostgreSQL is away or takes longer
    than TIMEOUT for a statement.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {TIMEOUT}")
        given = {"now": now, "since": now - ATTEMPTS, "sent_since": now - SENT}

        def ask(sql: str, **more: Any) -> list[tuple[Any, ...]]:
            cursor.execute(sql, given | more)
            return list(cursor.fetchall())

        tried = [Tried(*row) for row in ask(_ATTEMPTS)]
        return Gauges(
            events=[Backlog(*row) for row in ask(_EVENTS)],
            deliveries=[Backlog(*row) for row in ask(_DELIVERIES)],
            trouble=[Trouble(*row) for row in ask(_TROUBLE, since=now - TROUBLE)],
            tried=tried,
            open_digests=dict(ask(_DIGESTS)),
            breakers=dict(ask(_BREAKERS)),
            now=now,
            reach=min([ATTEMPTS.total_seconds(), *((now - one.reach).total_seconds() for one in tried if one.reach)]),
        )
