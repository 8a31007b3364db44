"""From a browser that registers to the message it decrypts, and on to the 410 after which it gets no more."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone
from structlog.testing import capture_logs

from core.models import User
from delivery import dispatch
from notifications.models import Delivery, Device, Event, Notification
from notifications.words import Lane
from tests import factories
from tests.api import Caller
from tests.factories import accept, submission
from tests.peers import authority as authorities
from tests.peers.http import Answer
from tests.peers.webpush import PushService

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PushService]:
    """A push service on loopback, and settings with its browsers' key."""
    authority = authorities.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificates))
    made = PushService(authority)
    push = {"CLASS": "delivery.channels.push.PushChannel", "PROVIDER": "delivery.providers.push.PushProvider"}
    with (
        made.server,
        override_settings(
            DELIVERY_CHANNELS=settings.DELIVERY_CHANNELS | {"push": push},
            PUSH_PROVIDERS={"webpush": "delivery.providers.webpush.WebPushProvider"},
            VAPID_PRIVATE_KEY=made.private_key,
            VAPID_SUBJECT="mailto:bellhop@example.com",
            ALLOWED_NETWORKS=["127.0.0.0/8"],
        ),
    ):
        yield made


def subscribe(service: PushService, user: User) -> None:
    answer = Caller(user)("POST", "/devices", service.subscription(user.username))
    assert answer.status_code == 201, answer.content


def tell(producer: User, *usernames: str, title: str) -> Event:
    now = timezone.now()  # as the registrations
    (answer,) = accept(producer, submission(*usernames, title=title, channels=["in_app", "push"]), now=now)
    factories.process(now=now)
    dispatch.deliver(channel="push", lane=Lane.NORMAL, clock=timezone.now)
    return Event.objects.get(pk=answer.id)


def ended(event: Event) -> dict[str, tuple[str, str]]:
    """State and code by person."""
    found = Delivery.objects.filter(notification__event=event)
    return {
        name: (state, code) for name, state, code in found.values_list("notification__user__username", "state", "code")
    }


def test_a_browser_reads_what_it_is_told_until_its_service_does_not_know_it(
    service: PushService, producer: User, alice: User, bob: User, caplog: pytest.LogCaptureFixture
) -> None:
    for user in (alice, bob):
        subscribe(service, user)
    first = tell(producer, "alice", "bob", title="one")
    assert ended(first) == {"alice": ("sent", "201"), "bob": ("sent", "201")}
    told = {one["name"]: one["payload"] for one in service.received}
    assert {name: (payload["title"], payload["trace_id"]) for name, payload in told.items()} == {
        "alice": ("one", "trace-of-the-test"),
        "bob": ("one", "trace-of-the-test"),
    }
    service.told["bob"] = Answer(410)
    assert ended(tell(producer, "alice", "bob", title="two")) == {"alice": ("sent", "201"), "bob": ("failed", "410")}
    assert list(Device.objects.filter(gone_at=None).values_list("user__username", flat=True)) == ["alice"]
    third = tell(producer, "alice", "bob", title="three")
    assert ended(third) == {"alice": ("sent", "201")}
    assert factories.left_out(Notification.objects.get(event=third, user=bob))["push"] == "no_address"
    assert sorted((one["name"], one["payload"]["title"]) for one in service.received) == [
        ("alice", "one"),
        ("alice", "three"),
        ("alice", "two"),
        ("bob", "one"),
        ("bob", "two"),
    ]
    # What the addresses say is in no log line.
    assert "delivery.recorded" in caplog.text
    for secret in ("/push/", service.subscription("alice")["keys"]["auth"], service.private_key):
        assert secret not in caplog.text


def test_a_service_that_knows_nobody_any_more_takes_a_third_and_is_reported_once(
    service: PushService, producer: User
) -> None:
    people = factories.users(20)
    for user in people:
        subscribe(service, user)
        service.told[user.username] = Answer(410)
    with capture_logs() as logs:
        event = tell(producer, *[user.username for user in people], title="one")
    assert set(ended(event).values()) == {("failed", "410")}
    assert len(service.received) == 20
    assert Device.objects.filter(gone_at=None).count() == 14
    alerts = [line for line in logs if line["log_level"] == "error"]
    assert alerts == [
        {"event": "devices.mass_gone", "log_level": "error", "kind": "webpush", "kept": 14, "minutes": 10.0}
    ]
