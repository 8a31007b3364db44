"""The virtual clock: hours pass in milliseconds, on the real engine, and each time alike."""

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import RFC_4122

import pytest
from django.conf import settings
from django.db import connections, transaction
from django.test import override_settings
from django.utils import timezone

from core.errors import Invalid
from core.models import User
from delivery.providers import memory
from notifications import schedules
from notifications.models import Delivery, Event, Subscription, Topic
from notifications.values import Outcome, Result
from tests import factories
from tests.api import Caller
from tests.conftest import empty
from workers.bellhop_clock import PRODUCER, START, BellhopClock, Sent
from workers.virtual_clock import Ran, Stuck, VirtualClock, duration

pytest_plugins = ["workers.pytest_plugin"]
ROOT = Path(__file__).resolve().parents[2]
EVERY_NIGHT = [{"days": [0, 1, 2, 3, 4, 5, 6], "start": "22:00", "end": "07:00"}]


@pytest.fixture
def clock(db: None, bellhop_clock: BellhopClock) -> BellhopClock:
    """The clock in a transaction that is rolled back."""
    return bellhop_clock


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def ended() -> list[tuple[str, str, int]]:
    return list(Delivery.objects.order_by("id").values_list("state", "reason", "attempts"))


# --- The clock ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("8 hours", 28800),
        ("90 minutes", 5400),
        ("1 day 2h", 93600),
        ("1d2h3m4s", 93784),
        ("2 weeks, 1 hour", 1213200),
        ("1.5 minutes", 90),
        ("30 sec", 30),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "8", "hours", "8 months", "-1 hour", "1 hour ago", "1 hours2"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration; write it like '8 hours'"):
        duration(text)


def test_it_only_goes_forward_and_wants_an_offset(db: None) -> None:
    clock = VirtualClock(START)
    assert clock.advance("1 day") == []
    assert clock() == clock.now == START + timedelta(days=1)
    assert clock.advance_to("2026-01-06T10:00+01:00") == []  # the same moment
    assert clock.now == START + timedelta(days=1)
    with pytest.raises(ValueError, match="only goes forward; it is 2026-01-06T09:00:00Z"):
        clock.advance(timedelta(seconds=-1))
    with pytest.raises(ValueError, match="needs an offset"):
        clock.advance_to("2026-01-07T10:00")
    assert clock.now == START + timedelta(days=1)


# --- What becomes due -----------------------------------------------------------------------------------------


def test_a_mail_for_what_stays_unread(clock: BellhopClock, alice: User) -> None:
    clock.send("task.assigned", users=["alice"], title="Water the plants", email_if_unread_after=300)
    assert clock.advance("4 minutes") == []
    assert clock.sent == []
    assert clock.advance("1 minute") == [Ran(START + timedelta(minutes=5), deliveries=1)]
    (mail,) = clock.sent
    assert (mail.at, mail.to, mail.subject, mail.result) == (
        START + timedelta(minutes=5),
        "alice@example.com",
        "Water the plants",
        "sent",
    )
    assert "Water the plants" in mail.text
    assert "Water the plants" in mail.html
    assert clock.advance("30 days") == []


def test_no_mail_for_what_was_read(clock: BellhopClock, alice: User) -> None:
    event = clock.send("task.assigned", users=["alice"], email_if_unread_after=300)
    clock.advance("299 seconds")
    (line,) = clock.inbox("alice")
    assert (line["created_at"], line["read_at"]) == (START, None)
    assert clock.act("alice", "read", ids=[line["id"]]) == 1
    assert clock.act("alice", "read") == 0
    assert clock.inbox("alice")[0]["read_at"] == START + timedelta(seconds=299)
    assert clock.advance("1 second") == [Ran(START + timedelta(minutes=5), deliveries=1)]
    assert clock.sent == []
    assert "email suppressed (already_read)" in clock.explain(event, "alice")["answer"]


