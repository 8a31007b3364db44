"""A person's devices over REST: addresses come in, and never go out."""

from typing import Any

import pytest

from core.models import User
from notifications.models import Device
from tests.api import Caller, error

KEYS = {"p256dh": "BC" + "a" * 85, "auth": "s" * 22}
ENDPOINT = "https://push.example.com/send/a-secret-of-the-browser-0001"
BROWSER = {"kind": "webpush", "endpoint": ENDPOINT, "keys": KEYS}
AS_IT_COMES = BROWSER | {"expirationTime": None, "keys": {"p256dh": KEYS["p256dh"] + "=", "auth": "s" * 22 + "=="}}
ANDROID = {"kind": "fcm", "token": "fLx3:APA91b" + "_x-9" * 30}
IPHONE = {"kind": "apns", "token": "0aF9" * 16}

pytestmark = pytest.mark.usefixtures("committed")


def registered(who: Caller, body: dict[str, Any] = BROWSER, *, status: int = 201, **more: Any) -> dict[str, Any]:
    answer = who("POST", "/devices", body | more)
    assert answer.status_code == status, answer.content
    shown: dict[str, Any] = answer.json()
    return shown


@pytest.mark.parametrize(
    ("body", "hint", "stored"),
    [
        (BROWSER, "0001", BROWSER),
        (AS_IT_COMES, "0001", BROWSER),
        (ANDROID, "_x-9", ANDROID),
        (IPHONE, "0af9", IPHONE | {"token": "0af9" * 16}),
    ],
    ids=["webpush", "padded", "fcm", "apns"],
)
def test_registered_shown_changed_deleted(
    as_alice: Caller, alice: User, body: dict[str, Any], hint: str, stored: dict[str, Any]
) -> None:
    shown = registered(as_alice, body, name="Firefox at work", locale="de")
    assert shown == {
        "id": shown["id"],
        "kind": body["kind"],
        "name": "Firefox at work",
        "locale": "de",
        "hint": hint,
        "created_at": shown["created_at"],
        "last_seen_at": shown["created_at"],
    }
    assert Device.objects.get().address == stored
    path = f"/devices/{shown['id']}"
    assert as_alice.get(path) == shown
    assert as_alice.get("/devices") == {"results": [shown], "next": None, "previous": None}
    changed = as_alice("PATCH", path, {"name": "At home"})
    assert (changed.status_code, changed.json()) == (200, shown | {"name": "At home"})
    assert as_alice("PATCH", path, {"locale": ""}).json() == shown | {"name": "At home", "locale": ""}
    assert as_alice("PATCH", path, {}).json() == as_alice.get(path) == shown | {"name": "At home", "locale": ""}
    assert as_alice("DELETE", path).status_code == 204
    assert error(as_alice("GET", path)) == error(as_alice("DELETE", path)) == (404, "not_found")
    assert error(as_alice("PATCH", path, {"name": "x"})) == (404, "not_found")
    assert (as_alice.get("/devices")["results"], Device.objects.count()) == ([], 0)


def test_the_same_address_again_is_the_same_device_seen_now(as_alice: Caller) -> None:
    first = registered(as_alice, name="Firefox", locale="de")
    again = registered(as_alice, BROWSER | {"keys": KEYS | {"auth": "t" * 22}}, status=200, locale="fr")
    assert again == first | {"last_seen_at": again["last_seen_at"], "locale": "fr"}
    assert again["last_seen_at"] > first["last_seen_at"]
    assert Device.objects.get().address["keys"]["auth"] == "t" * 22
    # A phone's token is the same in capitals.
    phone = registered(as_alice, IPHONE)
    assert registered(as_alice, IPHONE | {"token": "0AF9" * 16}, status=200)["id"] == phone["id"]
    assert [one["id"] for one in as_alice.get("/devices")["results"]] == [phone["id"], first["id"]]


def test_a_device_that_is_gone_is_not_shown_and_comes_back(as_alice: Caller) -> None:
    shown = registered(as_alice)
    Device.objects.update(gone_at=shown["created_at"])
    assert as_alice.get("/devices")["results"] == []
    assert error(as_alice("GET", f"/devices/{shown['id']}")) == (404, "not_found")
    assert registered(as_alice, status=200)["id"] == shown["id"]
    assert Device.objects.get().gone_at is None


def test_a_device_belongs_to_whoever_registered_it_last(as_alice: Caller, as_bob: Caller, bob: User) -> None:
    hers = registered(as_alice, name="Alice's browser", locale="de")
    his = registered(as_bob)
    assert (his["name"], his["locale"]) == ("", "")
    assert his["id"] != hers["id"]
    assert as_alice.get("/devices")["results"] == []
    assert as_bob.get("/devices")["results"] == [his]
    assert Device.objects.get().user == bob


def test_somebody_elses_looks_like_one_that_never_was(as_alice: Caller, as_bob: Caller, stranger: Caller) -> None:
    id = registered(as_alice)["id"]
    for method, body in (("GET", None), ("PATCH", {"name": "mine"}), ("DELETE", None)):
        for wrong in (id, "999999", "x", "1" * 30):
            assert error(as_bob(method, f"/devices/{wrong}", body)) == (404, "not_found")
        assert error(stranger(method, f"/devices/{id}", body))[0] == 401
    assert error(stranger("POST", "/devices", BROWSER))[0] == error(stranger("GET", "/devices"))[0] == 401
    assert as_bob.get("/devices")["results"] == []
    assert as_alice.get(f"/devices/{id}")["name"] == ""


