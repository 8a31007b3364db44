"""From the claim to the lines: what workers at once, bad events and a dead Redis do to it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings

from core.models import User
from notifications import events, inbox
from notifications.models import Delivery, Event, InboxHead, Notification
from notifications.words import Lane
from tests import factories
from tests.api import Caller
from tests.factories import NOW, accept, left_out, submission
from tests.live import Listener
from tests.threads import at_once
from workers import pipeline

pytestmark = pytest.mark.usefixtures("committed")

LAST_NUMBER = 2**63 - 1


def poison(user: User) -> None:
    """Make this person's next line impossible: the head has no number left, so the INSERT raises."""
    InboxHead.objects.create(user=user, epoch="e", head_seq=LAST_NUMBER)


def run(lane: Lane = Lane.NORMAL, *, after: timedelta = timedelta(0)) -> int:
    return pipeline.process_events(lane=lane, clock=lambda: NOW + after)


def test_a_line_its_delivery_and_its_frame(producer: User, alice: User, bob: User) -> None:
    bob.email = ""
    bob.save()
    with Listener() as heard:
        accept(producer, submission("alice", "bob", data={"n": 1}, tags=["work"]))
        assert run() == 2
        told = heard.lines()
    first, second = Notification.objects.order_by("id")
    assert (first.user, first.rev, first.created_at, left_out(first)) == (alice, 1, NOW, {})
    assert (second.user, second.rev, left_out(second)) == (bob, 1, {"email": "no_address"})
    delivery = Delivery.objects.get()
    assert (delivery.notification, delivery.channel, delivery.address) == (first, "email", "alice@example.com")
    assert (delivery.state, delivery.lane, delivery.reason, delivery.due_at) == ("pending", "normal", "", NOW)
    listed = [Caller(user).get("/notifications")["results"][0] for user in (alice, bob)]
    assert told == [(alice.pk, 1, "created", 1, 1, listed[0]), (bob.pk, 1, "created", 1, 1, listed[1])]


def test_a_person_in_several_events_of_a_chunk_gets_them_in_order(producer: User, alice: User, bob: User) -> None:
    with Listener() as heard:
        accept(producer, *[submission("alice", "bob", title=str(n)) for n in range(3)])
        assert run() == 6
        told = heard.lines()
    for user in (alice, bob):
        mine = [(seq, unread, body["title"]) for id, seq, _, unread, _, body in told if id == user.pk]
        assert mine == [(1, 1, "0"), (2, 2, "1"), (3, 3, "2")]
        assert [(row.rev, row.event.title) for row in inbox.since(user.pk, seq=0, limit=9)] == [
            (1, "0"),
            (2, "1"),
            (3, "2"),
        ]


def test_a_line_that_is_not_for_the_inbox(producer: User, alice: User) -> None:
    with Listener() as heard:
        accept(producer, submission("alice", channels=["email"]))
        assert run() == 1
        assert heard.messages() == []
    line = Notification.objects.get()
    assert (line.rev, left_out(line)) == (None, {"in_app": "not_requested"})
    assert Delivery.objects.count() == 1
    assert (InboxHead.objects.count(), Caller(alice).get("/notifications")["results"]) == (0, [])


def test_a_mail_that_waits_for_being_read(producer: User, alice: User) -> None:
    accept(producer, submission("alice", email_if_unread_after=300))
    run()
    delivery = Delivery.objects.get()
    assert (delivery.reason, delivery.due_at) == ("waiting_for_read", NOW + timedelta(seconds=300))


def test_a_channel_that_is_gone_from_the_settings_stops_nobody(producer: User, alice: User) -> None:
    accept(producer, submission("alice"))
    Event.objects.update(channels=["pigeon", "in_app"])
    assert run() == 1
    assert (Event.objects.get().state, Delivery.objects.count()) == ("processed", 0)
    assert left_out(Notification.objects.get()) == {"email": "not_requested", "pigeon": "not_installed"}


def test_workers_at_once_share_nothing_and_leave_nothing(producer: User, alice: User) -> None:
    accept(producer, *[submission("alice") for _ in range(400)])

    def work() -> list[events.Claimed]:
        return [event for _ in range(10) for event in events.claim(lane=Lane.NORMAL, limit=10, now=NOW)]

    ids = [event.id for claimed in at_once(*[work] * 4) for event in claimed]
    assert len(ids) == len(set(ids)) == 400
    assert Event.objects.filter(token=1, attempts=1, due_at=NOW + settings.LEASE).count() == 400


