"""Schedules: one event for each occurrence, whoever sweeps and however late; and each recipient's own clock."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django_celery_beat.models import CrontabSchedule, IntervalSchedule

from core import redis
from core.errors import Invalid, NotFound
from core.models import User
from notifications import schedules
from notifications.models import Event, Notification, Preference, PreferenceTemplate, Schedule, Topic, Type
from tests import factories
from tests.factories import NOW
from tests.integration.test_query_counts import statements
from tests.integration.test_tasks import all_waiting
from workers import sweep, tasks

pytestmark = pytest.mark.usefixtures("committed")

EVENT: dict[str, Any] = {"type": "task.assigned", "recipients": {"users": ["alice"]}, "title": "Stand up"}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def schedule(producer: User, *, now: datetime = NOW, event: dict[str, Any] | None = None, **given: Any) -> Schedule:
    """One at nine o'clock UTC, unless something else is given."""
    if "every" not in given:
        given.setdefault("cron", "0 9 * * *")
    return schedules.create(producer_id=producer.pk, name="Standup", event=event or EVENT, **given, now=now)


def in_zone(user: User, zone: str) -> None:
    Preference.objects.update_or_create(user=user, defaults={"timezone": zone, "updated_at": NOW})


def sent() -> list[tuple[str, str]]:
    """The events so far: when, and for whose clocks."""
    rows = Event.objects.order_by("accepted_at", "zone")
    return [(event.accepted_at.strftime("%m-%d %H:%M"), event.zone) for event in rows]


def run_until(start: datetime, end: datetime, *, step: timedelta = timedelta(minutes=15)) -> None:
    while start <= end:
        schedules.run_due(now=start)
        start += step


def test_an_occurrence_becomes_an_event(producer: User, alice: User) -> None:
    row = schedule(producer, cron="30 9 * * 1-5", zone="Europe/Berlin", event=EVENT | {"expires_after": 3600})
    assert row.due_at == utc("2026-03-03 08:30")
    assert schedules.run_due(now=utc("2026-03-03 08:29:59.999")) == 0
    now = utc("2026-03-03 08:30:00.7")
    assert schedules.run_due(now=now) == 1
    event = Event.objects.get()
    assert (event.producer_id, event.type_id, event.title, event.usernames) == (
        producer.pk,
        "task.assigned",
        "Stand up",
        ["alice"],
    )
    assert (event.accepted_at, event.due_at, event.expires_at) == (now, now, utc("2026-03-03 09:30"))
    assert event.idempotency_key == f"\x1fschedule:{row.pk}:2026-03-03T08:30:00+00:00:"
    assert (event.zone, len(event.trace_id)) == ("", 32)
    row.refresh_from_db()
    assert (row.last_at, row.due_at, row.error) == (utc("2026-03-03 08:30"), utc("2026-03-04 08:30"), "")
    assert schedules.run_due(now=now) == 0
    factories.process(now=now)
    assert list(Notification.objects.values_list("user__username", "event")) == [("alice", event.id)]


def test_an_interval_counts_from_the_making(producer: User) -> None:
    row = schedule(producer, every=(90, "minutes"), now=utc("2026-03-02 12:00"))
    run_until(utc("2026-03-02 12:00"), utc("2026-03-02 18:00"))
    assert [at for at, _ in sent()] == ["03-02 13:30", "03-02 15:00", "03-02 16:30", "03-02 18:00"]
    row.refresh_from_db()
    assert (row.last_at, row.due_at) == (utc("2026-03-02 18:00"), utc("2026-03-02 19:30"))


def test_sweeps_at_once_make_one_event_for_each_occurrence(producer: User) -> None:
    for _ in range(10):
        schedule(producer, every=(1, "minutes"))
    schedule(producer, cron="* * * * *", zone="recipient")
    start, made = threading.Barrier(4), []

    def work() -> None:
        for minute in range(1, 16):
            start.wait()
            made.append(schedules.run_due(now=NOW + timedelta(minutes=minute)))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = set(Event.objects.values_list("idempotency_key", flat=True))
    # The eleventh has one recipient, who does not exist, and so is in nobody's zone.
    assert sum(made) == Event.objects.count() == len(keys) == 150
    assert Schedule.objects.filter(due_at=NOW + timedelta(minutes=16), error="").count() == 11