@pytest.mark.parametrize(
    ("zone", "evening", "morning"),
    [
        ("Europe/London", "2026-03-28T23:00Z", "2026-03-29T06:00Z"),  # forward: seven hours later
        ("Europe/London", "2026-10-24T22:00Z", "2026-10-25T07:00Z"),  # back: nine hours later
        ("Australia/Lord_Howe", "2026-04-04T12:00Z", "2026-04-04T20:30Z"),  # back by half an hour
    ],
)
def test_quiet_hours_end_in_the_morning_though_the_clocks_change(
    clock: BellhopClock, alice: User, zone: str, evening: str, morning: str
) -> None:
    clock.prefer("alice", timezone=zone, quiet_hours=EVERY_NIGHT)
    clock.advance_to(evening)
    clock.send("task.assigned", users=["alice"])
    clock.send("task.assigned", users=["alice"], title="Fire", priority="critical")
    assert [(mail.at, mail.subject) for mail in clock.sent] == [(at(evening), "Fire")]
    assert clock.advance_to(at(morning) - timedelta(microseconds=1)) == []
    assert clock.advance("8 hours") == [Ran(at(morning), deliveries=1)]
    assert [mail.at for mail in clock.sent] == [at(evening), at(morning)]


def test_who_takes_back_their_quiet_hours_gets_what_was_held(clock: BellhopClock, alice: User) -> None:
    clock.prefer("alice", quiet_hours=EVERY_NIGHT)
    clock.advance_to("2026-01-05T23:00Z")
    clock.send("task.assigned", users=["alice"])
    assert clock.sent == []
    clock.prefer("alice", quiet_hours=[])
    assert [mail.at for mail in clock.sent] == [at("2026-01-05T23:00Z")]


def test_digests(clock: BellhopClock, alice: User, bob: User) -> None:
    clock.prefer("alice", digests={"email": {"every": "hour"}})
    clock.prefer("bob", timezone="America/New_York", digests={"email": {"every": "day", "at": "08:30"}})
    for number in range(3):
        clock.send("task.updated", users=["alice", "bob"], title=f"Change {number}")
        clock.advance("20 minutes")
    assert [(mail.at, mail.to, mail.subject) for mail in clock.sent] == [
        (at("2026-01-05T10:00Z"), "alice@example.com", "3 notifications in tasks")
    ]
    assert [f"Change {number}" in clock.sent[0].text for number in range(3)] == [True, True, True]
    clock.act("bob", "read")
    clock.send("task.completed", users=["bob"], title="All done")
    assert clock.advance("8 hours") == [Ran(at("2026-01-05T13:30Z"), deliveries=1)]
    assert [(mail.to, mail.subject) for mail in clock.sent[1:]] == [("bob@example.com", "All done")]


def test_an_event_for_later(clock: BellhopClock, alice: User) -> None:
    later = START + timedelta(hours=8)
    clock.send("task.assigned", users=["alice"], send_at=later)
    cancelled = clock.send("task.assigned", users=["alice"], send_at=later)
    clock.cancel(cancelled)
    assert clock.advance("7 hours 59 minutes") == []
    assert clock.inbox("alice") == []
    assert clock.advance("1 minute") == [Ran(later, events=1, notifications=1, deliveries=1)]
    assert [line["created_at"] for line in clock.inbox("alice")] == [later]
    assert [mail.at for mail in clock.sent] == [later]


def test_events_of_one_moment_keep_their_order(clock: BellhopClock, alice: User) -> None:
    later = START + timedelta(hours=1)
    ids = [clock.send("task.assigned", users=["alice"], title=str(number), send_at=later) for number in range(20)]
    assert ids == sorted(ids)
    assert {(id.version, id.variant) for id in ids} == {(7, RFC_4122)}
    assert clock.advance("1 hour") == [Ran(later, events=20, notifications=20, deliveries=20)]
    assert [mail.subject for mail in clock.sent] == [str(number) for number in range(20)]
    assert [line["title"] for line in clock.inbox("alice")] == [str(number) for number in reversed(range(20))]


def test_what_expires_before_the_morning_does_not_go(clock: BellhopClock, alice: User) -> None:
    clock.prefer("alice", quiet_hours=EVERY_NIGHT)
    clock.advance_to("2026-01-05T23:00Z")
    event = clock.send("task.assigned", users=["alice"], expires_at=clock.now + timedelta(hours=2))
    clock.advance("1 day")
    assert (clock.sent, ended()) == ([], [])
    assert clock.explain(event, "alice")["answer"].endswith("no email (expired, by type).")


