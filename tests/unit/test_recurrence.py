"""When occurrences come: cron lines as Celery reads them, on clocks that jump and repeat themselves."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import crontab
from django_celery_beat import validators
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.hours import instant
from notifications.recurrence import COUNTED, FIELDS, Cron, Interval, Line, Rule, following, latest, parse

ZONES = [
    "America/New_York",
    "Europe/London",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "Pacific/Apia",
    "America/St_Johns",
    "UTC",
]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def cron(line: str, zone: str = "UTC") -> Cron:
    return Cron(parse(line), ZoneInfo(zone))


def occurrences(rule: Rule, after: datetime, count: int) -> list[str]:
    found = []
    for _ in range(count):
        after = following(rule, after)
        assert after.tzinfo is UTC
        found.append(after.strftime("%Y-%m-%d %H:%M"))
    return found


# line, zone, after, the next occurrences: all moments in UTC
TABLE = [
    ("0 9 * * *", "UTC", "2026-03-02 09:00", ["2026-03-03 09:00", "2026-03-04 09:00"]),
    ("0 9 * * *", "UTC", "2026-03-02 08:59:59.999999", ["2026-03-02 09:00"]),
    ("0 9 * * *", "Asia/Kathmandu", "2026-03-02 00:00", ["2026-03-02 03:15", "2026-03-03 03:15"]),
    ("0 9 * * 1-5", "Europe/Berlin", "2026-03-05 09:00", ["2026-03-06 08:00", "2026-03-09 08:00"]),
    ("0 9 * * sun", "Europe/Berlin", "2026-03-22 09:00", ["2026-03-29 07:00", "2026-04-05 07:00"]),
    ("15,45 8-18/5 * * *", "UTC", "2026-03-02 13:15", ["2026-03-02 13:45", "2026-03-02 18:15", "2026-03-02 18:45"]),
    ("0 0 1 jan *", "Pacific/Auckland", "2026-03-02 00:00", ["2026-12-31 11:00", "2027-12-31 11:00"]),
    ("0 0 31 * *", "UTC", "2026-03-02 00:00", ["2026-03-31 00:00", "2026-05-31 00:00", "2026-07-31 00:00"]),
    ("0 12 29 2 *", "UTC", "2026-03-02 00:00", ["2028-02-29 12:00", "2032-02-29 12:00"]),
    ("0 12 29 2 1", "UTC", "2072-03-01 00:00", ["2112-02-29 12:00", "2140-02-29 12:00"]),
    # Both days are asked for: the thirteenth, and a Friday.
    ("0 0 13 * 5", "UTC", "2026-01-01 00:00", ["2026-02-13 00:00", "2026-03-13 00:00", "2026-11-13 00:00"]),
    # New York, 8 March 2026: 02:00 EST (07:00 UTC) is 03:00 EDT. What is skipped comes at the end of the gap, once.
    (
        "30 2 * * *",
        "America/New_York",
        "2026-03-07 00:00",
        ["2026-03-07 07:30", "2026-03-08 07:00", "2026-03-09 06:30"],
    ),
    ("*/15 2 * * *", "America/New_York", "2026-03-08 00:00", ["2026-03-08 07:00", "2026-03-09 06:00"]),
    ("30 2,3 * * *", "America/New_York", "2026-03-08 00:00", ["2026-03-08 07:00", "2026-03-08 07:30"]),
    ("0 2,3 * * *", "America/New_York", "2026-03-08 00:00", ["2026-03-08 07:00", "2026-03-09 06:00"]),
    # ... and every hour is every hour: nothing comes in a gap, nothing is made up for.
    (
        "30 * * * *",
        "America/New_York",
        "2026-03-08 05:59",
        ["2026-03-08 06:30", "2026-03-08 07:30", "2026-03-08 08:30"],
    ),
    (
        "*/30 * * * *",
        "America/New_York",
        "2026-03-08 06:00",
        ["2026-03-08 06:30", "2026-03-08 07:00", "2026-03-08 07:30"],
    ),
    # New York, 1 November 2026: 01:00 to 02:00 comes twice, 05:00 to 07:00 UTC. A time of the day comes at the first.
    ("30 1 * * *", "America/New_York", "2026-11-01 00:00", ["2026-11-01 05:30", "2026-11-02 06:30"]),
    ("30 1 * * *", "America/New_York", "2026-11-01 05:30", ["2026-11-02 06:30"]),
    ("0 1,2 * * *", "America/New_York", "2026-11-01 00:00", ["2026-11-01 05:00", "2026-11-01 07:00"]),
    # ... and a line for every hour comes in both: no hour of silence, no two at once.
    (
        "*/15 * * * *",
        "America/New_York",
        "2026-11-01 05:30",
        [
            "2026-11-01 05:45",
            "2026-11-01 06:00",
            "2026-11-01 06:15",
            "2026-11-01 06:30",
            "2026-11-01 06:45",
            "2026-11-01 07:00",
        ],
    ),
    (
        "30 * * * *",
        "America/New_York",
        "2026-11-01 05:00",
        ["2026-11-01 05:30", "2026-11-01 06:30", "2026-11-01 07:30"],
    ),
    # Lord Howe, half an hour: 02:00 becomes 02:30 on 4 October 2026 (15:30 UTC), and 01:30 on 5 April (15:00 UTC).
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03 00:00", ["2026-10-03 15:30", "2026-10-04 15:15"]),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04 00:00", ["2026-04-04 14:45", "2026-04-05 15:15"]),
    (
        "*/15 * * * *",
        "Australia/Lord_Howe",
        "2026-04-04 14:30",
        ["2026-04-04 14:45", "2026-04-04 15:00", "2026-04-04 15:15", "2026-04-04 15:30", "2026-04-04 15:45"],
    ),
    (
        "0 * * * *",
        "Australia/Lord_Howe",
        "2026-10-03 14:00",
        ["2026-10-03 14:30", "2026-10-03 16:00", "2026-10-03 17:00"],
    ),
    # Apia had no 30 December 2011: the gap ends with the 31st, at 10:00 UTC.
    ("0 9 * * *", "Pacific/Apia", "2011-12-29 00:00", ["2011-12-29 19:00", "2011-12-30 10:00", "2011-12-30 19:00"]),
    ("0 * * * *", "Pacific/Apia", "2011-12-30 08:00", ["2011-12-30 09:00", "2011-12-30 10:00", "2011-12-30 11:00"]),
    ("0 * 30 12 *", "Pacific/Apia", "2011-12-29 00:00", ["2012-12-29 10:00", "2012-12-29 11:00"]),
    ("0 * 31 12 *", "Pacific/Apia", "2011-12-29 00:00", ["2011-12-30 10:00", "2011-12-30 11:00"]),
    # Casablanca leaves its summer time for Ramadan: 03:00 becomes 02:00 on 15 February 2026 (02:00 UTC).
    ("30 2 * * *", "Africa/Casablanca", "2026-02-14 12:00", ["2026-02-15 01:30", "2026-02-16 02:30"]),
]


@pytest.mark.parametrize(("line", "zone", "after", "expected"), TABLE)
def test_when_it_comes(line: str, zone: str, after: str, expected: list[str]) -> None:
    assert occurrences(cron(line, zone), utc(after), len(expected)) == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "has five fields"),
        ("* * * *", "this has 4"),
        ("* * * * * *", "this has 6"),
        ("@daily x x x x", "'@daily' is no minute"),
        ("60 * * * *", "'60' is no minute: use *, numbers from 0 to 59,"),
        ("* 24 * * *", "'24' is no hour"),
        ("* * 0 * *", "'0' is no day of the month"),
        ("* * * 13 *", "'13' is no month: use *, numbers from 1 to 12 or jan to dec,"),
        ("* * * * 7", "'7' is no day of the week: use *, numbers from 0 to 6 or sun to sat,"),
        ("* * * * monday", "no day of the week"),
        ("* * * mon *", "no month"),
        ("jan * * * *", "no minute"),
        ("5/10 * * * *", "no minute"),
        ("*/0 * * * *", "no minute"),
        ("*/60 * * * *", "no minute"),
        ("30-10 * * * *", "no minute"),
        ("1,,2 * * * *", "no minute"),
        (", * * * *", "no minute"),
        ("-1 * * * *", "no minute"),
        ("1-2-3 * * * *", "no minute"),
        ("*-5 * * * *", "no minute"),
        ("٣ * * * *", "no minute"),
        (f"{'1,' * 200}1 * * * *", "no minute"),
        ("* * 31 2 *", "never comes"),
        ("* * 30-31 feb *", "never comes"),
        ("* * 31 4,6,9,11 *", "never comes"),
    ],
)
def test_what_is_no_line_is_refused_with_a_sentence(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]{10,250}$") as error:
        parse(line)
    assert said in str(error.value)


@pytest.mark.parametrize("step", [timedelta(seconds=59), timedelta(0), timedelta(days=-1), timedelta(days=367)])
def test_an_interval_has_limits(step: timedelta) -> None:
    with pytest.raises(ValueError, match="from one minute to 366 days"):
        Interval(utc("2026-01-01"), step)


def test_an_interval_counts_from_its_start_and_knows_no_clock() -> None:
    rule = Interval(utc("2026-03-07 12:34"), timedelta(hours=12))
    expected = ["2026-03-08 00:34", "2026-03-08 12:34", "2026-03-09 00:34"]
    assert occurrences(rule, utc("2026-03-07 12:34"), 3) == expected
    assert occurrences(rule, utc("2020-01-01"), 1) == expected[:1]
    assert occurrences(rule, utc("2026-03-08 00:33:59"), 1) == expected[:1]
    assert occurrences(rule, utc("2026-03-08 00:34"), 1) == expected[1:2]


@st.composite
def field(draw: st.DrawFn, number: int) -> str:
    low, high = FIELDS[number].low, FIELDS[number].high
    numbers = st.integers(low, high)
    first = draw(numbers)
    last = draw(st.integers(first, high))
    step = draw(st.integers(1, high))
    parts = st.sampled_from(["*", f"*/{step}", str(first), f"{first}-{last}", f"{first}-{last}/{step}"])
    return ",".join(draw(st.lists(parts, min_size=1, max_size=3)))


lines = st.tuples(*(field(number) for number in range(5))).map(" ".join)
# Any moment, and more often one near which a clock of ZONES changes.
CHANGES = [utc(day) for day in ("2026-03-08", "2026-11-01", "2026-04-04", "2026-10-03", "2011-12-30", "2026-02-15")]
moments = st.builds(
    lambda day, seconds: day + timedelta(seconds=seconds),
    st.one_of(
        st.sampled_from(CHANGES), st.integers(0, 5000).map(lambda days: utc("2016-01-01") + timedelta(days=days))
    ),
    st.integers(-86400, 86400),
)


def understood(line: str) -> bool:
    try:
        parse(line)
    except ValueError:
        return False
    return True


@given(lines)
def test_celery_and_its_tables_read_a_line_as_we_do(line: str) -> None:
    minute, hour, day, month, weekday = line.split()
    validators.minute_validator(minute)
    validators.hour_validator(hour)
    validators.day_of_month_validator(day)
    validators.month_of_year_validator(month)
    validators.day_of_week_validator(weekday)
    if not understood(line):
        with pytest.raises(ValueError, match="never occurs"):
            crontab(minute, hour, weekday, day, month)
        return
    ours = parse(line)
    theirs: Any = crontab(minute, hour, weekday, day, month)
    assert (ours.minutes, ours.hours, ours.days, ours.months, ours.weekdays) == (
        theirs.minute,
        theirs.hour,
        theirs.day_of_month,
        theirs.month_of_year,
        theirs.day_of_week,
    )


def fits(line: Line, shown: datetime) -> bool:
    return (
        shown.minute in line.minutes
        and shown.hour in line.hours
        and shown.day in line.days
        and shown.month in line.months
        and shown.isoweekday() % 7 in line.weekdays
    )


def is_end_of_a_gap(moment: datetime, zone: ZoneInfo) -> bool:
    before, after = (m.astimezone(zone).replace(tzinfo=None) for m in (moment - timedelta(seconds=1), moment))
    return after - before > timedelta(seconds=1)


@given(lines.filter(understood), st.sampled_from(ZONES), moments)
@settings(deadline=None)
def test_it_comes_later_each_time_and_as_the_line_says(line: str, zone: str, now: datetime) -> None:
    rule = cron(line, zone)
    for _ in range(4):
        moment = following(rule, now)
        assert moment > now
        shown = moment.astimezone(rule.zone)
        assert fits(rule.line, shown) or (len(rule.line.hours) < 24 and is_end_of_a_gap(moment, rule.zone))
        assert (shown.second, shown.microsecond) == (0, 0)
        now = moment


def by_trying(rule: Cron, first: datetime, end: datetime) -> set[datetime]:
    """The occurrences after `first` up to `end`, minute by minute: of the world, or of the days on the wall."""
    minute = first.replace(second=0)
    if len(rule.line.hours) == 24:
        world = [minute + timedelta(minutes=n) for n in range((end - first) // timedelta(minutes=1) + 2)]
        found = {moment for moment in world if fits(rule.line, moment.astimezone(rule.zone))}
    else:
        wall = [minute.replace(tzinfo=None) + timedelta(minutes=n) for n in range(-2 * 1440, 4 * 1440)]
        found = {instant(w.date(), w.time(), rule.zone) for w in wall if fits(rule.line, w)}
    return {moment for moment in found if first < moment <= end}


@given(lines.filter(understood), st.sampled_from(ZONES), moments)
@settings(deadline=None, max_examples=50)
def test_nothing_in_between_was_left_out(line: str, zone: str, now: datetime) -> None:
    rule, end = cron(line, zone), now + timedelta(days=2)
    found = set()
    moment = following(rule, now)
    while moment <= end:
        found.add(moment)
        moment = following(rule, moment)
    assert found == by_trying(rule, now, end)


class TestLatest:
    DAILY = cron("0 9 * * *", "Europe/Berlin")

    @pytest.mark.parametrize(
        ("since", "until", "expected"),
        [
            ("2026-03-02 08:00", "2026-03-02 08:00", ("2026-03-02 08:00", 1)),
            ("2026-03-02 08:00", "2026-03-02 23:00", ("2026-03-02 08:00", 1)),
            ("2026-03-02 08:00", "2026-03-05 07:59:59", ("2026-03-04 08:00", 3)),
            ("2026-03-28 08:00", "2026-03-30 07:00", ("2026-03-30 07:00", 3)),
            ("2026-03-02 08:00:01", "2026-03-03 07:59", None),
        ],
    )
    def test_the_last_one_and_how_many(self, since: str, until: str, expected: tuple[str, int] | None) -> None:
        found = latest(self.DAILY, since=utc(since), until=utc(until))
        assert found == ((utc(expected[0]), expected[1]) if expected else (None, 0))

    @pytest.mark.parametrize(
        ("line", "last"), [("* * * * *", "2028-03-04 05:06"), ("*/7 9 * * 1", "2028-02-28 09:56"), ("0 0 1 1 *", None)]
    )
    def test_after_years_of_silence(self, line: str, last: str | None) -> None:
        """Only so many are counted, and the last is found all the same."""
        since, until = utc("2022-01-01"), utc("2028-03-04 05:06:07")
        expected = (utc(last), COUNTED) if last else (utc("2028-01-01"), 7)
        assert latest(cron(line), since=since, until=until) == expected
