"""
Hours: when a person's night is, and when their digests go, on the clock on their wall. Pure.

Windows are local wall times with weekdays and an IANA zone, never offsets from UTC, so that they stay
where the person put them when the clocks change. Where the wall clock jumps or repeats itself
(PEP 495, https://peps.python.org/pep-0495/): a start or an end inside a gap is the first moment after it;
an hour that comes twice is quiet from its first start to its second end, so that quiet errs longer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Window:
    """Quiet from `start` to `end` on these weekdays (0 is Monday); an end not after the start is on the next day."""

    days: frozenset[int]
    start: time
    end: time


def instant(day: date, wall: time, zone: ZoneInfo, *, last: bool = False) -> datetime:
    """
    The moment in UTC at which the wall clock shows `wall` on `day`.

    A time that is skipped becomes the end of the gap; one that comes twice is the first, or the `last`.
    """
    local = datetime.combine(day, wall, tzinfo=zone).replace(fold=int(last))
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    # In a gap: the two folds lie on its two sides, as far from the time that is not there as the gap is wide.
    early, late = (datetime.combine(day, wall, tzinfo=zone).replace(fold=fold).astimezone(UTC) for fold in (1, 0))
    return _jump_between(early, late, zone)


def _jump_between(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """The moment between the two at which the zone's offset changes."""
    before = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)


def quiet_until(windows: tuple[Window, ...], zone: ZoneInfo, now: datetime) -> datetime | None:
    """
    When the quiet that `now` lies in ends (UTC); None when it is not quiet.

    Windows that touch or overlap are one quiet: the end is the end of the last of them.
    """
    end: datetime | None = None
    moment = now
    # Each round goes on from the end found so far; seven days of windows cannot chain longer than this.
    for _ in range(len(windows) * 8 + 1):
        later = max((stop for begin, stop in _around(windows, zone, moment) if begin <= moment < stop), default=None)
        if later is None:
            return end
        end = moment = later
    return end


def _around(windows: tuple[Window, ...], zone: ZoneInfo, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The windows that can contain `moment`: those that begin today or yesterday on the person's calendar."""
    today = moment.astimezone(zone).date()
    # Two days back: a date line change (Pacific/Apia, 30 December 2011) skips a whole day.
    for day in (today - timedelta(days=2), today - timedelta(days=1), today):
        for window in windows:
            if day.weekday() in window.days:
                end_day = day if window.end > window.start else day + timedelta(days=1)
                yield instant(day, window.start, zone), instant(end_day, window.end, zone, last=True)


class Every(StrEnum):
    """How often a person wants a channel's messages."""

    INSTANT = "instant"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


@dataclass(frozen=True, slots=True)
class Frequency:
    """When digests go: every full hour, every day at a time, or every week on a day (0 is Monday) at a time."""

    every: Every = Every.DAY
    at: time = time(9)
    weekday: int = 0


def next_digest(frequency: Frequency, zone: ZoneInfo, now: datetime) -> datetime:
    """
    The first moment after `now` (UTC) at which a digest of this frequency goes.

    A time that is skipped by a change of the clocks goes at the end of the gap, one that comes twice goes at
    the first. Full hours are those of the person's clock, which are not everybody's.
    """
    local = now.astimezone(zone)
    if frequency.every == Every.HOUR:
        return _next_full_hour(local, zone)
    for ahead in range(9):
        day = local.date() + timedelta(days=ahead)
        if frequency.every == Every.WEEK and day.weekday() != frequency.weekday:
            continue
        moment = instant(day, frequency.at, zone)
        # A day that the calendar skipped has no morning: its time would fall on another day's.
        if moment > now and moment.astimezone(zone).date() == day:
            return moment
    return instant(local.date() + timedelta(days=14), frequency.at, zone)


def _next_full_hour(local: datetime, zone: ZoneInfo) -> datetime:
    """Steps of a minute's length over at most two hours would do; the offset changes at most once in between."""
    moment = local.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=60 - local.minute)
    # The clocks changed by part of an hour meanwhile (Lord Howe): go on to where the minutes are nought.
    shown = moment.astimezone(zone)
    if shown.minute:
        moment += timedelta(minutes=60 - shown.minute)
    return moment
