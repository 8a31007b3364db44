"""Push messages: one delivery for each device of a person, looked at again before it goes, and what GONE means."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import override_settings

from core.models import User
from delivery import dispatch
from delivery.providers.memory import MemoryProvider, outbox
from notifications import devices, events, ledger, recipients, reports, templates
from notifications.models import Delivery, Device, Event, Notification, Template
from notifications.values import Message, Outcome, Result
from notifications.words import Lane, Priority
from tests import factories
from tests.deciding import choose, line
from tests.factories import NOW, accept, submission
from tests.integration.test_query_counts import statements
from workers import planning, preview

pytestmark = pytest.mark.usefixtures("push")

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
CHANNEL = {"CLASS": "delivery.channels.push.PushChannel", "PROVIDER": "delivery.providers.memory.MemoryProvider"}


@pytest.fixture
def push(committed: None) -> Iterator[None]:
    """Push is installed, nothing leaves the process, and what is told goes by push alone."""
    with override_settings(DELIVERY_CHANNELS=settings.DELIVERY_CHANNELS | {"push": CHANNEL}):
        outbox.empty()
        yield
        outbox.empty()


def device(user: User, number: int = 0, *, now: datetime = NOW, **named: str) -> Device:
    """The phone of that number, which is now this person's."""
    return devices.register(user.pk, devices.FCM(token=f"token-of-the-phone-{number}", **named), now=now)[0]