def test_what_another_sweep_holds_is_not_waited_for(producer: User) -> None:
    held, free = schedule(producer), schedule(producer)
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Schedule.objects.select_for_update().get(pk=held.pk)
            holding.set()
            done.wait(10)
        connection.close()

    other = threading.Thread(target=hold)
    other.start()
    holding.wait()
    made = schedules.run_due(now=utc("2026-03-03 09:00"))
    done.set()
    other.join()
    assert made == 1
    assert list(Schedule.objects.filter(last_at__isnull=False)) == [free]


def test_after_a_long_silence_only_the_last_occurrence_counts(producer: User, caplog: pytest.LogCaptureFixture) -> None:
    row = schedule(producer, cron="0 * * * *", event=EVENT | {"expires_after": 600})
    now = utc("2026-03-05 17:20")
    assert schedules.run_due(now=now) == 1
    (line,) = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert (line["event"], line["schedule_id"], line["events"], line["skipped"]) == ("schedule.accepted", row.pk, 1, 76)
    event = Event.objects.get()
    assert (event.accepted_at, event.expires_at) == (now, utc("2026-03-05 17:10"))
    assert event.idempotency_key == f"\x1fschedule:{row.pk}:2026-03-05T17:00:00+00:00:"
    row.refresh_from_db()
    assert (row.last_at, row.due_at) == (utc("2026-03-05 17:00"), utc("2026-03-05 18:00"))
    factories.process(now=now)
    event.refresh_from_db()
    assert (event.state, event.error, Notification.objects.count()) == ("cancelled", "expired", 0)


class TestWhatGoesWrong:
    """It is written on the schedule, and nobody else's waits."""

    def test_an_event_that_would_be_refused(self, producer: User) -> None:
        gone = Type.objects.create(key="gone", category_id="tasks", title="Gone", channels=["in_app"])
        bad = schedule(producer, event=EVENT | {"type": "gone"})
        good = schedule(producer)
        gone.delete()
        assert schedules.run_due(now=utc("2026-03-03 09:00")) == 1
        bad.refresh_from_db()
        good.refresh_from_db()
        assert (bad.enabled, bad.last_at, bad.due_at) == (True, None, utc("2026-03-04 09:00"))
        assert bad.error == (
            "The body is not valid: see details. type: 'gone' does not exist. "
            "Known: task.assigned, task.completed, task.updated."
        )
        assert (good.error, good.last_at, good.due_at) == ("", utc("2026-03-03 09:00"), bad.due_at)
        made = Type.objects.create(key="gone", category_id="tasks", title="Back", channels=["in_app"])
        assert schedules.run_due(now=utc("2026-03-04 09:00")) == 2
        bad.refresh_from_db()
        assert (bad.error, bad.last_at) == ("", utc("2026-03-04 09:00"))
        factories.forget_events()
        made.delete()

    def test_what_was_stored_is_no_event_any_more(self, producer: User) -> None:
        unreadable, broken, good = schedule(producer), schedule(producer, zone="recipient"), schedule(producer)
        in_zone(producer, "UTC")
        Schedule.objects.filter(pk=unreadable.pk).update(submission=EVENT | {"colour": "red"})
        Schedule.objects.filter(pk=broken.pk).update(submission={"recipients": 5}, due_at=utc("2026-03-03 09:00"))
        assert schedules.run_due(now=utc("2026-03-03 09:00")) == 1
        found = dict(Schedule.objects.values_list("pk", "error"))
        assert "unknown field `colour`" in found[unreadable.pk]
        assert found[broken.pk] == "AttributeError: 'int' object has no attribute 'get'"
        assert found[good.pk] == ""
        assert not Schedule.objects.filter(due_at__lte=utc("2026-03-03 09:00")).exists()
        assert Schedule.objects.filter(enabled=True).count() == 3

    def test_a_shared_row_that_somebody_spoilt(self, producer: User) -> None:
        bad, short, good = (
            schedule(producer, cron="1 2 3 4 *"),
            schedule(producer, every=(61, "seconds")),
            schedule(producer),
        )
        CrontabSchedule.objects.filter(pk=bad.crontab_id).update(hour="99")
        IntervalSchedule.objects.filter(pk=short.interval_id).update(period="microseconds")
        Schedule.objects.update(due_at=utc("2026-03-03 09:00"))
        assert schedules.run_due(now=utc("2026-03-03 09:00")) == 1
        rows = {row.pk: row for row in Schedule.objects.all()}
        assert (
            (rows[bad.pk].enabled, rows[bad.pk].due_at)
            == (rows[short.pk].enabled, rows[short.pk].due_at)
            == (False, None)
        )
        assert rows[bad.pk].error.startswith("ValueError: '99' is no hour")
        assert rows[short.pk].error == "ValueError: An interval is from one minute to 366 days long."
        assert (rows[good.pk].enabled, rows[good.pk].error) == (True, "")

    @pytest.mark.parametrize("column", ["is_active", "is_producer"])
    def test_a_producer_who_may_not_any_more(self, producer: User, column: str) -> None:
        row, other = schedule(producer), schedule(factories.user("staff", is_staff=True))
        User.objects.filter(pk=producer.pk).update(**{column: False})
        assert schedules.run_due(now=utc("2026-03-03 09:00")) == 1
        row.refresh_from_db()
        assert (row.enabled, row.due_at, row.last_at) == (False, None, None)
        assert row.error == "Its producer may not send events any more."
        assert Event.objects.get().producer_id == other.producer_id


