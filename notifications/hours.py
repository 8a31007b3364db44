"""
Hours: when a person's night is, and when their digests go, on the clock on their wall. Pure.

Windows are local wall times with weekdays and an IANA zone, never offsets from UTC, so that they stay
where the person put them when the clocks change. Where the wall clock jumps or repeats itself
(PEP 495, https://peps.python.org/pep-0495/): a time inside a gap is the first moment after the gap; of a time
that comes twice, quiet takes the first as its start and the second as its end, and a digest takes the first.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import count
from zoneinfo import ZoneInfo

# How far ahead the end of a quiet is looked for. Whoever leaves one minute of the week free is not quiet for
# longer, even when that minute falls into a gap and does not come in one of the weeks.
HORIZON = timedelta(days=15)


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
    local = datetime.combine(day, wall)
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    # In a gap the two are swapped: the later is the time as it would be without the change, and no clock shows it.
    if second < first:
        return _change_between(second, first, zone)
    return second if last else first


def _change_between(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """The first moment of the new offset. (zoneinfo does not tell its changes; they fall on whole seconds.)"""

    def is_new(seconds: int) -> bool:
        return (early + timedelta(seconds=seconds)).astimezone(zone).utcoffset() != old

    old = early.astimezone(zone).utcoffset()
    return early + timedelta(seconds=bisect_left(range((late - early) // timedelta(seconds=1)), True, key=is_new))


def quiet_until(windows: tuple[Window, ...], zone: ZoneInfo, now: datetime) -> datetime | None:
    """
    When the quiet that `now` lies in ends (UTC); None when it is not quiet.

    Windows that touch or overlap are one quiet: the end is the end of the last of them. For somebody who is
    quiet round the clock it is the end of a window HORIZON ahead, or a little more: then it is looked at again.
    """
    end = now
    for begin, stop in _spans(windows, zone, now.astimezone(zone).date()):
        if begin > end:
            break
        end = max(end, stop)
    return end if end > now else None


def _spans(windows: tuple[Window, ...], zone: ZoneInfo, today: date) -> Iterator[tuple[datetime, datetime]]:
    """The windows from yesterday's on, in the order in which they begin."""
    in_order = sorted(windows, key=lambda window: window.start)
    # Of two wall times the later is never shown first, over gaps and folds too: the calendar's order is the moments'.
    for day in (today + timedelta(days=ahead) for ahead in range(-1, HORIZON.days + 2)):
        for window in in_order:
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
    The first moment after `now` (UTC) at which a digest of this frequency goes. `INSTANT` has no digests; do not ask.

    By day and by week: a time that is skipped by a change of the clocks goes at the end of the gap, one that
    comes twice goes at the first. By hour: whenever the person's clock, which is not everybody's, shows a full one.
    """
    if frequency.every == Every.HOUR:
        return _next_full_hour(zone, now)
    first, step = now.astimezone(zone).date(), timedelta(days=1)
    if frequency.every == Every.WEEK:
        first += timedelta(days=(frequency.weekday - first.weekday()) % 7)
        step = timedelta(days=7)
    moments = (instant(first + step * ahead, frequency.at, zone) for ahead in count())
    return next(moment for moment in moments if moment > now)


def _next_full_hour(zone: ZoneInfo, now: datetime) -> datetime:
    """
    Looked for minute by minute: with a change of half an hour there is no telling how far it is
    (02:30 became 03:00 in America/Caracas in 2016; 02:00 becomes 01:30 in Australia/Lord_Howe).
    """
    minutes = (now.replace(second=0, microsecond=0) + timedelta(minutes=ahead) for ahead in count(1))
    return next(moment for moment in minutes if moment.astimezone(zone).minute == 0)
