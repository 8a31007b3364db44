"""
Quiet hours and digests on the clock on the wall, over gaps and folds.

Every expected instant is written down, in UTC; the changes of the clocks are those of the tz database
(https://www.iana.org/time-zones), of years that have passed, so that no later release moves them.
"""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.hours import HORIZON, Every, Frequency, Window, instant, next_digest, quiet_until

WEEK = frozenset(range(7))
MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY, SUNDAY = (frozenset({day}) for day in range(7))
MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(span: str, days: frozenset[int] = WEEK) -> Window:
    start, _, end = span.partition("-")
    return Window(days=days, start=time.fromisoformat(start), end=time.fromisoformat(end))


def rows(table: str) -> list[tuple[str, ...]]:
    """The lines of a table; what follows a # is for the reader."""
    lines = (line.partition("#")[0].strip() for line in table.splitlines())
    return [tuple(cell.strip() for cell in line.split("|")) for line in lines if line]


# Clocks: what a wall time is in UTC, at the first and at the last time it is shown.
INSTANTS = """
America/New_York    | 2025-03-09 01:59 | 2025-03-09 06:59    | 2025-03-09 06:59
America/New_York    | 2025-03-09 02:00 | 2025-03-09 07:00    | 2025-03-09 07:00     # gap 02:00 to 03:00
America/New_York    | 2025-03-09 02:30 | 2025-03-09 07:00    | 2025-03-09 07:00
America/New_York    | 2025-03-09 03:00 | 2025-03-09 07:00    | 2025-03-09 07:00
America/New_York    | 2025-11-02 01:30 | 2025-11-02 05:30    | 2025-11-02 06:30     # fold 02:00 to 01:00
America/New_York    | 2025-11-02 02:00 | 2025-11-02 07:00    | 2025-11-02 07:00
Europe/London       | 2025-03-30 01:15 | 2025-03-30 01:00    | 2025-03-30 01:00     # gap 01:00 to 02:00
Europe/London       | 2025-10-26 01:00 | 2025-10-26 00:00    | 2025-10-26 01:00     # fold 02:00 to 01:00
Australia/Lord_Howe | 2025-04-06 01:45 | 2025-04-05 14:45    | 2025-04-05 15:15     # fold 02:00 to 01:30
Australia/Lord_Howe | 2025-10-05 02:10 | 2025-10-04 15:30    | 2025-10-04 15:30     # gap 02:00 to 02:30
Asia/Kathmandu      | 2025-06-01 09:00 | 2025-06-01 03:15    | 2025-06-01 03:15     # +05:45
Asia/Kathmandu      | 1986-01-01 00:10 | 1985-12-31 18:30    | 1985-12-31 18:30     # gap 00:00 to 00:15
Asia/Kathmandu      | 1919-12-31 23:50 | 1919-12-31 18:08:44 | 1919-12-31 18:20     # fold, away from local mean time
Africa/Casablanca   | 2025-02-23 02:30 | 2025-02-23 01:30    | 2025-02-23 02:30     # fold 03:00 to 02:00, for Ramadan
Africa/Casablanca   | 2025-04-06 02:30 | 2025-04-06 02:00    | 2025-04-06 02:00     # gap 02:00 to 03:00, after it
Pacific/Apia        | 2011-12-29 23:59 | 2011-12-30 09:59    | 2011-12-30 09:59
Pacific/Apia        | 2011-12-30 00:00 | 2011-12-30 10:00    | 2011-12-30 10:00     # gap of a day, the 30th
Pacific/Apia        | 2011-12-30 15:00 | 2011-12-30 10:00    | 2011-12-30 10:00
Pacific/Apia        | 2011-12-31 00:00 | 2011-12-30 10:00    | 2011-12-30 10:00
Pacific/Apia        | 2021-04-04 03:30 | 2021-04-03 13:30    | 2021-04-03 14:30     # fold 04:00 to 03:00
America/St_Johns    | 2025-03-09 02:30 | 2025-03-09 05:30    | 2025-03-09 05:30     # gap 02:00 to 03:00
America/St_Johns    | 2025-11-02 01:30 | 2025-11-02 04:00    | 2025-11-02 05:00     # fold 02:00 to 01:00
America/St_Johns    | 2010-11-06 23:30 | 2010-11-07 02:00    | 2010-11-07 03:00     # fold 00:01 to 23:01 the day before
America/St_Johns    | 2011-03-13 00:30 | 2011-03-13 03:31    | 2011-03-13 03:31     # gap 00:01 to 01:01
America/Nuuk        | 2024-03-30 23:30 | 2024-03-31 01:00    | 2024-03-31 01:00     # gap 23:00 to 00:00 the day after
UTC                 | 2024-02-29 12:00 | 2024-02-29 12:00    | 2024-02-29 12:00
"""


