"""FCM's own rules: signing in, what is on the wire, and every answer."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from delivery.providers.fcm import LONGEST, QUOTA, Account, FCMProvider
from notifications.values import Outcome, Result
from notifications.words import Priority
from tests.contracts.test_providers import message
from tests.peers.authority import Authority
from tests.peers.fcm import Google, error
from tests.peers.http import Answer, Drop
from tests.peers.orders import Order


@pytest.fixture
def google(authority: Authority, tmp_path: Path) -> Iterator[Google]:
    made = Google(authority, tmp_path)
    with made.server:
        yield made


def send(google: Google, *names: str, provider: FCMProvider | None = None, **fields: Any) -> list[Outcome]:
    messages = [message(n, google.address(name), **fields) for n, name in enumerate(names)]
    return list((provider or google.provider()).send(messages))


def test_what_fcm_gets(google: Google) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    (outcome,) = send(google, "alice", url="/tasks/1", priority=Priority.CRITICAL, collapse="task:1", expires_at=ends)
    assert outcome == Outcome(Result.SENT, code="200", provider_id="projects/shop-1/messages/0:1")
    (received,) = google.received
    android = received["message"].pop("android")
    tag = android["collapse_key"]
    assert received["message"] == {
        "token": "registration:alice",
        "notification": {"title": "Subject 0", "body": "Text"},
        "data": {"key": "key.0", "url": "/tasks/1", "tag": tag, "trace_id": "trace-of-the-test"},
    }
    ttl = android.pop("ttl")
    assert android == {"priority": "HIGH", "collapse_key": tag, "notification": {"tag": tag}}
    assert ttl.endswith("s")
    assert 3500 < int(ttl[:-1]) <= 3600


def test_without_an_object_nothing_is_collapsed_and_a_repeat_replaces_itself(google: Google) -> None:
    send(google, "alice", "alice")
    send(google, "alice")
    first, second, again = (one["message"]["android"] for one in google.received)
    assert "collapse_key" not in first
    assert (first["priority"], first["ttl"]) == ("NORMAL", "604800s")
    assert first["notification"]["tag"] == again["notification"]["tag"] != second["notification"]["tag"]


def test_a_long_text_is_cut_to_what_fcm_takes(google: Google) -> None:
    send(google, "alice", text="🛎" * 5000)
    (received,) = google.received
    assert len(json.dumps(received["message"], ensure_ascii=False).encode()) <= LONGEST + 100


@pytest.mark.parametrize(
    ("answer", "result", "code"),
    [
        (error(404, "NOT_FOUND", fcm="UNREGISTERED"), Result.GONE, "UNREGISTERED"),
        (error(404, "NOT_FOUND", message="Requested entity was not found."), Result.CONFIG, "NOT_FOUND"),
        (error(403, "PERMISSION_DENIED", fcm="SENDER_ID_MISMATCH"), Result.GONE, "SENDER_ID_MISMATCH"),
        (error(403, "PERMISSION_DENIED"), Result.CONFIG, "PERMISSION_DENIED"),
        (error(401, "UNAUTHENTICATED"), Result.CONFIG, "UNAUTHENTICATED"),
        (error(401, "UNAUTHENTICATED", fcm="THIRD_PARTY_AUTH_ERROR"), Result.CONFIG, "THIRD_PARTY_AUTH_ERROR"),
        (error(400, "INVALID_ARGUMENT", fcm="INVALID_ARGUMENT"), Result.FAILED, "INVALID_ARGUMENT"),
        (error(400, "INVALID_ARGUMENT", field="message.android.ttl"), Result.FAILED, "INVALID_ARGUMENT"),
        (
            error(400, "INVALID_ARGUMENT", fcm="INVALID_ARGUMENT", field="message.token"),
            Result.GONE,
            "INVALID_ARGUMENT",
        ),
        (
            error(400, "INVALID_ARGUMENT", message="The registration token is not a valid FCM registration token"),
            Result.GONE,
            "INVALID_ARGUMENT",
        ),
        (error(429, "RESOURCE_EXHAUSTED", fcm="QUOTA_EXCEEDED"), Result.THROTTLED, "QUOTA_EXCEEDED"),
        (error(500, "INTERNAL", fcm="INTERNAL"), Result.RETRY, "INTERNAL"),
        (error(503, "UNAVAILABLE", fcm="UNAVAILABLE"), Result.RETRY, "UNAVAILABLE"),
        (Answer(502, b"<html>Bad gateway"), Result.RETRY, "502"),
        (Answer(400, b'{"error": 5}'), Result.FAILED, "400"),
        (Answer(400, b'{"error": {"details": [{"fieldViolations": [1]}]}}'), Result.FAILED, "400"),
        (Answer(200, b"[]"), Result.SENT, "200"),
        (Drop(), Result.UNKNOWN, "disconnected"),
    ],
    ids=lambda value: str(getattr(value, "body", value))[:60],
)
def test_each_answer(google: Google, answer: Order, result: Result, code: str) -> None:
    google.told["alice"] = answer
    assert [(o.result, o.code, o.provider_away) for o in send(google, "alice")] == [(result, code, False)]


def test_a_quota_without_a_time_is_a_minute(google: Google) -> None:
    google.told["alice"] = error(429, "RESOURCE_EXHAUSTED", fcm="QUOTA_EXCEEDED")
    google.told["bob"] = error(429, "RESOURCE_EXHAUSTED", fcm="QUOTA_EXCEEDED", retry_after="7")
    google.told["carol"] = error(503, "UNAVAILABLE", retry_after="9")
    waits = [outcome.retry_after for outcome in send(google, "alice", "bob", "carol")]
    assert waits == [QUOTA, timedelta(seconds=7), timedelta(seconds=9)]


def test_one_token_serves_until_shortly_before_its_end(google: Google) -> None:
    now = datetime.now(UTC)
    provider = google.provider(clock=lambda: now)
    send(google, *["alice"] * 60, provider=provider)
    assert len(google.bearers) == 1
    now += timedelta(minutes=54)
    send(google, "alice", provider=provider)
    assert len(google.bearers) == 1
    now += timedelta(minutes=1)
    assert [o.result for o in send(google, "alice", provider=provider)] == [Result.SENT]
    assert len(google.bearers) == 2


def test_a_revoked_token_is_replaced_at_the_next_attempt(google: Google) -> None:
    provider = google.provider()
    send(google, "alice", provider=provider)
    google.revoked = set(google.bearers)
    assert [o.result for o in send(google, "alice", provider=provider)] == [Result.CONFIG]
    assert [o.result for o in send(google, "alice", provider=provider)] == [Result.SENT]


@pytest.mark.parametrize(
    ("order", "result"),
    [
        (Answer(400, b'{"error": "invalid_grant"}'), Result.CONFIG),
        (Answer(401), Result.CONFIG),
        (Answer(200, b'{"access_token": 5}'), Result.CONFIG),
        (Answer(429, headers={"retry-after": "3"}), Result.RETRY),
        (Answer(503), Result.RETRY),
        (Drop(), Result.RETRY),
        ("silent", Result.RETRY),
    ],
    ids=str,
)
def test_without_signing_in_nothing_is_sent(google: Google, order: Order, result: Result) -> None:
    google.sign_in = order
    provider = google.provider(limit=0.5 if order == "silent" else 10)
    said = send(google, "alice", "bob", provider=provider)
    assert [(o.result, o.code, o.provider_away) for o in said] == [(result, "sign_in", True)] * 2
    assert google.received == []
    google.sign_in = None
    assert [o.result for o in send(google, "alice", provider=google.provider())] == [Result.SENT]


def test_another_accounts_key_does_not_sign_in(google: Google, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Google(authority, tmp_path / "other")
    told = json.loads(google.credentials.read_text()) | {"private_key": other.private_pem}
    google.credentials.write_text(json.dumps(told))
    said = send(google, "alice")
    assert [(o.result, o.code) for o in said] == [(Result.CONFIG, "sign_in")]


def test_fifty_calls_are_in_flight_at_once(google: Google) -> None:
    google.hold = 50
    assert [o.result for o in send(google, *["alice"] * 50, provider=google.provider(limit=20))] == [Result.SENT] * 50


@pytest.mark.parametrize(
    "changed",
    [
        {"private_key": "-----BEGIN PRIVATE KEY-----\nhunter2"},
        {"private_key": None},
        {"token_uri": "http://127.0.0.1/token"},
        {"project_id": ...},
    ],
    ids=str,
)
def test_credentials_that_cannot_work_are_refused_in_a_sentence(google: Google, changed: dict[str, Any]) -> None:
    told = json.loads(google.credentials.read_text()) | changed
    google.credentials.write_text(json.dumps({name: value for name, value in told.items() if value is not ...}))
    with pytest.raises(ValueError, match="FCM_CREDENTIALS_FILE must be") as refused:
        Account(google.credentials)
    assert "hunter2" not in str(refused.value)


def test_no_credentials_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="FCM_CREDENTIALS_FILE must be"):
        Account(tmp_path / "missing.json")