class TestEachOwnZone:
    @pytest.fixture(autouse=True)
    def people(self, committed: None, alice: User, bob: User) -> None:
        in_zone(alice, "America/New_York")
        in_zone(bob, "Asia/Kathmandu")
        factories.user("carol")  # has chosen nothing, and so is in UTC

    def test_each_gets_it_when_it_is_time_on_their_clock(self, producer: User) -> None:
        schedule(producer, zone="recipient", event=EVENT | {"recipients": {"all": True}}, now=utc("2026-03-02 00:00"))
        run_until(utc("2026-03-02 00:00"), utc("2026-03-03 04:00"))
        assert sent() == [
            ("03-02 03:15", "Asia/Kathmandu"),
            ("03-02 09:00", "UTC"),
            ("03-02 14:00", "America/New_York"),
            ("03-03 03:15", "Asia/Kathmandu"),
        ]
        factories.process(now=utc("2026-03-03 04:00"))
        lines = Notification.objects.order_by("user__username", "event").values_list("user__username", "event__zone")
        assert list(lines) == [
            ("alice", "America/New_York"),
            ("bob", "Asia/Kathmandu"),
            ("bob", "Asia/Kathmandu"),
            ("carol", "UTC"),
            ("producer", "UTC"),
        ]

    def test_only_zones_of_people_who_are_named(self, producer: User) -> None:
        to = {"users": ["alice", "carol", "nobody"]}
        row = schedule(producer, zone="recipient", event=EVENT | {"recipients": to}, now=utc("2026-03-02 00:00"))
        run_until(utc("2026-03-02 00:00"), utc("2026-03-02 23:45"))
        assert sent() == [("03-02 09:00", "UTC"), ("03-02 14:00", "America/New_York")]
        factories.process(now=utc("2026-03-03 00:00"))
        assert sorted(Notification.objects.values_list("user__username", flat=True)) == ["alice", "carol"]
        assert [event.unknown_users for event in Event.objects.all()] == [["nobody"], ["nobody"]]
        row.refresh_from_db()
        assert (row.last_at, row.error) == (utc("2026-03-02 14:00"), "")

    def test_where_it_was_too_late_when_it_was_made_it_begins_tomorrow(self, producer: User) -> None:
        to = {"recipients": {"users": ["alice", "bob"]}}
        schedule(producer, zone="recipient", event=EVENT | to, now=utc("2026-03-02 10:00"))
        run_until(utc("2026-03-02 10:00"), utc("2026-03-03 05:00"))
        assert sent() == [("03-02 14:00", "America/New_York"), ("03-03 03:15", "Asia/Kathmandu")]

    def test_the_clocks_change_for_some(self, producer: User, alice: User) -> None:
        """Half past two does not come in New York on 8 March, and comes at the end of the gap."""
        to = {"recipients": {"users": ["alice", "carol"]}}
        schedule(producer, zone="recipient", cron="30 2 * * *", event=EVENT | to, now=utc("2026-03-07 00:00"))
        run_until(utc("2026-03-07 00:00"), utc("2026-03-09 12:00"))
        assert sent() == [
            ("03-07 02:30", "UTC"),
            ("03-07 07:30", "America/New_York"),
            ("03-08 02:30", "UTC"),
            ("03-08 07:00", "America/New_York"),
            ("03-09 02:30", "UTC"),
            ("03-09 06:30", "America/New_York"),
        ]

    def test_every_hour_comes_twice_where_the_hour_does(self, producer: User) -> None:
        schedule(producer, zone="recipient", cron="0 * * * *", now=utc("2026-11-01 04:30"))
        run_until(utc("2026-11-01 04:30"), utc("2026-11-01 07:30"))
        assert sent() == [(f"11-01 0{hour}:00", "America/New_York") for hour in (5, 6, 7)]

    def test_a_zone_in_which_somebody_is_since_the_last_look(self, producer: User, alice: User) -> None:
        schedule(producer, zone="recipient", now=utc("2026-03-02 10:00"))
        run_until(utc("2026-03-02 10:00"), utc("2026-03-02 22:00"))
        in_zone(alice, "Asia/Tokyo")
        run_until(utc("2026-03-02 22:15"), utc("2026-03-03 10:00"))
        assert sent() == [("03-02 14:00", "America/New_York"), ("03-03 00:00", "Asia/Tokyo")]

    def test_who_follows_the_template_is_in_its_zone(self, producer: User) -> None:
        template = PreferenceTemplate.objects.get(is_default=True)
        PreferenceTemplate.objects.filter(pk=template.pk).update(timezone="Australia/Lord_Howe")
        schedule(producer, zone="recipient", event=EVENT | {"recipients": {"users": ["carol"]}})
        run_until(NOW, NOW + timedelta(days=1))
        PreferenceTemplate.objects.filter(pk=template.pk).update(timezone="")
        assert sent() == [("03-02 22:00", "Australia/Lord_Howe")]

    def test_after_a_long_silence_one_event_for_each_clock(self, producer: User) -> None:
        to = {"recipients": {"users": ["alice", "bob", "carol"]}}
        schedule(producer, zone="recipient", event=EVENT | to, now=utc("2026-03-02 00:00"))
        assert schedules.run_due(now=utc("2026-03-05 12:00")) == 3
        keys = [str(key) for key in Event.objects.values_list("idempotency_key", flat=True)]
        assert sorted(key.split(":", 2)[2] for key in keys) == [
            "2026-03-04T14:00:00+00:00:America/New_York",
            "2026-03-05T03:15:00+00:00:Asia/Kathmandu",
            "2026-03-05T09:00:00+00:00:UTC",
        ]


