"""Who gets an event: names, topics, everyone; in chunks that can be taken up again."""

from typing import Any

import pytest
from django.conf import settings

from core.models import User
from notifications import events, recipients
from notifications.models import Event, InboxHead, Notification, Subscription, Topic
from notifications.words import Lane
from tests import factories
from tests.factories import NOW, accept, submission
from workers import pipeline

pytestmark = pytest.mark.usefixtures("committed")


def who_got_it(event: Event | None = None) -> list[str]:
    rows = Notification.objects.filter(event=event) if event else Notification.objects.all()
    return sorted(rows.values_list("user__username", flat=True))


def test_names_that_are_unknown_inactive_or_doubled(producer: User, alice: User, bob: User) -> None:
    factories.user("closed", is_active=False)
    accept(producer, submission("bob", "nobody", "alice", "closed", "bob", "Alice"))
    assert factories.process() == 2
    assert who_got_it() == ["alice", "bob"]
    event = Event.objects.get()
    assert (event.state, event.unknown_users, event.due_at) == ("processed", ["nobody", "closed", "Alice"], None)


def test_nobody_at_all_is_an_end_too(producer: User) -> None:
    accept(producer, submission("nobody"))
    assert factories.process() == 0
    event = Event.objects.get()
    assert (event.state, event.unknown_users, event.due_at) == ("processed", ["nobody"], None)


def test_a_topic_reaches_its_active_subscribers(producer: User, alice: User, bob: User) -> None:
    garden, empty = Topic.objects.create(key="garden"), Topic.objects.create(key="empty")
    closed = factories.user("closed", is_active=False)
    Subscription.objects.bulk_create([Subscription(topic=garden, user=user) for user in (alice, closed)])
    accept(producer, submission(recipients={"topic": "garden"}), submission(recipients={"topic": "empty"}))
    assert factories.process() == 1
    first, second = Event.objects.order_by("id")
    assert (who_got_it(first), first.state) == (["alice"], "processed")
    assert (who_got_it(second), second.state, second.topic) == ([], "processed", empty)


def test_everyone_is_everyone_active(producer: User, alice: User, bob: User) -> None:
    factories.user("closed", is_active=False)
    accept(producer, submission(recipients={"all": True}))
    assert factories.process() == 3
    assert who_got_it() == ["alice", "bob", "producer"]


@pytest.mark.parametrize("size", [1, 499, 500, 501, 1000])
@pytest.mark.parametrize("audience", ["users", "topic", "all"])
def test_the_borders_of_a_chunk(producer: User, size: int, audience: str) -> None:
    people = factories.users(size)
    to: dict[str, Any] = {"all": True}
    if audience == "users":
        to = {"users": [user.username for user in people]}
    elif audience == "topic":
        topic = Topic.objects.create(key="garden")
        Subscription.objects.bulk_create([Subscription(topic=topic, user=user) for user in people])
        to = {"topic": "garden"}
    producer.is_active = False
    producer.save()
    accept(producer, submission(recipients=to))
    assert factories.process() == size
    assert who_got_it() == sorted(user.username for user in people)
    assert set(InboxHead.objects.values_list("head_seq", "unread", "unseen")) == {(1, 1, 1)}
    event = Event.objects.get()
    assert (event.state, event.attempts) == ("processed", 1)


def test_small_events_share_a_chunk_and_large_ones_are_cut(producer: User) -> None:
    factories.users(400)
    names = [f"user{n}" for n in range(400)]
    accept(producer, submission(*names), submission("user0"), submission(*names), submission("user1"))
    claimed = events.claim(lane=Lane.NORMAL, limit=10, now=NOW)
    cut = list(recipients.chunks(claimed, limit=500))
    assert [len(chunk.lines) for chunk in cut] == [500, 302]
    assert [[(s.cursor, s.done) for s in chunk.steps] for chunk in cut] == [
        [(400, True), (1, True), (99, False)],
        [(400, True), (1, True)],
    ]


@pytest.mark.parametrize("audience", [{"users": [f"user{n}" for n in range(1200)] + ["nobody"]}, {"all": True}])
def test_what_a_dead_worker_left_is_taken_up_from_the_cursor(producer: User, audience: dict[str, Any]) -> None:
    factories.users(1200)
    producer.is_active = False
    producer.save()
    accept(producer, submission(recipients=audience))
    lane = Lane(Event.objects.get().lane)
    (dead,) = events.claim(lane=lane, limit=10, now=NOW)
    chunks = recipients.chunks([dead], limit=500)
    assert factories.persist(next(chunks), now=NOW) == 500
    unwritten = next(chunks)  # it dies between reading the second chunk and writing it

    later = NOW + settings.LEASE
    assert events.claim(lane=lane, limit=10, now=NOW) == []
    assert pipeline.process_events(lane=lane, clock=lambda: later) == 700
    assert Notification.objects.count() == 1200
    assert set(InboxHead.objects.values_list("head_seq", "unread")) == {(1, 1)}
    event = Event.objects.get()
    # It got on, so the attempts that brought nothing are forgotten.
    assert (event.state, event.attempts, event.token) == ("processed", 1, 2)
    assert event.unknown_users == (["nobody"] if "users" in audience else [])
    # It was only asleep: what it holds is no longer its own.
    assert factories.persist(unwritten, now=later) == 0
    assert Notification.objects.count() == 1200


def test_who_lost_the_lease_writes_nothing(producer: User, alice: User) -> None:
    accept(producer, submission("alice", "nobody"))
    (slow,) = events.claim(lane=Lane.NORMAL, limit=10, now=NOW)
    later = NOW + settings.LEASE
    (quick,) = events.claim(lane=Lane.NORMAL, limit=10, now=later)
    assert factories.persist(next(recipients.chunks([slow], limit=500)), now=later) == 0
    event = Event.objects.get()
    assert (event.state, event.cursor, event.unknown_users) == ("processing", 0, [])
    assert (Notification.objects.count(), InboxHead.objects.count()) == (0, 0)
    assert factories.persist(next(recipients.chunks([quick], limit=500)), now=later) == 1


def test_a_chunk_that_is_written_twice_adds_nothing(producer: User, alice: User) -> None:
    accept(producer, submission("alice", "nobody"))
    (claimed,) = events.claim(lane=Lane.NORMAL, limit=10, now=NOW)
    chunk = next(recipients.chunks([claimed], limit=500))
    assert [factories.persist(chunk, now=NOW) for _ in range(2)] == [1, 0]
    assert (Event.objects.get().unknown_users, InboxHead.objects.get().head_seq) == (["nobody"], 1)
