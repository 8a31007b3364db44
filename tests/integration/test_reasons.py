"""Every Reason that exists: a case in which it comes about, stands on a row, and is shown to whoever asks why."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from core.models import User
from delivery import dispatch
from notifications import changes, devices, events, ledger, retraction, suppressions
from notifications.models import Delivery, Event, Notification, Type
from notifications.suppressions import Cause, Said
from notifications.words import Lane, Reason
from tests import factories, mail
from tests.deciding import DAILY, NIGHT, choose, deliver, explain, reasons, tell, tell_many
from tests.factories import NOW
from tests.replays import refusing, replay

pytestmark = pytest.mark.usefixtures("committed")

PUSH = {"CLASS": "delivery.channels.push.PushChannel", "PROVIDER": "delivery.providers.memory.MemoryProvider"}
SOON, EVENING = NOW + timedelta(minutes=5), NOW + timedelta(hours=6)


@dataclass(frozen=True)
class World:
    """Who is there. `type` changes the type of the events for this test."""

    producer: User
    alice: User
    server: mail.MailServer

    def type(self, **fields: object) -> None:
        Type.objects.filter(key="task.assigned").update(**fields)

    def tell(self, **fields: Any) -> Event:
        return tell(self.producer, "alice", **fields)

    def read(self) -> None:
        changes.apply(self.alice.pk, action="read", ids=None, now=NOW)


def not_requested(world: World) -> Event:
    return world.tell(channels=["in_app"])


def not_allowed(world: World) -> Event:
    world.type(not_allowed=["email"])
    return world.tell()


def muted(world: World) -> Event:
    choose(world.alice, channels={"email": False})
    return world.tell()


def not_installed(world: World) -> Event:
    world.type(channels=["in_app", "pigeon"])
    return world.tell()


def no_address(world: World) -> Event:
    world.alice.email = ""
    world.alice.save()
    return world.tell()


def address_suppressed(world: World) -> Event:
    suppressions.add([Said("email", world.alice.email, Cause.BOUNCE)], now=NOW)
    event = world.tell()
    deliver()
    return event


def device_gone(world: World) -> Event:
    with override_settings(DELIVERY_CHANNELS=settings.DELIVERY_CHANNELS | {"push": PUSH}):
        sold, _ = devices.register(world.alice.pk, devices.FCM(token="the-phone-that-alice-sold"), now=NOW)
        event = world.tell(channels=["in_app", "push"])
        devices.delete(world.alice.pk, sold.pk)
        dispatch.deliver(channel="push", lane=Lane.NORMAL, clock=lambda: NOW)
    return event


def already_read(world: World) -> Event:
    event = world.tell(email_if_unread_after=60)
    world.read()
    deliver(now=SOON)
    return event


def expired(world: World) -> Event:
    event = world.tell(expires_at=(NOW + timedelta(minutes=1)).isoformat())
    deliver(now=SOON)
    return event


def cancelled(world: World) -> Event:
    event = world.tell()
    events.cancel(event.pk, now=NOW)
    return event


def retracted(world: World) -> Event:
    event = world.tell(object="task:1")
    retraction.retract("task:1", producer_id=None, type=None, now=NOW)
    factories.process()
    return event


def quiet_hours(world: World) -> Event:
    choose(world.alice, quiet_hours=[NIGHT | {"start": "11:00"}])
    return world.tell()


def digest(world: World) -> Event:
    choose(world.alice, digests=DAILY)
    return world.tell()


def budget(world: World) -> Event:
    with override_settings(DELIVERY_CHANNELS={"email": settings.DELIVERY_CHANNELS["email"] | {"PER_HOUR": 1}}):
        tell_many(world.producer, "alice", "a")
        event = world.tell()
        deliver()
    return event


def empty_digest(world: World) -> Event:
    event = digest(world)
    world.read()
    deliver(now=EVENING)
    return event


def waiting_for_read(world: World) -> Event:
    return world.tell(email_if_unread_after=60)


def retrying(world: World) -> Event:
    world.server.stop()
    event = world.tell()
    deliver()
    return event


def provider_away(world: World) -> Event:
    world.server.stop()
    tell_many(world.producer, "alice", "a")
    event = world.tell()
    deliver()
    return event


def attempts_exhausted(world: World) -> Event:
    event = retrying(world)
    for n in range(1, settings.MAX_ATTEMPTS):
        deliver(now=NOW + n * timedelta(days=2))
    return event


def lease_lost(world: World) -> Event:
    world.type(resend_unknown=False)
    event = world.tell()
    ledger.begin(ledger.claim(channel="email", lane=Lane.NORMAL, limit=1, now=NOW))
    deliver(now=NOW + settings.LEASE)
    return event


def replayed(world: World) -> Event:
    with refusing("alice"):
        event = world.tell()
        deliver()
    replay(now=SOON)
    return event


CASES: list[Callable[[World], Event]] = [
    not_requested,
    not_allowed,
    muted,
    not_installed,
    no_address,
    address_suppressed,
    device_gone,
    already_read,
    expired,
    cancelled,
    retracted,
    quiet_hours,
    digest,
    budget,
    empty_digest,
    waiting_for_read,
    retrying,
    provider_away,
    attempts_exhausted,
    lease_lost,
    replayed,
]


@pytest.fixture
def world(producer: User, alice: User, server: mail.MailServer) -> World:
    return World(producer, alice, server)


@pytest.fixture(autouse=True)
def types_as_they_were(committed: None) -> Iterator[None]:
    kept = list(Type.objects.values())
    yield
    for fields in kept:
        Type.objects.filter(key=fields["key"]).update(**fields)


def test_every_reason_has_a_case() -> None:
    assert [case.__name__ for case in CASES] == [reason.value for reason in Reason]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_it_comes_about_stands_on_a_row_and_is_explained(world: World, case: Callable[[World], Event]) -> None:
    event, reason = case(world), Reason(case.__name__)
    of_digests = Delivery.objects.filter(notification=None)
    of_event = Delivery.objects.filter(notification__event=event)
    decisions = Notification.objects.get(event=event).decisions.values()
    standing = {one.get("reason") for one in decisions} | {d.reason for d in (of_event | of_digests)}
    assert reason in standing
    assert reason in reasons(event)
    # The short answer names it too, but for what stands on the digest and not on the item.
    assert (f"({reason}" in explain(event)["answer"]) == (reason != Reason.EMPTY_DIGEST)
