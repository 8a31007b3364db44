"""Webhooks over REST: who may, what is refused, and a secret that is shown once."""

import base64
from typing import Any

import pytest

from core.models import User
from notifications.models import Webhook
from tests import factories
from tests.api import Caller, error

URL = "https://example.com/hooks/bellhop?of=us"


@pytest.fixture
def staff(committed: None) -> Caller:
    return Caller(factories.user("staff", is_staff=True))


def test_only_staff(as_alice: Caller, producer: User) -> None:
    for method, path in (
        ("GET", "/webhooks"),
        ("POST", "/webhooks"),
        ("PATCH", "/webhooks/1"),
        ("GET", "/webhooks/1"),
        ("DELETE", "/webhooks/1"),
        ("GET", "/webhooks/1/calls"),
    ):
        for caller in (as_alice, Caller(producer)):
            assert error(caller(method, path, {"url": URL})) == (403, "forbidden")
    assert Webhook.objects.count() == 0


def test_made_changed_and_forgotten(staff: Caller) -> None:
    answer = staff("POST", "/webhooks", {"url": URL, "kinds": ["sent", "failed", "sent"]})
    made: dict[str, Any] = answer.json()
    secret = made.pop("secret")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    id, created_at = made["id"], made["created_at"]
    shown = {"id": id, "url": URL, "kinds": ["failed", "sent"], "enabled": True, "created_at": created_at}
    assert (answer.status_code, made) == (201, shown)
    assert staff.get(f"/webhooks/{id}") == shown
    assert staff.get("/webhooks") == {"results": [shown], "next": None, "previous": None}
    assert staff.get(f"/webhooks/{id}/calls") == {"results": [], "next": None, "previous": None}
    changed = staff("PATCH", f"/webhooks/{id}", {"enabled": False, "kinds": ["unknown"]})
    assert (changed.status_code, changed.json()) == (200, shown | {"enabled": False, "kinds": ["unknown"]})
    assert staff("PATCH", f"/webhooks/{id}", {}).json() == changed.json()
    assert Webhook.objects.get().secret == secret
    assert staff("DELETE", f"/webhooks/{id}").status_code == 204
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/calls")):
        assert error(staff(method, f"/webhooks/{id}{path}", {})) == (404, "not_found")


def test_without_kinds_it_is_told_what_left_or_may_have(staff: Caller) -> None:
    made = staff("POST", "/webhooks", {"url": URL}).json()
    assert made["kinds"] == ["failed", "sent", "unknown"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"url": "http://example.com/"}, "url"),
        ({"url": "https://user:password@example.com/"}, "url"),
        ({"url": "https://example.com/#part"}, "url"),
        ({"url": "https://example.com/a b"}, "url"),
        ({"url": "https://example.com/\n"}, "url"),
        ({"url": "https://[::1]/"}, "url"),
        ({"url": "https://exämple.com/"}, "url"),
        ({"url": "https://example.com/" + "a" * 2000}, "url"),
        ({"url": URL, "kinds": []}, "kinds"),
        ({"url": URL, "kinds": ["pending"]}, "kinds"),
        ({"url": URL, "secret": "mine"}, "body"),
    ],
)
def test_what_is_not_valid_is_refused(staff: Caller, body: dict[str, Any], field: str) -> None:
    answer = staff("POST", "/webhooks", body)
    assert error(answer) == (400, "invalid")
    assert [name.split("[")[0] for name in answer.json()["details"]] == [field]
    assert Webhook.objects.count() == 0