def test_retries_come_to_an_end(clock: BellhopClock, alice: User) -> None:
    clock.answer("alice@example.com", Result.RETRY)
    clock.send("task.assigned", users=["alice"])
    moments = clock.advance("1 day")
    seconds = [10, 30, 70, 150, 310, 630, 1270]  # each wait twice the one before
    assert moments == [Ran(START + timedelta(seconds=n), deliveries=1) for n in seconds]
    assert len(seconds) + 1 == settings.MAX_ATTEMPTS
    assert [mail.result for mail in clock.sent] == ["retry"] * settings.MAX_ATTEMPTS
    assert ended() == [("failed", "attempts_exhausted", settings.MAX_ATTEMPTS)]


def test_what_a_provider_says_is_obeyed(clock: BellhopClock, alice: User, bob: User) -> None:
    clock.answer("alice@example.com", Outcome(Result.THROTTLED, retry_after=timedelta(hours=2)))
    clock.answer("bob@example.com", Result.GONE)
    clock.send("task.assigned", users=["alice", "bob"])
    clock.answer("alice@example.com", Result.SENT)
    assert clock.advance("1 day") == [Ran(START + timedelta(hours=2), deliveries=1)]
    assert [(mail.to, mail.result) for mail in clock.sent] == [
        ("alice@example.com", "throttled"),
        ("bob@example.com", "gone"),
        ("alice@example.com", "sent"),
    ]


def test_a_schedule(clock: BellhopClock, producer: User, alice: User) -> None:
    clock.advance_to("2026-03-26T12:00Z")  # a Thursday; on Sunday the clocks go forward
    schedules.create(
        producer_id=producer.pk,
        name="stand-up",
        event={"type": "task.updated", "recipients": {"users": ["alice"]}, "title": "Stand-up"},
        cron="30 9 * * 1-5",
        zone="Europe/Berlin",
        now=clock.now,
    )
    times = ["2026-03-27T08:30Z", "2026-03-30T07:30Z", "2026-03-31T07:30Z", "2026-04-01T07:30Z", "2026-04-02T07:30Z"]
    assert clock.advance("1 week") == [
        Ran(at(time), schedules=1, events=1, notifications=1, deliveries=1) for time in times
    ]
    assert [mail.at for mail in clock.sent] == [at(time) for time in times]


def test_deliveries_of_a_channel_that_was_switched_off_end(clock: BellhopClock, alice: User) -> None:
    clock.send("task.assigned", users=["alice"], email_if_unread_after=300)
    with override_settings(DELIVERY_CHANNELS={}):
        assert clock.advance("1 hour") == [Ran(START + timedelta(minutes=5), deliveries=1)]
    assert ended() == [("suppressed", "not_installed", 0)]


# --- Each time alike ------------------------------------------------------------------------------------------


def a_long_day(clock: BellhopClock) -> list[list[Ran]]:
    """Everything at once: a broadcast, digests, nights, a provider that fails, a topic, things for later."""
    people = factories.users(12)
    for number, person in enumerate(people):
        if number % 3 == 1:
            clock.prefer(person.username, digests={"email": {"every": "day", "at": "17:00"}})
        elif number % 3 == 2:
            clock.prefer(person.username, timezone="Asia/Kathmandu", quiet_hours=EVERY_NIGHT)
    topic = Topic.objects.create(key="project:1", name="Project")
    Subscription.objects.bulk_create([Subscription(topic=topic, user=person) for person in people[::2]])
    clock.answer("user3@example.com", Result.RETRY)
    reports = []
    clock.send("task.updated", all=True, title="First")
    clock.send("task.assigned", topic="project:1", title="Second", email_if_unread_after=600)
    clock.send("task.completed", users=["user5", "user1"], title="Third", send_at=clock.now + timedelta(hours=9))
    reports.append(clock.advance("8 hours"))
    clock.act("user4", "read")
    clock.send("task.updated", all=True, title="Fourth", priority="critical")
    reports.append(clock.advance("1 day"))
    return reports


def without_links(sent: list[Sent]) -> list[Sent]:
    """The link to unsubscribe names its person by id, and ids differ from run to run."""
    link = re.compile(r"/unsubscribe/[^\s\"<]+")
    return [replace(one, text=link.sub("", one.text), html=link.sub("", one.html)) for one in sent]


