"""
Timetables: when a schedule occurs, kept in django-celery-beat's tables and read back as the rules of recurrence.py.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.db import connection
from django_celery_beat.models import CrontabSchedule, IntervalSchedule

from core.errors import Invalid
from notifications import choices, recurrence
from notifications.models import Preference, PreferenceTemplate, Schedule
from notifications.recurrence import Cron, Interval, Rule

RECIPIENT = "recipient"  # in place of a time zone: each recipient's own
# Every whole hour's clock. An own-zone schedule looks when it is time on one of these too, and so notices a zone
# in which there was nobody when it looked last.
WORLD = [f"Etc/GMT{offset:+d}" for offset in range(-14, 13)]
COLUMNS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def set_time(row: Schedule, *, cron: str | None, every: tuple[int, str] | None, zone: str | None) -> None:
    """Let a schedule point at the shared rows that say this time; what is None stays. Raises Invalid."""
    if cron and every:
        raise _invalid(every="Give `cron` or `every`, not both.")
    if cron or (not every and row.crontab is not None):
        _set_cron(row, cron or line_of(row.crontab), zone or zone_of(row) or choices.DEFAULT_ZONE)
    elif every or row.interval is not None:
        if zone:
            raise _invalid(timezone="An interval is the same on every clock: leave it out.")
        if every:
            _set_interval(row, *every)
    else:
        raise _invalid(cron="Say when: give `cron` or `every`.")


def _set_cron(row: Schedule, text: str, zone: str) -> None:
    if zone != RECIPIENT and zone not in known_zones():
        raise _invalid(timezone=f"{zone[:100]!r} is no time zone: use a name like Europe/Berlin, or `recipient`.")
    try:
        recurrence.parse(text)
    except ValueError as error:
        raise _invalid(cron=str(error)) from error
    clock = ZoneInfo(choices.DEFAULT_ZONE if zone == RECIPIENT else zone)
    columns = dict(zip(COLUMNS, text.split(), strict=True))
    row.crontab, row.interval = _shared(CrontabSchedule, **columns, timezone=clock), None
    row.each_own_zone = zone == RECIPIENT


def _set_interval(row: Schedule, number: int, unit: str) -> None:
    try:
        Interval(start=row.created_at, step=timedelta(**{unit: number}))
    except (ValueError, OverflowError):
        raise _invalid(every="An interval is from one minute to 366 days long.") from None
    row.interval, row.crontab = _shared(IntervalSchedule, every=number, period=unit), None
    row.each_own_zone = False


def _invalid(**details: str) -> Invalid:
    return Invalid("The body is not valid: see details.", **{name: [what] for name, what in details.items()})


def _shared(table: Any, **columns: Any) -> Any:
    """A row with these columns. No constraint there keeps two apart, and the first of several is as good."""
    return table.objects.filter(**columns).order_by("pk").first() or table.objects.create(**columns)


def line_of(crontab: CrontabSchedule) -> str:
    """The cron line of a row."""
    return " ".join(getattr(crontab, column) for column in COLUMNS)


def zone_of(row: Schedule) -> str | None:
    """The name of the clock on which a schedule's cron line is read; an interval has none."""
    if row.crontab is None:
        return None
    return RECIPIENT if row.each_own_zone else str(row.crontab.timezone)


def rules(row: Schedule, zones: set[str]) -> dict[str, Rule]:
    """
    When it occurs, by the zone of its events; the zone "" is everybody at once. Raises ValueError when somebody
    wrote into the shared row what is no time.
    """
    if row.crontab is None:
        assert row.interval is not None
        step = timedelta(**{row.interval.period: row.interval.every})
        return {"": Interval(start=row.created_at, step=step)}
    line = recurrence.parse(line_of(row.crontab))
    if row.each_own_zone:
        return {zone: Cron(line, ZoneInfo(zone)) for zone in sorted(zones)}
    return {"": Cron(line, row.crontab.timezone)}


def following(row: Schedule, *, after: datetime, zones: set[str] | None = None) -> datetime:
    """The first occurrence after a moment; of an own-zone schedule the first on any clock. Raises as rules() does."""
    if row.each_own_zone:
        zones = {*(zones_in_use() if zones is None else zones), *WORLD}
    return min(recurrence.following(rule, after) for rule in rules(row, zones or set()).values())


@lru_cache(maxsize=1)
def known_zones() -> frozenset[str]:
    """The names in this machine's time zone database."""
    return frozenset(available_timezones())


def zones_in_use() -> set[str]:
    """Every zone that somebody's clock may be in."""
    people = Preference.objects.order_by().values_list("timezone", flat=True).distinct()
    templates = PreferenceTemplate.objects.order_by().values_list("timezone", flat=True).distinct()
    return {choices.DEFAULT_ZONE, *people.union(templates)} & known_zones()


def zones_of(usernames: list[str]) -> set[str]:
    """The zones of these people's clocks."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT {choices.ZONE} FROM core_user u {choices.JOINS} "
            "WHERE u.username = ANY(%s) AND u.is_active",
            [usernames],
        )
        return {zone for (zone,) in cursor.fetchall()}
