"""
Schedules: events that come back. The only writer of Schedule.

When is said in django-celery-beat's tables, which schedules share; `due_at` is the next occurrence, and a sweep
that finds it past accepts the event. docs/decisions/0006-schedules.md says why.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, transaction

from core import bodies, logs
from core.errors import AppError, Conflict, Invalid, NotFound
from core.models import User
from notifications import events, recurrence, timetables
from notifications.models import Schedule
from notifications.recurrence import Rule
from notifications.submission import Submission

log = logs.logger(__name__)

MOST = 1000  # schedules of one producer
AT_ONCE = 500  # schedules in one transaction of a sweep


class TooMany(Conflict):
    """You have as many schedules as one producer may have; delete one first."""

    code = "too_many_schedules"


def create(
    *,
    producer_id: int,
    name: str,
    event: dict[str, Any],
    cron: str | None = None,
    every: tuple[int, str] | None = None,
    zone: str | None = None,
    enabled: bool = True,
    now: datetime,
) -> Schedule:
    """
    A new schedule. Raises TooMany, and Invalid for an event that would be refused now and for a time that is
    no time.
    """
    row = Schedule(producer_id=producer_id, name=name, submission=event, enabled=enabled, created_at=now)
    with transaction.atomic():
        # Two requests at once must not both take the last place; events of the producer do not wait for this lock.
        User.objects.select_for_update(no_key=True).get(pk=producer_id)
        if Schedule.objects.filter(producer_id=producer_id).count() >= MOST:
            raise TooMany(most=MOST)
        _check(event, producer_id=producer_id, now=now)
        timetables.set_time(row, cron=cron, every=every, zone=zone)
        row.due_at = timetables.following(row, after=now) if enabled else None
        row.save()
    return row


@transaction.atomic
def change(
    schedule_id: int,
    *,
    now: datetime,
    name: str | None = None,
    event: dict[str, Any] | None = None,
    cron: str | None = None,
    every: tuple[int, str] | None = None,
    zone: str | None = None,
    enabled: bool | None = None,
) -> Schedule:
    """
    Change what is given; the rest stays. A new time, and switching on, count from now: what was due is not made
    up for. Raises NotFound, and Invalid as create() does.
    """
    rows = Schedule.objects.select_for_update(of=("self",)).select_related("crontab", "interval")
    row = rows.filter(pk=schedule_id).first()
    if row is None:
        raise NotFound
    if name is not None:
        row.name = name
    if event is not None:
        _check(event, producer_id=row.producer_id, now=now)
        row.submission = event
    if cron or every or zone:
        timetables.set_time(row, cron=cron, every=every, zone=zone)
    if enabled is not None:
        row.enabled = enabled
    if cron or every or zone or enabled is not None:
        row.due_at = timetables.following(row, after=now) if row.enabled else None
    if event or cron or every or zone or enabled is not None:
        row.error = ""  # it was about what has been changed
    row.save()
    return row


def delete(schedule_id: int) -> None:
    """No further occurrences; events it has made stay. Safe to run twice."""
    Schedule.objects.filter(pk=schedule_id).delete()


def run_due(*, now: datetime) -> int:
    """
    Accept the events of due schedules and move each on to its next occurrence, in one transaction. How many
    events.

    Safe to run twice and at once: a schedule that another sweep holds is left out, not waited for. Of several
    occurrences that were missed only the last becomes an event. What is wrong with one schedule is written on it.
    """
    with transaction.atomic():
        rows = list(
            Schedule.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("crontab", "interval", "producer")
            .filter(due_at__lte=now)
            .order_by("due_at", "pk")[:AT_ONCE]
        )
        zones = timetables.zones_in_use() if any(row.each_own_zone for row in rows) else set()
        return sum(_run(row, zones=zones, now=now) for row in rows)


def _run(row: Schedule, *, zones: set[str], now: datetime) -> int:
    assert row.due_at is not None
    since, row.error, accepted = row.due_at, "", 0
    if not (row.producer.is_active and (row.producer.is_producer or row.producer.is_staff)):
        row.error = "Its producer may not send events any more."
        row.enabled, row.due_at = False, None
    else:
        try:
            rules = timetables.rules(row, zones)
            row.due_at = timetables.following(row, after=now, zones=zones)
            with transaction.atomic():
                accepted = _accept(row, rules, since=since, now=now)
        except OperationalError:
            raise  # the database is away: all of it stays due
        except AppError as error:
            row.error = _sentence(error)
        except Exception as error:
            log.exception("schedule.failed", schedule_id=row.pk)
            row.error = f"{type(error).__name__}: {error}"[:500]
            if row.due_at == since:  # not even its next occurrence is known
                row.enabled, row.due_at = False, None
    if row.error:
        log.warning("schedule.no_event", schedule_id=row.pk, error=row.error, enabled=row.enabled)
    row.save(update_fields=["error", "enabled", "due_at", "last_at"])
    return accepted


def _accept(row: Schedule, rules: dict[str, Rule], *, since: datetime, now: datetime) -> int:
    """Accept the last occurrence in each zone. Raises the AppError of the first that is refused."""
    occurrences, skipped = {}, 0
    for zone, rule in rules.items():
        last, count = recurrence.latest(rule, since=since, until=now)
        if last is not None:
            occurrences[zone] = last
            skipped += count - 1
    if row.each_own_zone and occurrences and (names := row.submission["recipients"].get("users")):
        wanted = timetables.zones_of(names)
        occurrences = {zone: moment for zone, moment in occurrences.items() if zone in wanted}
    if not occurrences:
        return 0
    trace_id = logs.new_trace_id()
    answers = events.accept(
        [_submission(row.submission, occurrence=moment) for moment in occurrences.values()],
        producer_id=row.producer_id,
        # A producer's key cannot begin with this character (notifications/api/events.py).
        keys=[f"\x1fschedule:{row.pk}:{moment.isoformat()}:{zone}" for zone, moment in occurrences.items()],
        zones=list(occurrences),
        trace_id=trace_id,
        now=now,
    )
    if refused := [answer for answer in answers if isinstance(answer, AppError)]:
        raise refused[0]
    row.last_at = max(occurrences.values())
    log.info("schedule.accepted", schedule_id=row.pk, trace_id=trace_id, events=len(answers), skipped=skipped)
    return len(answers)


def _submission(stored: dict[str, Any], *, occurrence: datetime) -> Submission:
    """The event of one occurrence. Raises Invalid when what was stored is no event any more."""
    given = dict(stored)
    expires_after = given.pop("expires_after", None)
    if expires_after:
        given["expires_at"] = occurrence + timedelta(seconds=expires_after)
    return bodies.read(Submission, given)


def _check(event: dict[str, Any], *, producer_id: int, now: datetime) -> None:
    """Raises what accepting this event now would answer: it is accepted, and taken back."""
    with transaction.atomic():
        (answer,) = events.accept(
            [_submission(event, occurrence=now)], producer_id=producer_id, keys=[None], trace_id="", now=now
        )
        transaction.set_rollback(True)
    if isinstance(answer, AppError):
        raise Invalid(answer.message, **{f"event.{name}": what for name, what in answer.details.items()})


def _sentence(error: AppError) -> str:
    """An error as one line for people, with what its details say."""
    details = [f"{name}: {' '.join(map(str, what))}" for name, what in error.details.items()]
    return " ".join([error.message, *details])[:500]
