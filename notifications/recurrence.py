"""
Recurrence: when an occurrence comes. Pure.

A cron line has five fields, as Celery reads them: minute, hour, day of the month, month, day of the week (0 is
Sunday). A day must fit all three of its fields; cron(8) of Unix is content with one of two. The line is read on
the clock on the wall of a zone. Where that clock jumps or repeats itself:

* A line that names hours means times of the day. A time inside a gap comes at the end of the gap, and several of
  them come there as one; a time that comes twice comes at the first (hours.instant).
* A line for every hour means minutes of the clock. It comes whenever the clock shows one of them: in both of two
  equal hours, and not at all in an hour that is left out, so that */15 goes on every 15 minutes.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from notifications import hours

MINUTE = timedelta(minutes=1)
SHORTEST, LONGEST = MINUTE, timedelta(days=366)
# 29 February falls on one day of the week every 28 years, and where a century has no leap year after 40.
FARTHEST = 41 * 366
COUNTED = 1000


class _Field(NamedTuple):
    """A field of a cron line; `longest` is the width of its column in django-celery-beat."""

    name: str
    low: int
    high: int
    longest: int
    names: tuple[str, ...] = ()


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS = (
    _Field("minute", 0, 59, 240),
    _Field("hour", 0, 23, 96),
    _Field("day of the month", 1, 31, 124),
    _Field("month", 1, 12, 64, _MONTHS),
    _Field("day of the week", 0, 6, 64, _WEEKDAYS),
)
_DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART = re.compile(r"(?:(?P<all>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[0-9]{1,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """What a cron line allows, whatever the clock."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    times: tuple[time, ...]


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron line on the clock of a zone."""

    line: Line
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Interval:
    """Every so much time after the start, however the clocks on the walls change."""

    start: datetime
    step: timedelta

    def __post_init__(self) -> None:
        if not SHORTEST <= self.step <= LONGEST:
            raise ValueError("An interval is from one minute to 366 days long.")


Rule = Cron | Interval


@lru_cache(maxsize=1000)
def parse(text: str) -> Line:
    """What a cron line says. Raises ValueError with a sentence when it says nothing, or a day that never comes."""
    parts = text.split()
    if len(parts) != len(FIELDS):
        raise ValueError(f"A cron line has five fields: {', '.join(f.name for f in FIELDS)}; this has {len(parts)}.")
    minutes, hours_, days, months, weekdays = (_allowed(f, part) for f, part in zip(FIELDS, parts, strict=True))
    if all(day > _DAYS_IN_MONTH[month - 1] for month in months for day in days):
        raise ValueError("That day of the month never comes in that month.")
    times = tuple(time(hour, minute) for hour in sorted(hours_) for minute in sorted(minutes))
    return Line(minutes, hours_, days, months, weekdays, times)


def _allowed(field: _Field, text: str) -> frozenset[int]:
    """The numbers that a field allows: lists of *, numbers and ranges, the last two with an optional step."""
    allowed: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None or len(text) > field.longest:
            raise _bad(field, text)
        low, high, step = field.low, field.high, int(match["step"] or 1)
        if not match["all"]:
            low = _number(field, match["first"], text)
            high = _number(field, match["last"] or match["first"], text)
        # A step needs something to step through; a range that ends before it begins could mean two things.
        if high < low or not 1 <= step <= field.high or (match["step"] and not match["all"] and not match["last"]):
            raise _bad(field, text)
        allowed.update(range(low, high + 1, step))
    return frozenset(allowed)


def _number(field: _Field, text: str, whole: str) -> int:
    if text.lower() in field.names:
        return field.names.index(text.lower()) + field.low
    if not text.isdecimal() or len(text) > 2 or not field.low <= int(text) <= field.high:
        raise _bad(field, whole)
    return int(text)


def _bad(field: _Field, text: str) -> ValueError:
    names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
    return ValueError(
        f"{text[:100]!r} is no {field.name}: use *, numbers from {field.low} to {field.high}{names}, "
        "ranges (1-5), steps (*/15, 8-18/2), and commas between them."
    )


def following(rule: Rule, moment: datetime) -> datetime:
    """
    The first occurrence after `moment`, which is in UTC, and so is it.

    The search has an end, since parse() refuses what never comes.
    """
    if isinstance(rule, Interval):
        return rule.start + max((moment - rule.start) // rule.step + 1, 1) * rule.step
    if len(rule.line.hours) == 24:
        return _in_every_hour(rule, moment)
    days = _days(rule.line, moment.astimezone(rule.zone).date())
    return next(found for day in days if (found := _on(day, rule, moment)))


def _on(day: date, rule: Cron, moment: datetime) -> datetime | None:
    """The first of a day's times after `moment`; their moments never go back, whatever the clock does."""

    def at(wall: time) -> datetime:
        return hours.instant(day, wall, rule.zone)

    place = bisect_right(rule.line.times, moment, key=at)
    return at(rule.line.times[place]) if place < len(rule.line.times) else None


def _in_every_hour(rule: Cron, moment: datetime) -> datetime:
    moment = moment.replace(second=0, microsecond=0)
    while True:
        moment += MINUTE
        shown = moment.astimezone(rule.zone)
        if not _fits(rule.line, shown.date()):
            midnight = hours.instant(next(_days(rule.line, shown.date())), time(), rule.zone)
            moment = max(moment, midnight - MINUTE)
        elif shown.minute in rule.line.minutes:
            return moment


def _days(line: Line, first: date) -> Iterator[date]:
    return (day for ahead in range(FARTHEST) if _fits(line, day := first + timedelta(days=ahead)))


def _fits(line: Line, day: date) -> bool:
    return day.day in line.days and day.month in line.months and day.isoweekday() % 7 in line.weekdays


def latest(rule: Rule, *, since: datetime, until: datetime) -> tuple[datetime | None, int]:
    """
    The last occurrence from `since` to `until`, both included, and how many there were. Beyond COUNTED they
    are not counted, so that a line for every minute costs little after a month of silence.
    """
    found, count = None, 0
    moment = following(rule, since - timedelta(microseconds=1))
    while moment <= until:
        found, count = moment, count + 1
        if count == COUNTED:
            return _last_before(rule, until), count
        moment = following(rule, moment)
    return found, count


def _last_before(rule: Rule, until: datetime) -> datetime:
    """Look back twice as far each time until there is one; then forward to the last."""
    back = MINUTE
    while (moment := following(rule, until - back)) > until:
        back *= 2
    while (later := following(rule, moment)) <= until:
        moment = later
    return moment
