"""Budgets: how many messages a person may get on a channel in an hour. What is above becomes a digest."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

SPEND = """
INSERT INTO notifications_spending AS s (user_id, channel, hour, used)
SELECT user_id, %(channel)s, %(hour)s, wanted FROM unnest(%(users)s::bigint[], %(wanted)s::int[]) AS v(user_id, wanted)
ORDER BY user_id
ON CONFLICT (user_id, channel) DO UPDATE SET
    -- Only forward: two clocks may differ by a little.
    used = EXCLUDED.used + CASE WHEN s.hour >= EXCLUDED.hour THEN s.used ELSE 0 END,
    hour = greatest(s.hour, EXCLUDED.hour)
RETURNING user_id, used
"""


class Wanted(NamedTuple):
    """A message that is about to go."""

    id: int
    user_id: int


def spend(wanted: Sequence[Wanted], *, channel: str, limit: int, now: datetime) -> set[int]:
    """
    Count messages against the budget of the hour, one statement. The ids that are above it: they must not go
    as they are, and are not counted (one statement more). Safe at once: the counter's row lock makes the order.
    """
    if not wanted:
        return set()
    by_user = Counter(one.user_id for one in wanted)
    with connection.cursor() as cursor:
        cursor.execute(
            SPEND, {"channel": channel, "hour": _hour(now), "users": list(by_user), "wanted": list(by_user.values())}
        )
        used = dict(cursor.fetchall())
    left = {user_id: limit - (used[user_id] - count) for user_id, count in by_user.items()}
    above = []
    for one in wanted:
        if left[one.user_id] <= 0:
            above.append(one)
        left[one.user_id] -= 1
    refund([one.user_id for one in above], channel=channel, spent_at=now)
    return {one.id for one in above}


REFUND = """
WITH held AS (
    SELECT s.id, v.unused FROM notifications_spending s
    JOIN unnest(%(users)s::bigint[], %(unused)s::int[]) AS v(user_id, unused) USING (user_id)
    WHERE s.channel = %(channel)s AND s.hour = %(hour)s ORDER BY user_id FOR UPDATE OF s)
UPDATE notifications_spending s SET used = greatest(s.used - held.unused, 0) FROM held WHERE s.id = held.id
"""


def refund(users: Sequence[int], *, channel: str, spent_at: datetime) -> None:
    """Give back what was counted for these people (each as often as they are named) and did not go."""
    if users:
        unused = Counter(users)
        with connection.cursor() as cursor:
            cursor.execute(
                REFUND,
                {
                    "channel": channel,
                    "hour": _hour(spent_at),
                    "users": list(unused),
                    "unused": list(unused.values()),
                },
            )


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
