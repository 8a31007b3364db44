"""
Breakers: a provider that fails again and again is left alone for a while. The only writer of Breaker.

Kept in PostgreSQL, so that all workers know it at once and a restart does not forget it. While it is open nothing
is claimed for the provider, so that no attempt is counted; then one delivery is the probe. docs/subsystems/delivery.md
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connection

from core import logs
from notifications import redaction
from notifications.models import Breaker
from notifications.words import BreakerState

log = logs.logger(__name__)

THRESHOLD = 5  # failed calls in a row
FIRST = timedelta(seconds=30)  # open for so long, twice as long each time the probe fails
LONGEST = timedelta(minutes=5)


class Choice(NamedTuple):
    """A provider that may be called. `probing`: with one message only."""

    provider: str
    probing: bool
    clean: bool  # nothing is known against it


def choose(providers: Sequence[str], *, now: datetime, probe_for: timedelta) -> Choice | None:
    """
    The first of these that may be called now; None: all are left alone. One statement, or two for a probe.

    Safe at once: one caller gets the probe, and if it never reports, another one `probe_for` later.
    """
    known = {row.provider: row for row in Breaker.objects.filter(provider__in=providers)}
    for provider in providers:
        row = known.get(provider)
        if row is None or row.state == BreakerState.CLOSED:
            return Choice(provider, probing=False, clean=row is None or not (row.failures or row.trips))
        mine = Breaker.objects.filter(provider=provider, probe_at__lte=now).exclude(state=BreakerState.CLOSED)
        if mine.update(state=BreakerState.HALF_OPEN, probe_at=now + probe_for):
            return Choice(provider, probing=True, clean=False)
    return None


def next_probe(providers: Sequence[str], *, now: datetime) -> datetime | None:
    """When the first of these may be called again; None: one of them may be now."""
    rows = list(Breaker.objects.filter(provider__in=providers).exclude(state=BreakerState.CLOSED))
    if len(rows) < len(providers) or any(row.probe_at is None or row.probe_at <= now for row in rows):
        return None
    return min(row.probe_at for row in rows if row.probe_at)


def keep_probe(choice: Choice, *, now: datetime) -> None:
    """There was nothing to probe with: the next caller may."""
    if choice.probing:
        Breaker.objects.filter(provider=choice.provider, state=BreakerState.HALF_OPEN).update(probe_at=now)


_REPORT = """
INSERT INTO notifications_breaker AS b (provider, state, failures, opened_at, probe_at, trips, detail)
VALUES (%(provider)s, CASE WHEN %(streak)s >= %(threshold)s THEN 'open' ELSE 'closed' END, %(streak)s,
    CASE WHEN %(streak)s >= %(threshold)s THEN %(now)s::timestamptz END,
    CASE WHEN %(streak)s >= %(threshold)s THEN %(now)s::timestamptz + %(first)s::interval END,
    (%(streak)s >= %(threshold)s)::int, %(detail)s)
ON CONFLICT (provider) DO UPDATE SET (state, failures, opened_at, probe_at, trips, detail) = (
    SELECT CASE WHEN v.opens THEN 'open' ELSE b.state END, v.failures,
        CASE WHEN v.opens THEN %(now)s ELSE b.opened_at END,
        CASE WHEN v.opens
            THEN %(now)s + least(%(longest)s::interval, %(first)s::interval * power(2, least(b.trips, 10)))
            ELSE b.probe_at END,
        CASE WHEN v.opens THEN b.trips + 1 ELSE b.trips END, %(detail)s
    FROM (SELECT f.failures, f.failures >= %(threshold)s AND b.state <> 'open' OR %(probing)s AS opens
          FROM (SELECT CASE WHEN %(answered)s THEN 0 ELSE b.failures END + %(streak)s AS failures) f) v)
RETURNING state, probe_at
"""


def report(choice: Choice, *, answered: bool, streak: int, detail: str, now: datetime) -> None:
    """
    How a round with a provider went: whether any call was `answered` properly, and how many failed in a row at
    its end. Safe at once. Nothing is asked of the database while all is well; one statement otherwise.
    """
    detail = redaction.redact(detail)[:500]
    if choice.probing and not answered:
        streak = max(streak, 1)  # "slow down" is no answer to a probe
    if not streak:
        if answered and not choice.clean:
            closed = Breaker.objects.filter(provider=choice.provider).delete()[0]
            if closed and choice.probing:
                log.warning("breaker.closed", provider=choice.provider)
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _REPORT,
            {
                "provider": choice.provider,
                "streak": streak,
                "answered": answered,
                "probing": choice.probing,
                "threshold": THRESHOLD,
                "first": f"{FIRST.total_seconds()} seconds",
                "longest": f"{LONGEST.total_seconds()} seconds",
                "detail": detail,
                "now": now,
            },
        )
        state, probe_at = cursor.fetchone()
    if state == BreakerState.OPEN:
        log.error("breaker.open", provider=choice.provider, probe_at=probe_at, detail=detail[:200])
