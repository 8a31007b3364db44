"""The preview says what happens: the same people, channels, times and reasons as a send, and nothing is written."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.models import User
from notifications.models import (
    Delivery,
    Event,
    Notification,
    NotificationSetting,
    Preference,
    PreferenceTemplate,
    Topic,
    Type,
)
from notifications.words import Lane
from tests import factories
from tests.api import Caller, error
from tests.factories import NOW, accept, submission
from workers import pipeline, preview, routing

pytestmark = pytest.mark.usefixtures("committed")

BODY = {"type": "task.assigned", "recipients": {"users": ["alice", "bob", "nobody"]}, "title": "Water the plants"}


def choose(user: User, **fields: Any) -> None:
    Preference.objects.create(user=user, updated_at=NOW, **fields)


def rows() -> dict[str, int]:
    """How many rows every table of ours has."""
    tables = [name for name in connection.introspection.table_names() if name.startswith(("notifications_", "core_"))]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"SELECT '{table}', count(*) FROM {table}" for table in tables))
        return dict(cursor.fetchall())


def test_who_would_get_what(producer: User, alice: User, bob: User) -> None:
    choose(alice, channels={"email": False})
    NotificationSetting.objects.create(
        user=bob, type_id="task.assigned", channel="email", value="digest", updated_at=NOW
    )
    before = rows()
    made = preview.preview(submission("alice", "bob", "nobody"), now=NOW)
    assert rows() == before
    tomorrow = datetime(2026, 3, 3, 9, 0, tzinfo=NOW.tzinfo)
    in_app = {"value": "on", "rule": "type", "reason": "", "at": NOW}
    assert made == preview.Preview(
        at=NOW,
        expired=False,
        recipients=2,
        unknown_users=["nobody"],
        channels={"in_app": {"on": {"now": 2}}, "email": {"off": {"muted": 1}, "digest": {"digest": 1}}},
        people=[
            {
                "user": "alice",
                "channels": {
                    "in_app": in_app,
                    "email": {"value": "off", "rule": "person:channel", "reason": "muted", "at": None},
                },
            },
            {
                "user": "bob",
                "channels": {
                    "in_app": in_app,
                    "email": {
                        "value": "digest",
                        "rule": "person:type:task.assigned",
                        "reason": "digest",
                        "at": tomorrow,
                    },
                },
            },
        ],
    )


def test_it_looks_at_the_time_it_would_be_sent(producer: User, alice: User) -> None:
    choose(alice, quiet_hours=[{"days": list(range(7)), "start": "22:00", "end": "07:00"}])
    night = NOW.replace(hour=23)
    made = preview.preview(submission("alice", send_at=night.isoformat()), now=NOW)
    assert (made.at, made.channels["email"]) == (night, {"on": {"quiet_hours": 1}})
    late = preview.preview(submission("alice", expires_at=NOW.isoformat()), now=NOW)
    assert (late.expired, late.recipients, late.channels) == (True, 0, {})


def test_over_rest(producer: User, alice: User, bob: User) -> None:
    call = Caller(producer)
    before = rows()
    answer = call("POST", "/events/preview", BODY)
    assert answer.status_code == 200, answer.content
    assert answer.json()["channels"] == {"in_app": {"on": {"now": 2}}, "email": {"on": {"now": 2}}}
    assert rows() == before
    refused = call("POST", "/events/preview", BODY | {"type": "task.lost"})
    assert error(refused) == (400, "invalid")
    assert "task.assigned" in refused.json()["details"]["type"][0]
    assert error(call("POST", "/events/preview", BODY | {"channels": ["pigeon"]})) == (400, "invalid")
    assert error(Caller(alice)("POST", "/events/preview", BODY)) == (403, "forbidden")


WINDOWS = [{"days": [0, 2, 4, 6], "start": "22:00", "end": "07:00"}, {"days": [1, 3], "start": "11:00", "end": "15:30"}]
PEOPLE = st.lists(
    st.fixed_dictionaries(
        {
            "email": st.booleans(),
            "timezone": st.sampled_from(["", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
            "channels": st.dictionaries(st.sampled_from(["in_app", "email"]), st.booleans()),
            "quiet_hours": st.none() | st.lists(st.sampled_from(WINDOWS), unique_by=str),
            "digests": st.dictionaries(
                st.just("email"), st.fixed_dictionaries({"every": st.sampled_from(["instant", "hour", "day", "week"])})
            ),
            "muted_for": st.none() | st.integers(-3, 3),
            "settings": st.dictionaries(
                st.tuples(st.sampled_from(["category", "type", "topic"]), st.sampled_from(["in_app", "email"])),
                st.sampled_from(["on", "off", "digest"]),
            ),
        }
    ),
    min_size=1,
    max_size=6,
)
KINDS = {"category": {"category_id": "tasks"}, "type": {"type_id": "task.assigned"}}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    people=PEOPLE,
    priority=st.sampled_from(["low", "normal", "high", "critical"]),
    channels=st.none() | st.lists(st.sampled_from(["in_app", "email"]), min_size=1, unique=True),
    required=st.lists(st.sampled_from(["in_app", "email"]), unique=True),
    template=st.dictionaries(st.sampled_from(["in_app", "email"]), st.booleans()),
    unread_after=st.none() | st.sampled_from([60, 40_000]),
    audience=st.sampled_from(["users", "topic", "all"]),
    hours=st.integers(0, 24 * 14),
)
def test_it_equals_the_outcome(
    producer: User,
    people: list[dict[str, Any]],
    priority: str,
    channels: list[str] | None,
    required: list[str],
    template: dict[str, bool],
    unread_after: int | None,
    audience: str,
    hours: int,
) -> None:
    now = NOW + timedelta(hours=hours)
    factories.forget_events()
    User.objects.exclude(pk=producer.pk).delete()
    topic, _ = Topic.objects.get_or_create(key="project-7")
    try:
        Type.objects.filter(key="task.assigned").update(required=required)
        PreferenceTemplate.objects.filter(is_default=True).update(channels=template)
        for number, person in enumerate(people):
            make(number, person, topic=topic, now=now)
        audiences: dict[str, Any] = {
            "users": {"users": [f"p{n}" for n in range(len(people))]},
            "topic": {"topic": "project-7"},
            "all": {"all": True},
        }
        asked = submission(
            recipients=audiences[audience], priority=priority, email_if_unread_after=unread_after, object="project-7"
        )
        asked.channels = channels
        expected = preview.preview(asked, now=now)
        accept(producer, asked, now=now)
        factories.process(now=now)
        assert outcome(now) == {one["user"]: one["channels"] for one in expected.people}
        assert (Notification.objects.count(), Event.objects.get().state) == (expected.recipients, "processed")
    finally:
        Type.objects.filter(key="task.assigned").update(required=[])
        PreferenceTemplate.objects.filter(is_default=True).update(channels={})


def make(number: int, person: dict[str, Any], *, topic: Topic, now: datetime) -> None:
    user = factories.users(1, prefix=f"p{number}-")[0]
    User.objects.filter(pk=user.pk).update(username=f"p{number}", email="p@example.com" if person["email"] else "")
    topic.subscription_set.create(user=user)
    muted = None if person["muted_for"] is None else now + timedelta(hours=person["muted_for"])
    fields = {name: person[name] for name in ("timezone", "channels", "quiet_hours", "digests")}
    choose(user, muted_until=muted, **fields)
    for (kind, channel), value in person["settings"].items():
        if (channel, value) != ("in_app", "digest"):
            of = KINDS.get(kind, {"topic_id": topic.pk})
            NotificationSetting.objects.create(user=user, channel=channel, value=value, updated_at=now, **of)


def outcome(now: datetime) -> dict[str, dict[str, dict[str, Any]]]:
    """What the rows say became of each person, in the words of the preview."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for line in Notification.objects.select_related("user"):
        told = {}
        for channel, one in line.decisions.items():
            delivery = Delivery.objects.filter(notification=line, channel=channel).first()
            at = delivery.due_at if delivery else now if channel == "in_app" and line.rev is not None else None
            if delivery and delivery.digest_id:
                at = Delivery.objects.get(digest=delivery.digest_id, notification=None).due_at
            reason = delivery.reason if delivery else one.get("reason", "")
            told[channel] = {"value": one["value"], "rule": one["rule"], "reason": reason, "at": at}
        found[line.user.username] = told
    return found


