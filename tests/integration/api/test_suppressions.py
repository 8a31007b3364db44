"""The suppression list over REST."""

from typing import Any

import pytest

from core.models import User
from notifications import suppressions
from notifications.models import Suppression
from notifications.suppressions import Cause, Said
from tests import factories
from tests.api import Caller, error
from tests.factories import NOW

pytestmark = pytest.mark.usefixtures("committed")
ANN = {"channel": "email", "address": "ann@example.com"}


@pytest.fixture
def as_admin(committed: None) -> Caller:
    return Caller(factories.user("admin", is_staff=True))


def made(who: Caller, **fields: Any) -> dict[str, Any]:
    answer = who("POST", "/suppressions", ANN | fields)
    assert answer.status_code == 201, answer.content
    shown: dict[str, Any] = answer.json()
    return shown


def test_made_shown_changed_deleted(as_admin: Caller) -> None:
    shown = made(as_admin, address="Ann@Example.com", detail="She asked us on the phone")
    assert shown == ANN | {
        "id": shown["id"],
        "cause": "staff",
        "detail": "She asked us on the phone",
        "created_at": shown["created_at"],
        "until": None,
    }
    path = f"/suppressions/{shown['id']}"
    assert as_admin.get(path) == shown
    assert as_admin.get("/suppressions") == {"results": [shown], "next": None, "previous": None}
    changed = as_admin("PATCH", path, {"until": "2030-01-01T01:00:00+01:00"})
    assert (changed.status_code, changed.json()) == (200, shown | {"until": "2030-01-01T00:00:00Z"})
    assert as_admin("PATCH", path, {"until": None, "detail": ""}).json() == shown | {"detail": ""}
    assert as_admin("PATCH", path, {}).json() == as_admin.get(path) == shown | {"detail": ""}
    assert as_admin("DELETE", path).status_code == 204
    assert error(as_admin("GET", path)) == error(as_admin("DELETE", path)) == (404, "not_found")
    assert error(as_admin("PATCH", path, {})) == error(as_admin("GET", "/suppressions/x")) == (404, "not_found")


def test_an_address_is_there_once(as_admin: Caller) -> None:
    first = made(as_admin)
    answer = as_admin("POST", "/suppressions", ANN | {"address": "ANN@example.com"})
    assert (error(answer), answer.json()["details"]) == ((409, "already_there"), {"id": first["id"]})


@pytest.mark.parametrize(
    "body",
    [
        {"channel": "email"},
        ANN | {"address": ""},
        ANN | {"address": "ann @example.com"},
        ANN | {"address": "ann@example.com\n"},
        ANN | {"address": "a" * 321},
        ANN | {"address": "a\u0000b"},
        ANN | {"channel": "pigeon"},
        ANN | {"channel": "in_app"},
        ANN | {"until": "tomorrow"},
        ANN | {"until": "2030-01-01T00:00:00"},
        ANN | {"cause": "bounce"},
        ANN | {"detail": "two\nlines"},
    ],
)
def test_what_is_no_suppression(as_admin: Caller, body: dict[str, Any]) -> None:
    assert error(as_admin("POST", "/suppressions", body)) == (400, "invalid")
    assert Suppression.objects.count() == 0


def test_found_by_channel_address_and_cause(as_admin: Caller) -> None:
    said = [("bob@example.com", Cause.BOUNCE), ("carol@example.com", Cause.COMPLAINT)]
    suppressions.add([Said("email", address, cause) for address, cause in said], now=NOW)
    made(as_admin)

    def found(query: str) -> list[str]:
        return [row["address"] for row in as_admin.get(f"/suppressions?{query}")["results"]]

    assert found("") == ["ann@example.com", "carol@example.com", "bob@example.com"]
    assert found("address=BOB@example.com") == ["bob@example.com"]
    assert found("cause=complaint&channel=email") == ["carol@example.com"]
    assert found("channel=chat") == found("address=%00") == found("address=bob") == []
    assert found("limit=1") == ["ann@example.com"]


def test_it_is_for_staff(as_alice: Caller, alice: User) -> None:
    made_by_staff = Suppression.objects.create(channel="email", address="x@example.com", cause="staff", created_at=NOW)
    one = f"/suppressions/{made_by_staff.pk}"
    for method, path in [
        ("GET", "/suppressions"),
        ("POST", "/suppressions"),
        ("GET", one),
        ("PATCH", one),
        ("DELETE", one),
    ]:
        assert error(as_alice(method, path, ANN)) == (403, "forbidden")
        assert error(Caller()(method, path, ANN))[0] == 401
    assert Suppression.objects.get().address == "x@example.com"
