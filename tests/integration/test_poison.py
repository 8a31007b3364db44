"""An event that ends each worker that holds it: it comes to an end, and takes nobody with it."""

from datetime import timedelta

import pytest
from django.conf import settings

from core.models import User
from notifications import events
from notifications.models import Event, Notification
from notifications.words import Lane
from tests import factories
from tests.factories import NOW, accept, submission
from workers import pipeline

pytestmark = pytest.mark.usefixtures("committed")
LAPSE = timedelta(seconds=1)


def die(*, now: object) -> None:
    """A worker claims what is due, as the pipeline does, and dies before it writes anything."""
    events.claim(lane=Lane.NORMAL, limit=pipeline.AT_ONCE, now=now)  # type: ignore[arg-type]


def test_the_others_of_its_claim_go_through_the_next_time(producer: User, alice: User) -> None:
    accept(producer, *[submission("alice") for _ in range(20)])
    die(now=NOW)
    later = NOW + settings.LEASE + LAPSE
    assert pipeline.process_events(lane=Lane.NORMAL, clock=lambda: later) == 20
    assert set(Event.objects.values_list("state", "attempts")) == {("processed", 1)}


def test_it_ends_as_failed_and_nobody_else_does(producer: User, alice: User) -> None:
    (killer, *others) = accept(producer, *[submission("alice") for _ in range(20)])
    now = NOW
    for _ in range(settings.MAX_ATTEMPTS):
        # Each worker takes the killer alone once it is a suspect, and dies of it.
        claimed = events.claim(lane=Lane.NORMAL, limit=pipeline.AT_ONCE, now=now)
        events.release([event for event in claimed if event.id != killer.id], now=now)
        now += settings.LEASE + LAPSE
    assert Event.objects.get(pk=killer.id).attempts == settings.MAX_ATTEMPTS
    pipeline.process_events(lane=Lane.NORMAL, clock=lambda: now)
    dead = Event.objects.get(pk=killer.id)
    assert (dead.state, dead.due_at, dead.error) == ("failed", None, "each worker that held it died")
    assert set(Event.objects.exclude(pk=killer.id).values_list("state", flat=True)) == {"processed"}
    assert Notification.objects.count() == len(others)


def test_being_given_back_is_not_an_attempt(producer: User, alice: User) -> None:
    accept(producer, submission("alice"))
    for _ in range(3):
        claimed = events.claim(lane=Lane.NORMAL, limit=1, now=NOW)
        assert claimed[0].attempts == 1
        events.release(claimed, now=NOW)
    assert Event.objects.get().attempts == 0


def test_getting_on_clears_the_suspicion(producer: User) -> None:
    factories.users(settings.CHUNK + 1)
    accept(producer, submission(recipients={"all": True}))
    for _ in range(3):
        events.claim(lane=Lane.BULK, limit=1, now=NOW + _ * (settings.LEASE + LAPSE))
    (held,) = events.claim(lane=Lane.BULK, limit=1, now=NOW + 4 * settings.LEASE)
    assert held.attempts == 4
    step = events.Step(event=held, cursor=1, done=False, unknown_users=[])
    assert events.advance([step], now=NOW) == {held.id}
    assert Event.objects.get().attempts == 1