SITUATIONS = 50


def test_a_hundred_thousand_people_in_fifty_situations(producer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    User.objects.filter(pk=producer.pk).update(is_active=False)
    crowd(100_000)
    plans: Counter[str] = Counter()
    plan = routing.plan

    def counted(*args: Any, **kwargs: Any) -> routing.Plan:
        plans["made"] += 1
        return plan(*args, **kwargs)

    monkeypatch.setattr(routing, "plan", counted)
    before = rows()
    made = preview.preview(submission(recipients={"all": True}), now=NOW)
    assert rows() == before
    assert plans["made"] == SITUATIONS
    assert made.recipients == 100_000
    assert made.channels["in_app"] == {"on": {"now": 100_000}}
    assert {value: sum(reasons.values()) for value, reasons in made.channels["email"].items()} == {
        "off": 10_000,
        "digest": 88_000,
        "on": 2_000,
    }
    assert len(made.people) == 100
    # The same event for real: one plan for each situation in each turn of the worker, and here it is one turn.
    monkeypatch.setattr(pipeline, "TIME_BOX", 600.0)
    plans.clear()
    accept(producer, submission(recipients={"all": True}, channels=["in_app"]))
    assert pipeline.process_events(lane=Lane.BULK, clock=lambda: NOW) == 100_000
    assert plans["made"] == SITUATIONS


def crowd(size: int) -> None:
    """So many people who chose one of fifty things: four digest times of eleven, mail off, and nothing."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO core_user (password, is_superuser, username, first_name, last_name, email, is_staff, is_active,
                                   date_joined, is_producer)
            SELECT '!', false, 'crowd' || n, '', '', 'crowd' || n || '@example.com', false, true, now(), false
            FROM generate_series(1, %(size)s) n
            """,
            {"size": size},
        )
        cursor.execute(
            """
            INSERT INTO notifications_preference
                (user_id, locale, timezone, channels, digests, version, updated_at, rev)
            SELECT id, '', '',
                CASE WHEN id % 50 < 5 THEN jsonb_build_object('email', false) ELSE '{}' END,
                CASE WHEN id % 50 = 5 THEN '{}'::jsonb ELSE
                    jsonb_build_object('email', jsonb_build_object('every', 'day', 'at',
                        lpad((id % 50 / 5)::text, 2, '0') || ':0' || (id % 5)::text)) END,
                1, now(), 0
            FROM core_user WHERE is_active
            """
        )