@pytest.mark.parametrize(("zone", "wall", "first", "last"), rows(INSTANTS))
def test_the_moment_of_a_wall_time(zone: str, wall: str, first: str, last: str) -> None:
    local, where = datetime.fromisoformat(wall), ZoneInfo(zone)
    assert instant(local.date(), local.time(), where) == utc(first)
    assert instant(local.date(), local.time(), where, last=True) == utc(last)


# Quiet every day from .. to; at this moment in UTC; until this one. "-" is not quiet.
QUIET = """
America/New_York    | 22:00-07:00 | 2025-03-09 03:00 | 2025-03-09 11:00   # over the gap: an hour shorter
America/New_York    | 22:00-07:00 | 2025-03-09 02:59 | -
America/New_York    | 22:00-07:00 | 2025-03-09 10:59 | 2025-03-09 11:00
America/New_York    | 22:00-07:00 | 2025-03-09 11:00 | -
America/New_York    | 22:00-07:00 | 2025-11-02 02:00 | 2025-11-02 12:00   # over the fold: an hour longer
America/New_York    | 22:00-07:00 | 2025-11-02 06:30 | 2025-11-02 12:00
America/New_York    | 02:15-02:45 | 2025-03-09 07:00 | -                  # all of it in the gap
America/New_York    | 02:30-03:15 | 2025-03-09 07:00 | 2025-03-09 07:15   # begins in the gap
America/New_York    | 02:30-03:15 | 2025-03-09 06:59 | -
America/New_York    | 01:15-02:30 | 2025-03-09 06:15 | 2025-03-09 07:00   # ends in the gap
America/New_York    | 01:15-01:45 | 2025-11-02 05:15 | 2025-11-02 06:45   # in the fold: the first start, the second end
America/New_York    | 01:15-01:45 | 2025-11-02 05:50 | 2025-11-02 06:45
America/New_York    | 01:15-01:45 | 2025-11-02 06:45 | -
America/New_York    | 22:00-01:30 | 2025-11-02 05:45 | 2025-11-02 06:30
Europe/London       | 22:00-07:00 | 2025-03-29 22:00 | 2025-03-30 06:00
Europe/London       | 22:00-01:30 | 2025-03-30 00:30 | 2025-03-30 01:00
Europe/London       | 22:00-07:00 | 2025-10-25 21:00 | 2025-10-26 07:00
Europe/London       | 01:30-06:00 | 2025-10-26 00:29 | -
Europe/London       | 01:30-06:00 | 2025-10-26 00:30 | 2025-10-26 06:00
Europe/London       | 13:00-14:00 | 2025-07-01 12:30 | 2025-07-01 13:00
Australia/Lord_Howe | 22:00-07:00 | 2025-04-05 11:00 | 2025-04-05 20:30   # the fold is half an hour
Australia/Lord_Howe | 22:00-01:45 | 2025-04-05 14:50 | 2025-04-05 15:15
Australia/Lord_Howe | 22:00-07:00 | 2025-10-04 11:30 | 2025-10-04 20:00   # the gap is half an hour
Australia/Lord_Howe | 22:00-02:15 | 2025-10-04 15:00 | 2025-10-04 15:30
Asia/Kathmandu      | 22:00-07:00 | 2025-06-01 16:15 | 2025-06-02 01:15
Asia/Kathmandu      | 22:00-07:00 | 2025-06-01 16:14 | -
Asia/Kathmandu      | 22:00-07:00 | 1985-12-31 17:00 | 1986-01-01 01:15
Asia/Kathmandu      | 23:45-23:55 | 1919-12-31 18:15 | 1919-12-31 18:25   # 23:48:44 came after 23:59:59
Africa/Casablanca   | 22:00-07:00 | 2025-02-22 21:00 | 2025-02-23 07:00
Africa/Casablanca   | 02:15-02:45 | 2025-02-23 02:00 | 2025-02-23 02:45
Africa/Casablanca   | 22:00-07:00 | 2025-04-05 22:00 | 2025-04-06 06:00
Africa/Casablanca   | 22:00-02:30 | 2025-04-06 01:30 | 2025-04-06 02:00
Pacific/Apia        | 22:00-07:00 | 2011-12-30 08:00 | 2011-12-30 17:00   # the 29th at ten to the 31st at seven
Pacific/Apia        | 09:00-17:00 | 2011-12-30 09:59 | -                  # the 30th has no working day,
Pacific/Apia        | 09:00-17:00 | 2011-12-30 10:00 | -
Pacific/Apia        | 09:00-17:00 | 2011-12-30 19:00 | 2011-12-31 03:00   # the 31st has
Pacific/Apia        | 22:00-07:00 | 2021-04-03 08:00 | 2021-04-03 18:00
Pacific/Apia        | 22:00-07:00 | 2020-09-26 09:00 | 2020-09-26 17:00
America/St_Johns    | 22:00-07:00 | 2025-03-09 01:30 | 2025-03-09 09:30
America/St_Johns    | 22:00-07:00 | 2025-11-02 00:30 | 2025-11-02 10:30
America/St_Johns    | 00:00-07:00 | 2010-11-07 02:30 | 2010-11-07 10:30   # begins at the first midnight;
America/St_Johns    | 00:00-07:00 | 2010-11-07 03:00 | 2010-11-07 10:30   # then it is 23:30 of the 6th again
America/St_Johns    | 22:00-00:00 | 2010-11-07 02:30 | 2010-11-07 03:30   # ends at the second midnight
America/St_Johns    | 22:00-00:30 | 2011-03-13 03:00 | 2011-03-13 03:31
America/Nuuk        | 23:15-06:00 | 2024-03-31 01:00 | 2024-03-31 07:00
UTC                 | 22:00-07:00 | 2024-02-28 23:00 | 2024-02-29 07:00
UTC                 | 22:00-07:00 | 2024-02-29 06:59:59 | 2024-02-29 07:00
UTC                 | 22:00-07:00 | 2024-02-29 07:00 | -
UTC                 | 00:00-00:01 | 2024-02-29 00:00 | 2024-02-29 00:01
"""