class TestChanging:
    def test_switched_off_and_on_again_it_goes_on_from_now(self, producer: User) -> None:
        row = schedule(producer)
        off = schedules.change(row.pk, enabled=False, now=NOW)
        assert (off.enabled, off.due_at) == (False, None)
        assert schedules.run_due(now=utc("2026-03-09 09:00")) == 0
        on = schedules.change(row.pk, enabled=True, now=utc("2026-03-09 10:00"))
        assert (on.enabled, on.due_at) == (True, utc("2026-03-10 09:00"))

    def test_another_time_counts_from_now(self, producer: User) -> None:
        row = schedule(producer)
        later = utc("2026-03-03 10:00")  # an occurrence was missed
        assert schedules.change(row.pk, name="New", now=later).due_at == utc("2026-03-03 09:00")
        assert schedules.change(row.pk, zone="America/New_York", now=later).due_at == utc("2026-03-03 14:00")
        assert schedules.change(row.pk, cron="0 8 * * *", now=later).due_at == utc("2026-03-03 13:00")
        assert schedules.change(row.pk, zone="recipient", now=later).each_own_zone
        changed = schedules.change(row.pk, every=(2, "hours"), now=later)
        assert (changed.due_at, changed.crontab, changed.each_own_zone) == (utc("2026-03-03 12:00"), None, False)
        changed = schedules.change(row.pk, cron="0 8 * * *", now=later)
        assert (changed.due_at, changed.interval, changed.each_own_zone) == (utc("2026-03-04 08:00"), None, False)

    def test_what_was_wrong_is_forgotten_when_it_is_changed(self, producer: User) -> None:
        row = schedule(producer)
        Schedule.objects.update(error="No.")
        assert schedules.change(row.pk, name="New", now=NOW).error == "No."
        assert schedules.change(row.pk, now=NOW).error == "No."
        assert schedules.change(row.pk, event=EVENT, now=NOW).error == ""

    def test_what_is_refused_changes_nothing(self, producer: User) -> None:
        row = schedule(producer)
        before = Schedule.objects.values().get()
        for wrong in (
            {"cron": "x"},
            {"event": EVENT | {"type": "x"}},
            {"zone": "x"},
            {"cron": "* * * * *", "every": (1, "days")},
        ):
            with pytest.raises(Invalid):
                schedules.change(row.pk, name="New", now=NOW, **wrong)
        assert Schedule.objects.values().get() == before

    def test_a_schedule_that_is_not_there(self, producer: User) -> None:
        with pytest.raises(NotFound):
            schedules.change(1, name="New", now=NOW)
        schedules.delete(1)


