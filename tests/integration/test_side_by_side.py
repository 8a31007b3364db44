"""A claim whose provider sends side by side: begun together, recorded together, nothing lost on the way."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.test import override_settings

from core.models import User
from delivery import dispatch, rounds
from notifications.models import Attempt, Breaker, Delivery, Type
from notifications.words import Lane
from tests import factories
from tests.factories import NOW, accept, submission
from tests.peers import authority
from tests.peers.fcm import Google, error
from tests.peers.http import Answer, Drop
from tests.peers.webpush import PushService

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def google(committed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    """Whatever the deliveries' channel is called, FCM carries it."""
    ours = authority.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.certificates))
    made = Google(ours, tmp_path)
    entry = {"CLASS": "delivery.channels.push.PushChannel", "PROVIDER": "delivery.providers.fcm.FCMProvider"}
    with override_settings(
        DELIVERY_CHANNELS={"email": entry}, FCM_CREDENTIALS_FILE=str(made.credentials), FCM_URL=made.server.url
    ):
        yield made


def due(producer: User, google: Google, *names: str) -> None:
    """One due delivery to the device of each of these new people."""
    for name in names:
        factories.user(name)
    accept(producer, *[submission(name) for name in names])
    factories.process()
    for delivery in Delivery.objects.all():
        delivery.address = google.address(delivery.address.partition("@")[0])
        delivery.save(update_fields=["address"])


def deliver(*, now: datetime = NOW) -> int:
    return dispatch.deliver(channel="email", lane=Lane.NORMAL, clock=lambda: now)


def states() -> list[tuple[str, str, int]]:
    return list(Delivery.objects.order_by("pk").values_list("state", "reason", "attempts"))


def people(number: int) -> list[str]:
    return [f"person{n:02}" for n in range(number)]


def test_a_whole_claim_is_in_flight_at_once(producer: User, google: Google) -> None:
    google.hold = dispatch.AT_ONCE
    due(producer, google, *people(dispatch.AT_ONCE))
    with google.server:
        assert deliver() == dispatch.AT_ONCE
    assert states() == [("sent", "", 1)] * dispatch.AT_ONCE
    assert len(google.received) == dispatch.AT_ONCE
    assert Delivery.objects.filter(in_flight=True).count() == 0


def test_each_outcome_is_recorded_for_its_own_delivery(producer: User, google: Google) -> None:
    names = people(12)
    google.told = {names[3]: error(404, "NOT_FOUND", fcm="UNREGISTERED"), names[7]: error(503, "UNAVAILABLE")}
    due(producer, google, *names)
    with google.server:
        assert deliver() == 12
    expected = [("sent", "", 1)] * 12
    expected[3], expected[7] = ("failed", "", 1), ("pending", "retrying", 1)
    assert states() == expected
    said = dict(Attempt.objects.values_list("delivery__address", "code"))
    assert (said[google.address(names[3])], said[google.address(names[7])]) == ("UNREGISTERED", "UNAVAILABLE")
    assert len(said) == 12


def test_while_nobody_is_there_only_one_attempt_is_counted(producer: User, google: Google) -> None:
    due(producer, google, *people(20))
    assert deliver() == 20
    assert states() == [("pending", "retrying", 1), *[("pending", "provider_away", 0)] * 19]
    rest = Delivery.objects.filter(reason="provider_away")
    assert set(rest.values_list("due_at", "in_flight", "lost_claims")) == {(NOW + rounds.PAUSE, False, 0)}
    assert Attempt.objects.count() == 1


def test_services_that_people_name_cannot_stop_the_messages_of_others(
    producer: User, google: Google, tmp_path: Path
) -> None:
    service = PushService(google.authority)
    names = people(12)
    service.told = {name: Answer(503) for name in names[2:]}
    due(producer, google, *names)
    for delivery in Delivery.objects.all():
        name = json.loads(delivery.address)["token"].removeprefix("registration:")
        Delivery.objects.filter(pk=delivery.pk).update(address=service.address(name))
    entry = {"CLASS": "delivery.channels.push.PushChannel", "PROVIDER": "delivery.providers.webpush.WebPushProvider"}
    with (
        service.server,
        override_settings(
            DELIVERY_CHANNELS={"email": entry},
            VAPID_PRIVATE_KEY=service.private_key,
            VAPID_SUBJECT="mailto:bellhop@example.com",
            ALLOWED_NETWORKS=["127.0.0.0/8"],
        ),
    ):
        deliver()
    assert states() == [("sent", "", 1)] * 2 + [("pending", "retrying", 1)] * 10
    assert Breaker.objects.filter(failures__gt=0).count() == 0


@pytest.fixture
def never_twice(committed: None) -> Iterator[None]:
    """A type whose messages must not be sent again when nobody knows what became of them."""
    Type.objects.filter(key="task.assigned").update(resend_unknown=False)
    yield
    Type.objects.update(resend_unknown=True)


@pytest.mark.usefixtures("never_twice")
def test_what_must_never_go_twice_does_not_when_nobody_knows(producer: User, google: Google) -> None:
    google.hold = 10
    google.told = {"person04": Drop()}
    due(producer, google, *people(10))
    with google.server:
        deliver()
        taken = len(google.received)
        assert deliver(now=NOW + timedelta(hours=2)) == 0
    assert taken == len(google.received) == 10
    assert {state for state, _, _ in states()} <= {"sent", "unknown"}
    assert states()[4] == ("unknown", "", 1)