def test_a_person_keeps_the_twenty_seen_last(as_alice: Caller, as_bob: Caller) -> None:
    bobs = registered(as_bob, ANDROID)
    made = [registered(as_alice, endpoint=f"{ENDPOINT}-{number}")["id"] for number in range(20)]
    registered(as_alice, endpoint=f"{ENDPOINT}-0", status=200)
    newest = registered(as_alice, endpoint=f"{ENDPOINT}-20")["id"]
    kept = {made[0], *made[2:], newest}
    assert {one["id"] for one in as_alice.get("/devices?limit=100")["results"]} == kept
    # One that is gone goes before the others do.
    gone = Device.objects.get(pk=made[5])
    gone.gone_at = gone.created_at
    gone.save()
    another = registered(as_alice, endpoint=f"{ENDPOINT}-21")["id"]
    assert {one["id"] for one in as_alice.get("/devices?limit=100")["results"]} == kept - {made[5]} | {another}
    assert not Device.objects.filter(pk=made[5]).exists()
    assert as_bob.get("/devices")["results"] == [bobs]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"kind": "pigeon"}, "kind"),
        ({"kind": "webpush"}, "body"),
        (BROWSER | {"token": "x" * 30}, "body"),
        (ANDROID | {"endpoint": ENDPOINT}, "body"),
        (BROWSER | {"endpoint": ENDPOINT.replace("https", "http")}, "endpoint"),
        (BROWSER | {"endpoint": "https://user:password@push.example.com/x"}, "endpoint"),
        (BROWSER | {"endpoint": "https://push.example.com"}, "endpoint"),
        (BROWSER | {"endpoint": ENDPOINT + "\r\nX-Header: 1"}, "endpoint"),
        (BROWSER | {"endpoint": ENDPOINT + "\n"}, "endpoint"),
        (BROWSER | {"endpoint": ENDPOINT + "x" * 2000}, "endpoint"),
        (BROWSER | {"keys": KEYS | {"p256dh": "BC" + "a" * 84}}, "keys.p256dh"),
        (BROWSER | {"keys": KEYS | {"p256dh": "AC" + "a" * 85}}, "keys.p256dh"),
        (BROWSER | {"keys": KEYS | {"auth": "s" * 23}}, "keys.auth"),
        (BROWSER | {"keys": KEYS | {"auth": "s" * 21 + "+"}}, "keys.auth"),
        (BROWSER | {"keys": {"auth": "s" * 22}}, "keys"),
        (ANDROID | {"token": "short"}, "token"),
        (ANDROID | {"token": "x" * 4097}, "token"),
        (ANDROID | {"token": "with space" * 5}, "token"),
        (IPHONE | {"token": "0af9" * 15}, "token"),
        (IPHONE | {"token": "0af9" * 51}, "token"),
        (IPHONE | {"token": "0afg" * 16}, "token"),
        (IPHONE | {"name": "x" * 101}, "name"),
        (IPHONE | {"name": "two\nlines"}, "name"),
        (IPHONE | {"locale": "not a locale"}, "locale"),
        (IPHONE | {"user": "bob"}, "body"),
    ],
)
def test_what_is_not_valid_is_named_and_not_repeated(as_alice: Caller, body: dict[str, Any], field: str) -> None:
    answer = as_alice("POST", "/devices", body)
    assert error(answer) == (400, "invalid")
    assert list(answer.json()["details"]) == [field]
    assert "secret" not in answer.content.decode()
    assert not Device.objects.exists()


def test_a_patch_knows_no_address(as_alice: Caller) -> None:
    shown = registered(as_alice)
    for body in ({"endpoint": ENDPOINT}, {"name": None}, {"name": "x" * 101}, {"locale": "?"}):
        assert error(as_alice("PATCH", f"/devices/{shown['id']}", body)) == (400, "invalid")
    assert as_alice.get("/devices")["results"] == [shown]


def test_pages(as_alice: Caller) -> None:
    ids = [registered(as_alice, endpoint=f"{ENDPOINT}-{number}")["id"] for number in range(3)]
    first = as_alice.get("/devices?limit=2")
    assert [one["id"] for one in first["results"]] == [ids[2], ids[1]]
    rest = as_alice.get(first["next"].partition("/api/v1")[2])
    assert ([one["id"] for one in rest["results"]], rest["next"]) == ([ids[0]], None)


def test_the_schema_says_what_each_kind_has(as_alice: Caller) -> None:
    schema = as_alice.get("/schema?format=json")
    body = schema["paths"]["/api/v1/devices"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    kinds = {ref["$ref"].rpartition("/")[2] for ref in body["anyOf"]}
    assert kinds == {"WebPush", "FCM", "APNs"}
    assert {kind: sorted(schema["components"]["schemas"][kind]["required"]) for kind in kinds} == {
        "WebPush": ["endpoint", "keys", "kind"],
        "FCM": ["kind", "token"],
        "APNs": ["kind", "token"],
    }