def test_a_claim_takes_the_oldest_of_its_lane_that_are_due(producer: User) -> None:
    moments = ["2026-03-02T13:00:02Z", "2026-03-02T13:00:01Z", "2026-03-02T13:00:03Z", "2026-03-02T14:00:00Z"]
    accept(producer, *[submission("a", title=m[11:19], send_at=m) for m in moments])
    accept(producer, submission("a", priority="high"), submission("a", priority="low"))
    now = NOW + timedelta(minutes=61)
    titles = [{e.title for e in events.claim(lane=Lane.NORMAL, limit=2, now=now)} for _ in range(3)]
    assert titles == [{"13:00:01", "13:00:02"}, {"13:00:03"}, set()]


def test_a_bad_event_is_put_off_and_the_others_go_through(producer: User, alice: User, bob: User) -> None:
    poison(bob)
    accept(producer, *[submission(name, title=name) for name in ("alice", "bob", "alice")])
    assert run() == 2
    states = {e.title: (e.state, e.attempts, e.due_at) for e in Event.objects.all()}
    assert states == {
        "alice": ("processed", 1, None),
        "bob": ("processing", 1, NOW + timedelta(seconds=2)),
    }
    assert "out of range" in Event.objects.get(title="bob").error
    assert list(Notification.objects.values_list("user__username", flat=True)) == ["alice", "alice"]
    assert InboxHead.objects.get(user=alice).unread == 2


def test_a_bad_event_ends_as_failed_after_so_many_attempts(producer: User, bob: User) -> None:
    poison(bob)
    accept(producer, submission("bob"))
    later = timedelta(0)
    for attempt in range(1, settings.MAX_ATTEMPTS + 1):
        assert run(after=later) == 0
        assert Event.objects.get().attempts == attempt
        later += timedelta(seconds=300)
    event = Event.objects.get()
    assert (event.state, event.due_at) == ("failed", None)
    assert event.error.startswith("DataError: bigint out of range")
    assert run(after=later + timedelta(days=1)) == 0
    assert Event.objects.get().attempts == settings.MAX_ATTEMPTS


def test_what_of_a_bad_event_was_already_written_is_not_written_again(producer: User) -> None:
    people = factories.users(600)
    poison(people[550])
    accept(producer, submission(*[user.username for user in people]))
    run()
    assert Notification.objects.count() == 500
    run(after=timedelta(seconds=10))
    assert Notification.objects.count() == 500
    InboxHead.objects.filter(user=people[550]).delete()
    assert run(after=timedelta(seconds=60)) == 100
    assert Notification.objects.count() == 600
    assert set(InboxHead.objects.values_list("head_seq", "unread")) == {(1, 1)}


def test_a_long_broadcast_hands_the_lane_on(producer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "TIME_BOX", 0.0)
    factories.users(1100)
    accept(producer, submission(recipients={"all": True}, title="long"), submission(recipients={"all": True}))
    assert run(Lane.BULK) == 500
    assert set(Event.objects.values_list("state", "attempts", "due_at")) == {("processing", 0, NOW)}
    runs = [run(Lane.BULK, after=timedelta(seconds=n)) for n in range(1, 7)]
    assert sum(runs) == 2 * 1101 - 500
    assert max(runs) == 500
    assert set(Event.objects.values_list("state", flat=True)) == {"processed"}
    assert set(InboxHead.objects.values_list("head_seq", "unread")) == {(2, 2)}


def test_an_event_can_only_be_given_back_by_its_holder(producer: User) -> None:
    accept(producer, submission("alice"))
    slow = events.claim(lane=Lane.NORMAL, limit=1, now=NOW)
    lost_at = NOW + settings.LEASE
    events.claim(lane=Lane.NORMAL, limit=1, now=lost_at)
    writes: list[Callable[[], None]] = [
        lambda: events.release(slow, now=lost_at),
        lambda: events.postpone(slow[0], error="late", now=lost_at),
        lambda: events.expire(slow[0], now=lost_at),
    ]
    for write in writes:
        write()
        event = Event.objects.get()
        assert (event.state, event.attempts, event.due_at) == ("processing", 2, lost_at + settings.LEASE)


def test_a_dead_redis_costs_nothing_but_the_frame(producer: User, alice: User, dead_redis: Any) -> None:
    accept(producer, submission("alice"))
    assert run() == 1
    assert Event.objects.get().state == "processed"
    assert Delivery.objects.get().state == "pending"