@pytest.mark.parametrize(("zone", "span", "now", "until"), rows(QUIET))
def test_quiet_hours_every_day(zone: str, span: str, now: str, until: str) -> None:
    expected = None if until == "-" else utc(until)
    assert quiet_until((window(span),), ZoneInfo(zone), utc(now)) == expected


@pytest.mark.parametrize(
    ("windows", "now", "until"),
    [
        # A window belongs to the day on which it begins. 2025-06-02 is a Monday.
        ((window("22:00-07:00", MONDAY),), "2025-06-02 06:00", None),
        ((window("22:00-07:00", MONDAY),), "2025-06-02 22:00", "2025-06-03 07:00"),
        ((window("22:00-07:00", MONDAY),), "2025-06-03 06:59", "2025-06-03 07:00"),
        ((window("22:00-07:00", MONDAY),), "2025-06-03 22:00", None),
        ((window("22:00-07:00", SUNDAY),), "2025-06-02 06:00", "2025-06-02 07:00"),
        # What touches or overlaps is one quiet, in whichever order it was written.
        ((window("00:00-07:00"), window("22:00-00:00")), "2025-06-02 23:00", "2025-06-03 07:00"),
        ((window("09:00-12:00"), window("12:00-13:00")), "2025-06-02 09:00", "2025-06-02 13:00"),
        ((window("09:00-12:00"), window("12:01-13:00")), "2025-06-02 09:00", "2025-06-02 12:00"),
        ((window("09:00-12:00"), window("11:00-13:00"), window("12:30-14:00")), "2025-06-02 11:30", "2025-06-02 14:00"),
        ((window("09:00-17:00"), window("10:00-11:00")), "2025-06-02 10:30", "2025-06-02 17:00"),
        ((window("22:00-07:00"), window("00:00-00:00", SATURDAY)), "2025-06-06 23:00", "2025-06-08 07:00"),
        # An end that is the start is the same time of the next day.
        ((window("12:00-12:00", TUESDAY),), "2025-06-03 11:59", None),
        ((window("12:00-12:00", TUESDAY),), "2025-06-03 12:00", "2025-06-04 12:00"),
        ((window("12:00-12:00", TUESDAY | THURSDAY),), "2025-06-04 11:00", "2025-06-04 12:00"),
        ((window("12:00-12:00", TUESDAY | WEDNESDAY),), "2025-06-03 12:00", "2025-06-05 12:00"),
        # One minute of the week is free.
        (
            (window("12:01-12:00", TUESDAY), window("12:00-12:00", WEEK - TUESDAY)),
            "2025-06-03 12:01",
            "2025-06-10 12:00",
        ),
        ((), "2025-06-02 12:00", None),
        ((window("00:00-00:00", frozenset()),), "2025-06-02 12:00", None),
    ],
)
def test_quiet_windows_of_a_week(windows: tuple[Window, ...], now: str, until: str | None) -> None:
    assert quiet_until(windows, ZoneInfo("UTC"), utc(now)) == (utc(until) if until else None)


