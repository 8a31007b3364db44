"""Choices as the database has them, as texts; and as the resolver wants them."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from notifications.choices import Raw, columns, frequency, read, window
from notifications.hours import Every, Frequency, Window
from notifications.resolver import Choices, Switches
from notifications.words import Value

UNTIL = datetime(2026, 3, 3, tzinfo=UTC)


def test_whoever_chose_nothing_and_has_no_template_has_the_defaults() -> None:
    assert read(Raw()) == Choices()
    assert read(Raw(timezone="UTC", quiet_hours="[]", digests="{}", channels="{}", settings="{}")) == Choices()


def test_everything_a_person_and_a_template_can_say() -> None:
    raw = Raw(
        locale="de-AT",
        timezone="Europe/Vienna",
        muted_until=UNTIL,
        quiet_hours='[{"days":[0,4],"start":"22:00","end":"07:00"}, {"days":[],"start":"12:30","end":"13:00"}]',
        digests='{"email": {"every": "week", "at": "17:30", "weekday": 4}, "push": {"every": "instant"}}',
        channels='{"email": true, "push": false}',
        settings='{"topic:project-7 email": "off", "type:task.assigned in_app": "on", "category:tasks push": "digest"}',
        template_channels='{"chat": true}',
        template_settings='{"category:tasks": {"email": "digest", "push": "off"}, "type:task.updated": {"chat": "on"}}',
    )
    assert read(raw) == Choices(
        person=Switches(
            channels={"email": True, "push": False},
            settings={
                ("topic:project-7", "email"): Value.OFF,
                ("type:task.assigned", "in_app"): Value.ON,
                ("category:tasks", "push"): Value.DIGEST,
            },
        ),
        template=Switches(
            channels={"chat": True},
            settings={
                ("category:tasks", "email"): Value.DIGEST,
                ("category:tasks", "push"): Value.OFF,
                ("type:task.updated", "chat"): Value.ON,
            },
        ),
        locale="de-AT",
        zone=ZoneInfo("Europe/Vienna"),
        quiet=(
            Window(days=frozenset({0, 4}), start=time(22), end=time(7)),
            Window(days=frozenset(), start=time(12, 30), end=time(13)),
        ),
        digests={
            "email": Frequency(every=Every.WEEK, at=time(17, 30), weekday=4),
            "push": Frequency(every=Every.INSTANT),
        },
        muted_until=UNTIL,
    )


def test_a_topic_key_may_hold_colons() -> None:
    assert read(Raw(settings='{"topic:jira:PRO-7 email": "off"}')).person.settings == {
        ("topic:jira:PRO-7", "email"): Value.OFF
    }


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"every": "instant"}, Frequency(every=Every.INSTANT, at=time(9), weekday=0)),
        ({"every": "hour"}, Frequency(every=Every.HOUR, at=time(9), weekday=0)),
        ({"every": "day"}, Frequency(every=Every.DAY, at=time(9), weekday=0)),
        ({"every": "day", "at": "18:05"}, Frequency(every=Every.DAY, at=time(18, 5), weekday=0)),
        ({"every": "week", "weekday": 6}, Frequency(every=Every.WEEK, at=time(9), weekday=6)),
    ],
)
def test_a_frequency_as_it_is_stored(stored: dict[str, object], expected: Frequency) -> None:
    assert frequency(stored) == expected


def test_a_window_as_it_is_stored() -> None:
    assert window({"days": [5, 6, 5], "start": "00:00", "end": "00:00"}) == Window(
        days=frozenset({5, 6}), start=time(0), end=time(0)
    )


def test_equal_texts_are_read_once_and_any_other_text_anew() -> None:
    raw = Raw(timezone="Asia/Kathmandu", channels='{"email": false}')
    assert read(raw) is read(Raw(timezone="Asia/Kathmandu", channels='{"email": false}'))
    assert read(raw._replace(channels='{"email": true}')).person.channels == {"email": True}
    assert read(raw).person.channels == {"email": False}


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (Raw(timezone="Mars/Olympus"), ZoneInfoNotFoundError),
        (Raw(settings='{"category:tasks email": "maybe"}'), ValueError),
        (Raw(digests='{"email": {"every": "year"}}'), ValueError),
        (Raw(quiet_hours='[{"days": [0], "start": "25:00", "end": "07:00"}]'), ValueError),
    ],
)
def test_what_no_writer_may_store_is_not_guessed_at(raw: Raw, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(raw)


def test_the_columns_keep_their_braces() -> None:
    text = columns(scopes="s.type_id = 'a.b'")
    assert text.count("'{}'") == 5
    assert "WHERE s.user_id = u.id AND (s.type_id = 'a.b')" in text
    assert "(true)" in columns()