def test_trying_the_event_leaves_nothing(producer: User) -> None:
    redis.attempt(lambda r: r.flushdb())
    schedule(producer)
    with pytest.raises(Invalid) as error:
        schedule(producer, event=EVENT | {"recipients": {"topic": "none"}})
    assert error.value.details == {"event.topic": ["'none' does not exist."]}
    assert (Event.objects.count(), Schedule.objects.count(), all_waiting()) == (0, 1, {})


def test_equal_times_share_a_row(producer: User) -> None:
    rows = [schedule(producer, cron="7 7 * * 2", zone="Asia/Tokyo") for _ in range(2)]
    rows += [schedule(producer, every=(7, "hours")) for _ in range(2)]
    assert rows[0].crontab_id == rows[1].crontab_id
    assert rows[2].interval_id == rows[3].interval_id
    # Their table lets two equal rows be; that must not stop us.
    CrontabSchedule.objects.create(minute="7", hour="7", day_of_week="2", timezone="Asia/Tokyo")
    assert schedule(producer, cron="7 7 * * 2", zone="Asia/Tokyo").crontab_id == rows[0].crontab_id


def test_a_look_when_nothing_is_due_is_one_statement(producer: User) -> None:
    schedule(producer)
    assert len(statements(lambda: schedules.run_due(now=NOW))) == 1


def test_the_dispatcher_runs_them(producer: User, alice: User) -> None:
    schedule(producer)
    redis.attempt(lambda r: r.flushdb())
    sweep.tick(clock=lambda: utc("2026-03-03 08:59"))
    assert (Event.objects.count(), all_waiting()) == (0, {})
    sweep.tick(clock=lambda: utc("2026-03-03 09:00"))
    assert (Event.objects.count(), all_waiting()) == (1, {"normal": 1})
    factories.process(now=utc("2026-03-03 09:00"))
    assert Notification.objects.get().user_id == alice.pk


def test_beat_runs_them_too(producer: User) -> None:
    Topic.objects.create(key="garden")
    schedule(producer, every=(1, "days"), event=EVENT | {"recipients": {"topic": "garden"}})
    tasks.sweep_lanes()
    assert Event.objects.get().topic is not None
    tasks.sweep_lanes()
    assert Event.objects.count() == 1