def test_a_free_minute_that_falls_into_the_gap_comes_a_week_later() -> None:
    """Free on Sundays from 02:00 to 02:30; in New York there is no such time on 9 March 2025."""
    windows = (window("02:30-02:00", SUNDAY), window("02:00-02:00", WEEK - SUNDAY))
    assert quiet_until(windows, ZoneInfo("America/New_York"), utc("2025-03-02 08:00")) == utc("2025-03-16 06:00")


@pytest.mark.parametrize(
    ("windows", "until"),
    [
        ((window("00:00-00:00"),), "2025-06-19 00:00"),
        ((window("09:00-09:00"),), "2025-06-19 09:00"),
        ((window("00:00-12:00"), window("12:00-00:00")), "2025-06-19 00:00"),
        (tuple(window(f"{hour:02}:00-{(hour + 1) % 24:02}:00") for hour in range(24)), "2025-06-19 00:00"),
    ],
)
def test_whoever_is_always_quiet_is_looked_at_again_after_the_horizon(windows: tuple[Window, ...], until: str) -> None:
    now = utc("2025-06-02 09:00")
    found = quiet_until(windows, ZoneInfo("UTC"), now)
    assert found == utc(until)
    assert found - now >= HORIZON


HOURLY = Frequency(every=Every.HOUR)


def daily(at: str) -> Frequency:
    return Frequency(every=Every.DAY, at=time.fromisoformat(at))


def weekly(day: frozenset[int], at: str) -> Frequency:
    return Frequency(every=Every.WEEK, at=time.fromisoformat(at), weekday=min(day))