def address(of: Device) -> str:
    """As providers get it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT address::text FROM notifications_device WHERE id = %s", [of.pk])
        return str(cursor.fetchone()[0])


def tell(producer: User, *usernames: str, **fields: Any) -> Event:
    (answer,) = accept(producer, submission(*usernames, **{"channels": ["in_app", "push"]} | fields))
    factories.process()
    return Event.objects.get(pk=answer.id)


def deliver(*, now: datetime = NOW) -> int:
    return sum(dispatch.deliver(channel="push", lane=lane, clock=lambda: now) for lane in Lane)


def states() -> list[tuple[str, str, str, int]]:
    return list(Delivery.objects.order_by("pk").values_list("address", "state", "reason", "attempts"))


def sent() -> list[str]:
    return [kept.message.address for kept in outbox.kept]


# --- Who gets it -----------------------------------------------------------------------------------------------


def test_each_device_has_a_delivery(producer: User, alice: User, bob: User) -> None:
    factories.user("carol")
    first, second, bobs = device(alice, 1), device(alice, 2), device(bob, 3)
    event = tell(producer, "alice", "bob", "carol")
    assert states() == [(f"device:{one.pk}", "pending", "", 0) for one in (first, second, bobs)]
    carols = Notification.objects.get(user__username="carol")
    assert factories.left_out(carols)["push"] == "no_address"
    assert "push" not in factories.left_out(line(event, alice))
    assert deliver() == 3
    assert sent() == [address(first), address(second), address(bobs)]
    assert {row[1] for row in states()} == {"sent"}
    assert Event.objects.get().state == "processed"
    # Expanded again after a crash: there they are.
    again = [ledger.Planned(line(event, alice).pk, "push", f"device:{first.pk}", "normal", "", "", NOW)]
    assert ledger.add(again, now=NOW) == []


def test_devices_that_are_gone_are_none(producer: User, alice: User) -> None:
    gone, there = device(alice, 1), device(alice, 2)
    devices.gone([devices.Gone(gone.pk, NOW)], now=NOW)
    tell(producer, "alice")
    assert [row[0] for row in states()] == [f"device:{there.pk}"]
    devices.gone([devices.Gone(there.pk, NOW)], now=NOW)
    event = tell(producer, "alice")
    assert factories.left_out(line(event, alice))["push"] == "no_address"


def test_a_preview_says_the_same(producer: User, alice: User, bob: User) -> None:
    device(alice, 1), device(alice, 2)
    told = preview.preview(submission("alice", "bob", channels=["push"]), now=NOW)
    assert told.channels["push"] == {"on": {"now": 1}, "off": {"no_address": 1}}


def test_an_installation_without_push_has_none(producer: User, alice: User) -> None:
    device(alice)
    accept(producer, submission("alice", channels=["in_app", "push"]))
    with override_settings(DELIVERY_CHANNELS={"email": settings.DELIVERY_CHANNELS["email"]}):
        factories.process()
    assert factories.left_out(Notification.objects.get()) == {"push": "not_installed", "email": "not_requested"}
    assert states() == []


@pytest.mark.parametrize("size", [1, 500])
def test_a_chunk_costs_no_statement_more(producer: User, size: int) -> None:
    people = factories.users(size)
    Device.objects.bulk_create(
        [
            Device(
                user=user,
                kind="fcm",
                address={"kind": "fcm", "token": f"{user.pk}-{number}"},
                fingerprint=f"{user.pk}-{number}",
                created_at=NOW,
                last_seen_at=NOW,
            )
            for user in people
            for number in range(3)
        ]
    )
    factories.accept(producer, submission(*[user.username for user in people], channels=["in_app", "email", "push"]))
    (claimed,) = events.claim(lane=Lane.NORMAL, limit=1, now=NOW)

    def work() -> None:
        assert factories.persist(next(recipients.chunks([claimed], limit=500)), now=NOW) == size

    asked = statements(work)
    assert Delivery.objects.count() == size * 4
    # The audience with their devices, the step, heads and lines, deliveries: as without push.
    assert len(asked) == 4, asked
    assert "notifications_device" in asked[0]
    with override_settings(DELIVERY_CHANNELS={"email": settings.DELIVERY_CHANNELS["email"]}):
        (asking,) = statements(lambda: recipients.read_again(recipients.Chunk(lines=[], steps=[])))
    assert "notifications_device" not in asking


def test_people_with_one_device_and_with_many_share_a_plan(producer: User, alice: User, bob: User) -> None:
    device(alice, 1), device(alice, 2), device(bob, 3)
    factories.user("carol")
    accept(producer, submission("alice", "bob", "carol", channels=["push"]))
    (claimed,) = events.claim(lane=Lane.NORMAL, limit=1, now=NOW)
    planner = planning.Planner()
    chunk = next(recipients.chunks([claimed], limit=500))
    plans = {person.username: planner.decide(event, person, now=NOW) for event, person in chunk.lines}
    assert plans["alice"] is plans["bob"]
    assert plans["carol"] is not plans["alice"]


# --- The look before it goes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["deleted", "gone", "bobs"])
def test_a_device_that_is_not_theirs_any_more_gets_nothing(producer: User, alice: User, bob: User, how: str) -> None:
    lost, kept = device(alice, 1), device(alice, 2)
    event = tell(producer, "alice")
    go_away(how, lost, bob)
    assert deliver() == 2
    assert states() == [
        (f"device:{lost.pk}", "suppressed", "device_gone", 0),
        (f"device:{kept.pk}", "sent", "", 1),
    ]
    assert sent() == [address(kept)]
    assert counts(event) == {"suppressed": 1, "sent": 1}


@pytest.mark.parametrize("how", ["deleted", "gone", "bobs"])
def test_nor_when_it_went_away_after_the_claim(producer: User, alice: User, bob: User, how: str) -> None:
    lost = device(alice, 1)
    tell(producer, "alice")
    claimed = ledger.claim(channel="push", lane=Lane.NORMAL, limit=1, now=NOW)
    assert "token-of-the-phone" not in repr(claimed)
    go_away(how, lost, bob)
    assert ledger.begin(claimed) == set()
    assert deliver(now=NOW + settings.LEASE) == 1
    assert states() == [(f"device:{lost.pk}", "suppressed", "device_gone", 1)]
    assert (sent(), Delivery.objects.get().lost_claims) == ([], 0)


def go_away(how: str, one: Device, bob: User) -> None:
    if how == "deleted":
        devices.delete(one.user_id, one.pk)
    elif how == "gone":
        devices.gone([devices.Gone(one.pk, NOW)], now=NOW)
    else:
        device(bob, 1)


def counts(event: Event) -> dict[str, int]:
    return dict(reports.report(event)["channels"]["push"])


def test_what_may_have_gone_to_a_device_that_is_gone_is_unknown(producer: User, alice: User) -> None:
    lost = device(alice)
    tell(producer, "alice")
    assert len(ledger.begin(ledger.claim(channel="push", lane=Lane.NORMAL, limit=1, now=NOW))) == 1
    devices.delete(alice.pk, lost.pk)
    deliver(now=NOW + settings.LEASE)
    assert [row[1:3] for row in states()] == [("unknown", "device_gone")]


def test_choices_hold_for_pushes_too(producer: User, alice: User) -> None:
    device(alice)
    event = tell(producer, "alice")
    choose(alice, channels={"push": False})
    assert deliver() == 1
    assert [row[1:3] for row in states()] == [("suppressed", "muted")]
    assert event.state == "processed"


# --- What it says -------------------------------------------------------------------------------------------------


def test_what_a_provider_gets(producer: User, alice: User) -> None:
    one = device(alice)
    event = tell(
        producer,
        "alice",
        title="Water <b>them</b>",
        body="All\nof them",
        action_url="/tasks/42",
        object="task:42",
        priority="high",
        expires_at=(NOW + HOUR).isoformat(),
    )
    with override_settings(PUBLIC_URL="https://bellhop.example"):
        deliver()
    (kept,) = outbox.kept
    assert kept.message == Message(
        key=f"{event.pk.hex}.{Delivery.objects.get().pk}",
        address=address(one),
        subject="Water <b>them</b>",
        text="All\nof them",
        html="",
        trace_id="trace-of-the-test",
        url="https://bellhop.example/tasks/42",
        priority=Priority.HIGH,
        expires_at=NOW + HOUR,
        collapse="task:42",
    )


def test_without_an_object_an_event_replaces_only_itself(producer: User, alice: User) -> None:
    device(alice)
    event = tell(producer, "alice")
    deliver()
    ((message, *_),) = [(kept.message, kept.at) for kept in outbox.kept]
    assert (message.collapse, message.url, message.priority, message.expires_at) == (
        event.pk.hex,
        "",
        Priority.NORMAL,
        None,
    )


def test_each_device_has_a_digest_of_its_own(producer: User, alice: User) -> None:
    first, second = device(alice, 1), device(alice, 2)
    choose(alice, digests={"push": {"every": "hour"}})
    for title in "abc":
        tell(producer, "alice", title=title)
    assert Delivery.objects.filter(state="digested").count() == 6
    devices.delete(alice.pk, first.pk)
    assert deliver(now=NOW + HOUR) == 2
    (kept,) = outbox.kept
    assert kept.message.address == address(second)
    assert (kept.message.subject, kept.message.text) == ("3 notifications in tasks", "c\nb\na")
    assert (kept.message.html, kept.message.url, kept.message.collapse) == ("", "", "")
    carriers = Delivery.objects.filter(notification=None).order_by("pk").values_list("address", "state", "reason")
    assert list(carriers) == [
        (f"device:{first.pk}", "suppressed", "device_gone"),
        (f"device:{second.pk}", "sent", ""),
    ]


def test_a_template_speaks_the_language_of_the_device_then_of_the_person(producer: User, alice: User) -> None:
    choose(alice, locale="de")
    device(alice, 1), device(alice, 2, locale="fr")
    for locale, subject in (("en", "Water"), ("de", "Wasser"), ("fr", "Eau")):
        templates.save(
            type="task.assigned",
            channel="push",
            locale=locale,
            subject=f"{subject}: {{{{ title }}}}",
            source="{{ title }}",
            layout=None,
            by=None,
            now=NOW,
        )
    try:
        tell(producer, "alice", title="<them>")
        deliver()
    finally:
        Template.objects.all().delete()
    said = [(kept.message.subject, kept.message.text, kept.message.html) for kept in outbox.kept]
    assert said == [("Wasser: <them>", "<them>\n", ""), ("Eau: <them>", "<them>\n", "")]


# --- GONE ----------------------------------------------------------------------------------------------------------


def test_a_device_that_its_service_does_not_know_gets_no_more(producer: User, alice: User) -> None:
    lost, kept = device(alice, 1), device(alice, 2)
    tell(producer, "alice", title="first")
    later = tell(producer, "alice", title="later", send_at=(NOW + HOUR).isoformat())
    outbox.answers[address(lost)] = Outcome(Result.GONE, code="410")
    assert deliver() == 2
    assert [row[1] for row in states()] == ["failed", "sent"]
    assert list(devices.rows(alice.pk)) == [kept]
    assert Device.objects.get(pk=lost.pk).gone_at == NOW
    # What comes later is for the other one alone.
    factories.process(now=NOW + HOUR)
    assert deliver(now=NOW + HOUR) == 1
    assert counts(later) == {"sent": 1}


def test_what_waits_for_a_device_that_is_gone_ends_at_its_claim(producer: User, alice: User) -> None:
    lost = device(alice)
    tell(producer, "alice", title="first")
    tell(producer, "alice", title="held", priority="low")
    outbox.answers[address(lost)] = Outcome(Result.GONE, code="410")
    assert dispatch.deliver(channel="push", lane=Lane.NORMAL, clock=lambda: NOW) == 1
    assert dispatch.deliver(channel="push", lane=Lane.BULK, clock=lambda: NOW) == 1
    assert [row[1:] for row in states()] == [("failed", "", 1), ("suppressed", "device_gone", 0)]
    assert len(outbox.kept) == 1


class Meanwhile(MemoryProvider):
    """While it asks, the device registers again."""

    since: datetime | None = None

    def send(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        for _ in messages:
            device(User.objects.get(username="alice"), now=NOW + SECOND)
            yield Outcome(Result.GONE, code="410", gone_since=self.since)


@pytest.mark.parametrize(("since", "gone"), [(None, False), (NOW, False), (NOW + SECOND, True)])
def test_who_registers_while_the_service_is_asked_is_not_meant(
    producer: User, alice: User, since: datetime | None, gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Meanwhile, "since", since)
    one = device(alice)
    tell(producer, "alice")
    with override_settings(DELIVERY_CHANNELS={"push": CHANNEL | {"PROVIDER": f"{__name__}.Meanwhile"}}):
        assert deliver() == 1
    assert [row[1] for row in states()] == ["failed"]
    assert (Device.objects.get(pk=one.pk).gone_at is not None) is gone


def test_when_a_third_is_gone_no_more_are_removed(producer: User) -> None:
    people = factories.users(30)
    made = [device(user, number) for number, user in enumerate(people)]
    for one in made:
        outbox.answers[address(one)] = Outcome(Result.GONE, code="410")
    tell(producer, *[user.username for user in people])
    assert deliver() == 30
    assert {row[1:3] for row in states()} == {("failed", "")}
    assert Device.objects.filter(gone_at=None).count() == 21  # 30 % of 30 are gone
    # Those that were kept are tried again with the next event, and kept again; after ten minutes a few more go.
    tell(producer, *[user.username for user in people])
    assert deliver(now=NOW + SECOND) == 21
    assert Device.objects.filter(gone_at=None).count() == 21
    tell(producer, *[user.username for user in people])
    assert deliver(now=NOW + devices.WINDOW) == 21
    assert Device.objects.filter(gone_at=None).count() == 15


def test_the_reason_of_a_mail_is_no_device(producer: User, alice: User) -> None:
    """A mail to an address that is gone marks nothing, whatever it is called."""
    one = device(alice)
    alice.email = f"device:{one.pk}"
    alice.save()
    outbox.answers[alice.email] = Outcome(Result.GONE, code="5.1.1")
    with override_settings(DELIVERY_CHANNELS={"email": CHANNEL}):
        tell(producer, "alice", channels=["email"])
        assert dispatch.deliver(channel="email", lane=Lane.NORMAL, clock=lambda: NOW) == 1
    assert [row[1] for row in states()] == ["failed"]
    assert list(devices.rows(alice.pk)) == [one]
