"""APNs' own rules: the provider token, what is on the wire, and every answer."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from delivery.providers.apns import BUSY, LONGEST, Account, APNSProvider
from notifications.values import Outcome, Result
from notifications.words import Priority
from tests.contracts.test_providers import message
from tests.peers.apns import TOPIC, Apple, refusal
from tests.peers.authority import Authority
from tests.peers.http import Answer, Drop
from tests.peers.orders import Order


@pytest.fixture
def apple(authority: Authority, tmp_path: Path) -> Iterator[Apple]:
    made = Apple(authority, tmp_path)
    with made.server:
        yield made


def send(apple: Apple, *names: str, provider: APNSProvider | None = None, **fields: Any) -> list[Outcome]:
    messages = [message(n, apple.address(name), **fields) for n, name in enumerate(names)]
    return list((provider or apple.provider()).send(messages))


def test_what_apple_gets(apple: Apple) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    ends = now + timedelta(hours=1)
    provider = apple.provider(clock=lambda: now)
    (outcome,) = send(apple, "alice", provider=provider, url="/tasks/1", collapse="task:1", expires_at=ends)
    (received,) = apple.received
    assert received["payload"] == {
        "aps": {"alert": {"title": "Subject 0", "body": "Text"}, "sound": "default"},
        "key": "key.0",
        "url": "/tasks/1",
        "trace_id": "trace-of-the-test",
    }
    headers = {name: value for name, value in received["headers"].items() if name.startswith("apns-")}
    collapse, apns_id = headers.pop("apns-collapse-id"), headers.pop("apns-id")
    assert headers == {
        "apns-topic": TOPIC,
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": str(int(ends.timestamp())),
    }
    assert (len(collapse), uuid.UUID(apns_id).version) == (32, 5)
    assert outcome == Outcome(Result.SENT, code="200", provider_id=apns_id.upper())


def test_a_repeat_has_the_same_id_and_replaces_the_first(apple: Apple) -> None:
    send(apple, "alice", "alice")
    send(apple, "alice")
    first, second, again = (
        (one["headers"]["apns-id"], one["headers"]["apns-collapse-id"])
        for one in sorted(apple.received[:2], key=lambda one: one["key"]) + apple.received[2:]
    )
    assert first == again
    assert (first[0] != second[0], first[1] != second[1]) == (True, True)


def test_what_matters_little_makes_no_sound(apple: Apple) -> None:
    send(apple, "alice", priority=Priority.LOW)
    (received,) = apple.received
    assert ("sound" in received["payload"]["aps"], received["headers"]["apns-priority"]) == (False, "5")


def test_what_has_expired_is_for_now_or_never(apple: Apple) -> None:
    send(apple, "alice", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert apple.received[0]["headers"]["apns-expiration"] == "0"


def test_a_long_text_is_cut_to_what_apple_takes(apple: Apple) -> None:
    send(apple, "alice", text="🛎" * 5000)
    (received,) = apple.received
    assert LONGEST - 12 < int(received["headers"]["content-length"]) <= LONGEST


@pytest.mark.parametrize(
    ("answer", "result", "code"),
    [
        (refusal(400, "BadDeviceToken"), Result.GONE, "BadDeviceToken"),
        (refusal(400, "DeviceTokenNotForTopic"), Result.GONE, "DeviceTokenNotForTopic"),
        (refusal(410, "Unregistered"), Result.GONE, "Unregistered"),
        (refusal(410, "ExpiredToken"), Result.GONE, "ExpiredToken"),
        (refusal(400, "PayloadEmpty"), Result.FAILED, "PayloadEmpty"),
        (refusal(400, "BadCollapseId"), Result.FAILED, "BadCollapseId"),
        (refusal(400, "MissingTopic"), Result.CONFIG, "MissingTopic"),
        (refusal(400, "BadTopic"), Result.CONFIG, "BadTopic"),
        (refusal(400, "TopicDisallowed"), Result.CONFIG, "TopicDisallowed"),
        (refusal(403, "InvalidProviderToken"), Result.CONFIG, "InvalidProviderToken"),
        (refusal(403, "MissingProviderToken"), Result.CONFIG, "MissingProviderToken"),
        (refusal(403, "BadCertificate"), Result.CONFIG, "BadCertificate"),
        (refusal(403, "Forbidden"), Result.CONFIG, "Forbidden"),
        (refusal(404, "BadPath"), Result.FAILED, "BadPath"),
        (refusal(405, "MethodNotAllowed"), Result.FAILED, "MethodNotAllowed"),
        (refusal(413, "PayloadTooLarge"), Result.FAILED, "PayloadTooLarge"),
        (refusal(429, "TooManyRequests"), Result.THROTTLED, "TooManyRequests"),
        (refusal(429, "TooManyProviderTokenUpdates"), Result.CONFIG, "TooManyProviderTokenUpdates"),
        (refusal(500, "InternalServerError"), Result.RETRY, "InternalServerError"),
        (refusal(503, "ServiceUnavailable"), Result.RETRY, "ServiceUnavailable"),
        (refusal(503, "Shutdown"), Result.RETRY, "Shutdown"),
        (Answer(502, b"<html>"), Result.RETRY, "502"),
        (Drop(), Result.UNKNOWN, "disconnected"),
    ],
    ids=lambda value: str(getattr(value, "body", value))[:60],
)
def test_each_answer(apple: Apple, answer: Order, result: Result, code: str) -> None:
    apple.told["alice"] = answer
    assert [(o.result, o.code, o.provider_away) for o in send(apple, "alice")] == [(result, code, False)]


def test_the_wait_is_what_apple_says_or_a_minute(apple: Apple) -> None:
    apple.told["alice"] = refusal(429, "TooManyRequests")
    apple.told["bob"] = refusal(503, "ServiceUnavailable", retry_after="9")
    waits = [outcome.retry_after for outcome in send(apple, "alice", "bob")]
    assert waits == [BUSY, timedelta(seconds=9)]


def test_gone_says_since_when(apple: Apple) -> None:
    since = datetime(2026, 3, 2, 12, tzinfo=UTC)
    apple.told["alice"] = refusal(410, "Unregistered", timestamp=int(since.timestamp() * 1000))
    assert [o.gone_since for o in send(apple, "alice", "bob")] == [since, None]


def test_one_token_serves_for_fifty_minutes(apple: Apple) -> None:
    now = datetime.now(UTC)
    provider = apple.provider(clock=lambda: now)
    send(apple, *["alice"] * 60, provider=provider)
    now += timedelta(minutes=50)
    send(apple, "alice", provider=provider)
    assert len(apple.tokens) == 1
    now += timedelta(seconds=1)
    assert [o.result for o in send(apple, "alice", provider=provider)] == [Result.SENT]
    assert len(apple.tokens) == 2


def test_an_expired_token_is_replaced_at_the_next_attempt(apple: Apple) -> None:
    now = datetime.now(UTC)
    provider = apple.provider(clock=lambda: now)
    send(apple, "alice", provider=provider)
    apple.expired = set(apple.tokens)
    now += timedelta(minutes=20)
    said = send(apple, "alice", "bob", provider=provider)
    assert [(o.result, o.code) for o in said] == [(Result.RETRY, "ExpiredProviderToken")] * 2
    now += timedelta(seconds=10)
    assert [o.result for o in send(apple, "alice", provider=provider)] == [Result.SENT]
    assert len(apple.tokens) == 2


def test_a_young_token_that_is_called_expired_is_our_clock(apple: Apple) -> None:
    provider = apple.provider()
    send(apple, "alice", provider=provider)
    apple.expired = set(apple.tokens)
    for _ in range(2):
        said = send(apple, "alice", provider=provider)
        assert [(o.result, o.code) for o in said] == [(Result.CONFIG, "ExpiredProviderToken")]
    assert len(apple.tokens) == 1  # a new one every time would be refused as too many


@pytest.mark.parametrize("changed", [{"token": "xyz"}, {"token": "00/../11"}, {"token": "0" * 63}, {"topic": "a b"}])
def test_a_bad_device(apple: Apple, changed: dict[str, str]) -> None:
    address = json.dumps(json.loads(apple.address("alice")) | changed)
    said = list(apple.provider().send([message(1, address)]))
    assert [(o.result, o.code) for o in said] == [(Result.FAILED, "bad_address")]


def test_a_device_may_name_another_app(apple: Apple) -> None:
    address = json.dumps(json.loads(apple.address("alice")) | {"topic": "com.example.other"})
    said = list(apple.provider().send([message(1, address)]))
    assert [(o.result, o.code) for o in said] == [(Result.CONFIG, "TopicDisallowed")]


def test_fifty_calls_are_in_flight_at_once(apple: Apple) -> None:
    apple.hold = 50
    assert [o.result for o in send(apple, *["alice"] * 50, provider=apple.provider(limit=20))] == [Result.SENT] * 50
    assert apple.server.connections == 1


def test_a_key_that_cannot_work_is_refused_in_a_sentence(apple: Apple, tmp_path: Path) -> None:
    (tmp_path / "bad.p8").write_text("hunter2")
    for path, key_id in ((tmp_path / "missing.p8", "K"), (tmp_path / "bad.p8", "K"), (apple.key_file, "")):
        with pytest.raises(ValueError, match="APNS_KEY_FILE must be") as refused:
            Account(path=path, key_id=key_id, team_id="T")
        assert "hunter2" not in str(refused.value)
    with pytest.raises(ValueError, match="APNS_TOPIC must be"):
        APNSProvider(account=apple.provider()._account, topic="", url=apple.server.url, limit=1)