# Digests: after this moment in UTC they go at these, one after the other.
DAILY = """
America/New_York    | 09:00 | 2025-03-08 12:00 | 2025-03-08 14:00, 2025-03-09 13:00, 2025-03-10 13:00
America/New_York    | 02:30 | 2025-03-08 12:00 | 2025-03-09 07:00, 2025-03-10 06:30  # in the gap
America/New_York    | 09:00 | 2025-11-01 12:00 | 2025-11-01 13:00, 2025-11-02 14:00
America/New_York    | 01:30 | 2025-11-01 12:00 | 2025-11-02 05:30, 2025-11-03 06:30  # in the fold: once
Europe/London       | 09:00 | 2025-03-29 09:00 | 2025-03-30 08:00, 2025-03-31 08:00
Europe/London       | 01:30 | 2025-03-29 09:00 | 2025-03-30 01:00, 2025-03-31 00:30
Europe/London       | 09:00 | 2025-10-25 08:00 | 2025-10-26 09:00, 2025-10-27 09:00
Europe/London       | 01:30 | 2025-10-25 08:00 | 2025-10-26 00:30, 2025-10-27 01:30
Australia/Lord_Howe | 09:00 | 2025-04-04 22:00 | 2025-04-05 22:30, 2025-04-06 22:30
Australia/Lord_Howe | 01:45 | 2025-04-05 00:00 | 2025-04-05 14:45, 2025-04-06 15:15
Australia/Lord_Howe | 09:00 | 2025-10-03 22:30 | 2025-10-04 22:00, 2025-10-05 22:00
Australia/Lord_Howe | 02:15 | 2025-10-04 00:00 | 2025-10-04 15:30, 2025-10-05 15:15
Asia/Kathmandu      | 09:00 | 1985-12-31 12:00 | 1986-01-01 03:15, 1986-01-02 03:15
Asia/Kathmandu      | 00:10 | 1985-12-31 12:00 | 1985-12-31 18:30, 1986-01-01 18:25
Asia/Kathmandu      | 23:50 | 1919-12-31 12:00 | 1919-12-31 18:08:44, 1920-01-01 18:20
Africa/Casablanca   | 09:00 | 2025-02-22 08:00 | 2025-02-23 09:00, 2025-02-24 09:00
Africa/Casablanca   | 02:30 | 2025-02-22 08:00 | 2025-02-23 01:30, 2025-02-24 02:30
Africa/Casablanca   | 09:00 | 2025-04-05 09:00 | 2025-04-06 08:00, 2025-04-07 08:00
Africa/Casablanca   | 02:30 | 2025-04-05 09:00 | 2025-04-06 02:00, 2025-04-07 01:30
Pacific/Apia        | 09:00 | 2011-12-29 12:00 | 2011-12-29 19:00, 2011-12-30 10:00, 2011-12-30 19:00  # the 30th late
Pacific/Apia        | 09:00 | 2021-04-02 19:00 | 2021-04-03 20:00, 2021-04-04 20:00
America/St_Johns    | 09:00 | 2025-03-08 12:30 | 2025-03-09 11:30
America/St_Johns    | 02:30 | 2025-03-08 12:30 | 2025-03-09 05:30, 2025-03-10 05:00
America/St_Johns    | 09:00 | 2025-11-01 11:30 | 2025-11-02 12:30
America/St_Johns    | 23:30 | 2010-11-06 12:00 | 2010-11-07 02:00, 2010-11-08 03:00  # 23:30 of the 6th comes twice
America/St_Johns    | 00:00 | 2010-11-06 12:00 | 2010-11-07 02:30, 2010-11-08 03:30  # and so does midnight
America/Nuuk        | 23:30 | 2024-03-30 12:00 | 2024-03-31 01:00, 2024-04-01 00:30  # a gap that ends tomorrow
UTC                 | 09:00 | 2024-02-28 09:00 | 2024-02-29 09:00, 2024-03-01 09:00
UTC                 | 09:00 | 2024-02-28 08:59:59 | 2024-02-28 09:00
"""


def sequence(frequency: Frequency, zone: str, now: str, length: int) -> list[datetime]:
    found = [utc(now)]
    for _ in range(length):
        found.append(next_digest(frequency, ZoneInfo(zone), found[-1]))
    return found[1:]


@pytest.mark.parametrize(("zone", "at", "now", "expected"), rows(DAILY))
def test_daily_digests(zone: str, at: str, now: str, expected: str) -> None:
    moments = [utc(moment.strip()) for moment in expected.split(",")]
    assert sequence(daily(at), zone, now, len(moments)) == moments