def test_the_same_day_again(committed: None, request: pytest.FixtureRequest) -> None:
    """Twice rolled back, where no hook runs; then with real commits and their hints; and without Redis."""
    days = []
    for way in ("rolled back", "rolled back", "committed", "without Redis"):
        if way == "without Redis":
            request.getfixturevalue("dead_redis")
        with BellhopClock.running() as clock, transaction.atomic() if way == "rolled back" else nullcontext():
            days.append((a_long_day(clock), without_links(clock.sent), Delivery.objects.count()))
            if way == "rolled back":
                transaction.set_rollback(True)
        empty()
    assert days[1] == days[0]
    assert days[2] == days[0]
    assert days[3] == days[0]
    (first, second), sent, deliveries = days[0]
    assert (len(first), len(second), len(sent), deliveries) == (9, 10, 44, 37)


# --- What surrounds it ------------------------------------------------------------------------------------------


def test_rows_that_somebody_else_holds_do_not_make_it_turn_for_ever(
    committed: None, bellhop_clock: BellhopClock
) -> None:
    factories.user("alice")
    bellhop_clock.send("task.assigned", users=["alice"], email_if_unread_after=300)
    delivery = Delivery.objects.get()
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT FROM notifications_delivery FOR UPDATE")
            with pytest.raises(Stuck, match=f"^At 2026-01-05T09:05:00Z these stay due: delivery {delivery.pk}.$"):
                bellhop_clock.advance("1 hour")
    finally:
        other.close()
    assert bellhop_clock.now == START + timedelta(minutes=5)
    assert bellhop_clock.run_due() == [Ran(START + timedelta(minutes=5), deliveries=1)]
    assert len(bellhop_clock.sent) == 1


def test_what_the_api_refuses_is_refused(clock: BellhopClock, alice: User) -> None:
    with pytest.raises(Invalid) as refused:
        clock.send("task.burnt", users=["alice"])
    assert list(refused.value.details) == ["type"]
    with pytest.raises(Invalid):
        clock.send("task.assigned", users=["alice"], colour="red")
    with pytest.raises(Invalid):
        clock.send("task.assigned")
    with pytest.raises(Invalid):
        clock.send("task.assigned", users=["alice"], all=True)
    assert Event.objects.count() == 0


def test_events_that_came_over_http(clock: BellhopClock, producer: User, alice: User) -> None:
    answer = Caller(producer)("POST", "/events", {"type": "task.assigned", "recipients": {"users": ["alice"]}})
    accepted_at = Event.objects.get(id=answer.json()["id"]).accepted_at
    assert clock.advance_to(timezone.now()) == [Ran(accepted_at, events=1, notifications=1, deliveries=1)]
    assert [mail.at for mail in clock.sent] == [accepted_at]


def test_its_producer_gets_no_broadcast(clock: BellhopClock, alice: User, bob: User) -> None:
    clock.send("task.assigned", all=True)
    assert [mail.to for mail in clock.sent] == ["alice@example.com", "bob@example.com"]
    assert clock.inbox(PRODUCER) == []
    assert User.objects.count() == 3


def test_it_leaves_settings_and_outbox_as_they_were() -> None:
    before = settings.DELIVERY_CHANNELS
    with BellhopClock.running() as clock:
        channels = settings.DELIVERY_CHANNELS
        clock.answer("alice@example.com", Result.GONE)
    assert channels == {
        name: {**entry, "PROVIDER": "delivery.providers.memory.MemoryProvider"} for name, entry in before.items()
    }
    assert settings.DELIVERY_CHANNELS is before
    assert memory.outbox == memory.Outbox()


STRANGER = """
from core.settings import *
DATABASES["default"]["TEST"] = {"NAME": "test_of_a_stranger"}
REDIS_URL = "redis://127.0.0.1:1/0"
"""
HOW_TO = ROOT / "docs/how-to/test-with-the-virtual-clock.md"


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As somebody does whose settings are in this folder; Redis is nowhere."""
    (folder / "stranger.py").write_text(STRANGER)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments],
        cwd=folder,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "stranger", "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_how_to_runs_in_somebody_elses_project(servers: None, tmp_path: Path) -> None:
    files = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```$", HOW_TO.read_text(), re.MULTILINE | re.DOTALL))
    assert list(files) == ["conftest.py", "test_reminders.py"]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = run_pytest(tmp_path)
    assert (done.returncode, re.findall(r"^3 passed", done.stdout, re.MULTILINE)) == (0, ["3 passed"]), done.stdout


def test_the_plugin_may_be_named_before_django_is_set_up(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "-p", "workers.pytest_plugin", "--fixtures")
    assert "\nbellhop_clock -- " in done.stdout, done.stdout + done.stderr