@pytest.mark.parametrize(
    ("zone", "frequency", "now", "expected"),
    [
        # 2025-06-02 is a Monday.
        ("UTC", weekly(MONDAY, "09:00"), "2025-06-02 08:59", ["2025-06-02 09:00", "2025-06-09 09:00"]),
        ("UTC", weekly(MONDAY, "09:00"), "2025-06-02 09:00", ["2025-06-09 09:00"]),
        ("UTC", weekly(SUNDAY, "09:00"), "2025-06-02 09:00", ["2025-06-08 09:00"]),
        ("UTC", weekly(TUESDAY, "00:00"), "2025-06-02 23:59", ["2025-06-03 00:00"]),
        ("Asia/Kathmandu", weekly(TUESDAY, "05:00"), "2025-06-02 23:00", ["2025-06-02 23:15", "2025-06-09 23:15"]),
        ("America/New_York", weekly(SUNDAY, "02:30"), "2025-03-08 12:00", ["2025-03-09 07:00", "2025-03-16 06:30"]),
        ("America/New_York", weekly(SUNDAY, "01:30"), "2025-11-01 12:00", ["2025-11-02 05:30", "2025-11-09 06:30"]),
        # The Friday that Samoa left out: when it is over, and the next Friday.
        ("Pacific/Apia", weekly(FRIDAY, "09:00"), "2011-12-27 00:00", ["2011-12-30 10:00", "2012-01-05 19:00"]),
        # The clock shows midnight of Sunday twice, and between the two it is Saturday again.
        ("America/St_Johns", weekly(SUNDAY, "00:00"), "2010-11-07 03:00", ["2010-11-14 03:30"]),
        ("Asia/Kathmandu", HOURLY, "2025-06-01 00:00", ["2025-06-01 00:15", "2025-06-01 01:15"]),
        ("UTC", HOURLY, "2025-06-01 00:00:30", ["2025-06-01 01:00", "2025-06-01 02:00"]),
        ("America/New_York", HOURLY, "2025-03-09 06:00", ["2025-03-09 07:00", "2025-03-09 08:00"]),
        # 01:00 comes twice, and has a digest twice: an hour lies between.
        ("America/New_York", HOURLY, "2025-11-02 04:30", ["2025-11-02 05:00", "2025-11-02 06:00", "2025-11-02 07:00"]),
        # Lord Howe: 02:00 becomes 01:30, and comes after that; 02:00 becomes 02:30, and 03:00 is next.
        ("Australia/Lord_Howe", HOURLY, "2025-04-05 14:00", ["2025-04-05 15:30", "2025-04-05 16:30"]),
        ("Australia/Lord_Howe", HOURLY, "2025-10-04 14:30", ["2025-10-04 16:00", "2025-10-04 17:00"]),
        # 02:30 became 03:00.
        ("America/Caracas", HOURLY, "2016-05-01 06:10", ["2016-05-01 06:30", "2016-05-01 07:00", "2016-05-01 08:00"]),
    ],
)
def test_weekly_and_hourly_digests(zone: str, frequency: Frequency, now: str, expected: list[str]) -> None:
    assert sequence(frequency, zone, now, len(expected)) == [utc(moment) for moment in expected]


# The moments at which clocks changed, forwards and back, by an hour, by less and by more.
CHANGES = """
America/New_York    | 2025-03-09 07:00
America/New_York    | 2025-11-02 06:00
Europe/London       | 2025-03-30 01:00
Europe/London       | 2025-10-26 01:00
Australia/Lord_Howe | 2025-04-05 15:00
Australia/Lord_Howe | 2025-10-04 15:30
Asia/Kathmandu      | 1985-12-31 18:30
Africa/Casablanca   | 2025-02-23 02:00
Africa/Casablanca   | 2025-04-06 02:00
Pacific/Apia        | 2011-12-30 10:00
Pacific/Apia        | 2021-04-03 14:00
America/St_Johns    | 2010-11-07 02:31
America/St_Johns    | 2011-03-13 03:31
America/Nuuk        | 2024-03-31 01:00
America/Caracas     | 2007-12-09 07:00
America/Caracas     | 2016-05-01 07:00
Antarctica/Troll    | 2025-03-30 01:00
Antarctica/Troll    | 2025-10-26 01:00
"""
ZONES = sorted(zone for zone in available_timezones() if "/" in zone)


def near_a_change() -> st.SearchStrategy[tuple[ZoneInfo, datetime]]:
    minutes = st.integers(-150, 150) | st.integers(-4 * 24 * 60, 3 * 24 * 60)
    changes = st.sampled_from(rows(CHANGES))
    return st.builds(lambda row, ahead: (ZoneInfo(row[0]), utc(row[1]) + MINUTE * ahead), changes, minutes)


def anywhere() -> st.SearchStrategy[tuple[ZoneInfo, datetime]]:
    """Since 1975 all offsets are whole minutes."""
    moments = st.datetimes(datetime(1975, 1, 1), datetime(2036, 12, 1), timezones=st.just(UTC))  # noqa: DTZ001
    return st.tuples(
        st.sampled_from(ZONES).map(ZoneInfo), moments.map(lambda now: now.replace(second=0, microsecond=0))
    )


MOMENTS = near_a_change() | anywhere()
TIMES = st.builds(time, st.integers(0, 23), st.integers(0, 59)) | st.sampled_from([time(0), time(1, 30), time(2, 30)])
WINDOWS = st.builds(Window, st.frozensets(st.integers(0, 6)) | st.just(WEEK), TIMES, TIMES)


def wall(zone: ZoneInfo, moment: datetime) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def clock_is_in_a_window(windows: tuple[Window, ...], shown: datetime) -> bool:
    """Read off the clock on the wall, with no arithmetic on moments."""

    def inside(one: Window) -> bool:
        today, yesterday = shown.weekday() in one.days, (shown.weekday() - 1) % 7 in one.days
        if one.start < one.end:
            return today and one.start <= shown.time() < one.end
        return (today and shown.time() >= one.start) or (yesterday and shown.time() < one.end)

    return any(inside(one) for one in windows)


@given(where=MOMENTS, windows=st.lists(WINDOWS, max_size=4).map(tuple))
@settings(max_examples=300, deadline=None)
def test_it_is_quiet_when_the_clock_says_so(where: tuple[ZoneInfo, datetime], windows: tuple[Window, ...]) -> None:
    zone, now = where
    says_so = clock_is_in_a_window(windows, wall(zone, now))
    if len({(now + timedelta(hours=ahead)).astimezone(zone).utcoffset() for ahead in range(-30, 31)}) == 1:
        assert (quiet_until(windows, zone, now) is not None) == says_so
    elif says_so:  # Near a change it may be quiet beside: quiet errs longer.
        assert quiet_until(windows, zone, now) is not None


@given(where=MOMENTS, windows=st.lists(WINDOWS, min_size=1, max_size=4).map(tuple), share=st.integers(1, 19))
@settings(max_examples=200, deadline=None)
def test_quiet_lasts_until_it_ends(where: tuple[ZoneInfo, datetime], windows: tuple[Window, ...], share: int) -> None:
    zone, now = where
    until = quiet_until(windows, zone, now)
    if until is None:
        return
    assert until > now
    length = until - now
    samples = [now + length * share / 20, *(now + min(length, HORIZON) * part / 7 for part in range(1, 7))]
    found = {quiet_until(windows, zone, sample.replace(second=0, microsecond=0)) for sample in samples}
    if length < HORIZON:
        assert (found, quiet_until(windows, zone, until)) == ({until}, None)
    else:
        assert None not in found


FREQUENCIES = st.builds(Frequency, st.sampled_from([Every.DAY, Every.WEEK]), TIMES, st.integers(0, 6))


@given(where=MOMENTS, frequency=FREQUENCIES)
@settings(max_examples=60, deadline=None)
def test_a_digest_goes_when_the_clock_first_reaches_its_time(
    where: tuple[ZoneInfo, datetime], frequency: Frequency
) -> None:
    """Found the slow way: look at the clock every minute, from a day ago on."""
    zone, now = where
    minutes = [now + MINUTE * ahead for ahead in range(-27 * 60, 9 * 24 * 60)]
    walls = [wall(zone, minute) for minute in minutes]
    days = [walls[0].date() + timedelta(days=ahead) for ahead in range(11)]
    wanted = [day for day in days if frequency.every == Every.DAY or day.weekday() == frequency.weekday]
    times = [at for at in (datetime.combine(day, frequency.at) for day in wanted) if at > walls[0]]
    reached = [next((m for m, shown in zip(minutes, walls, strict=True) if shown >= at), None) for at in times]
    assert next_digest(frequency, zone, now) == min(moment for moment in reached if moment and moment > now)


@given(where=MOMENTS, seconds=st.integers(0, 59))
@settings(max_examples=200, deadline=None)
def test_an_hourly_digest_goes_at_the_next_full_hour_of_the_clock(
    where: tuple[ZoneInfo, datetime], seconds: int
) -> None:
    zone, now = where
    found = next_digest(HOURLY, zone, now + timedelta(seconds=seconds))
    assert found > now
    assert (wall(zone, found).minute, found.second) == (0, 0)
    assert all(wall(zone, now + MINUTE * ahead).minute for ahead in range(1, (found - now) // MINUTE))
