"""Web Push's own rules: what is on the wire, every answer of a push service, and which hosts are called at all."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from delivery import addresses
from delivery.providers import vapid
from delivery.providers.aes128gcm import LONGEST
from delivery.providers.webpush import WebPushProvider
from notifications.values import Message, Outcome, Result
from notifications.words import Priority
from tests.contracts.test_providers import message
from tests.peers.authority import Authority
from tests.peers.ends import HASTY
from tests.peers.http import Answer, Drop, Reset
from tests.peers.orders import Order
from tests.peers.webpush import PushService

WEEK = 7 * 24 * 3600


@pytest.fixture
def service(authority: Authority) -> Iterator[PushService]:
    made = PushService(authority)
    with made.server:
        yield made


def send(service: PushService, *names: str, **fields: Any) -> list[Outcome]:
    return list(service.provider().send([message(n, service.address(name), **fields) for n, name in enumerate(names)]))


def test_what_the_browser_reads_and_the_service_sees(service: PushService) -> None:
    (outcome,) = send(service, "alice", url="/tasks/1", priority=Priority.HIGH, collapse="task:1")
    assert outcome == Outcome(Result.SENT, code="201", scope="127.0.0.1")
    (received,) = service.received
    tag = received["payload"].pop("tag")
    assert received["payload"] == {
        "title": "Subject 0",
        "body": "Text",
        "url": "/tasks/1",
        "key": "key.0",
        "trace_id": "trace-of-the-test",
    }
    seen = {name: received["headers"][name] for name in ("ttl", "urgency", "topic", "content-encoding")}
    assert seen == {"ttl": str(WEEK), "urgency": "high", "topic": tag, "content-encoding": "aes128gcm"}
    assert len(tag) == 32  # RFC 8030, 5.4


def test_the_topic_is_the_objects_or_the_messages_own(service: PushService) -> None:
    send(service, "alice", "bob", collapse="task:1")
    send(service, "alice", "bob", "carol")
    send(service, "alice")
    by_object, again, first, second, third, first_again = (one["headers"]["topic"] for one in service.received)
    assert by_object == again
    assert first == first_again
    assert len({by_object, first, second, third}) == 4


def test_the_time_to_live_ends_with_the_event(service: PushService) -> None:
    for ends in (timedelta(hours=2), timedelta(days=400), timedelta(seconds=-5)):
        send(service, "alice", expires_at=datetime.now(UTC) + ends)
    hours, year, past = (int(one["headers"]["ttl"]) for one in service.received)
    assert 7100 < hours <= 7200
    assert (year, past) == (WEEK, 0)


@pytest.mark.parametrize(
    ("priority", "urgency"), [("low", "low"), ("normal", "normal"), ("high", "high"), ("critical", "high")]
)
def test_the_urgency_follows_the_priority(service: PushService, priority: str, urgency: str) -> None:
    send(service, "alice", priority=Priority(priority))
    assert service.received[0]["headers"]["urgency"] == urgency


@pytest.mark.parametrize("text", ["x" * 10_000, "🛎" * 2000, "\x01" * 3000], ids=["ascii", "bells", "escapes"])
def test_a_long_text_is_cut_to_what_a_service_must_take(service: PushService, text: str) -> None:
    send(service, "alice", text=text)
    (received,) = service.received
    assert text.startswith(received["payload"]["body"].removesuffix("…"))
    written = json.dumps(received["payload"], ensure_ascii=False, separators=(",", ":")).encode()
    assert LONGEST - 12 < len(written) <= LONGEST
    assert int(received["headers"]["content-length"]) <= 4096


def test_what_is_too_long_without_its_text_fails(service: PushService) -> None:
    said = send(service, "alice", url="/" + "x" * 5000)
    assert [(o.result, o.code, o.detail) for o in said] == [(Result.FAILED, "bad_message", "TooLarge")]


@pytest.mark.parametrize(
    ("answer", "result", "code"),
    [
        (Answer(200), Result.SENT, "200"),
        (Answer(201), Result.SENT, "201"),
        (Answer(202), Result.SENT, "202"),
        (Answer(404), Result.GONE, "404"),
        (Answer(410), Result.GONE, "410"),
        (Answer(413), Result.FAILED, "413"),
        (Answer(429), Result.THROTTLED, "429"),
        (Answer(400), Result.CONFIG, "400"),
        (Answer(401), Result.CONFIG, "401"),
        (Answer(403), Result.CONFIG, "403"),
        (Answer(301, headers={"location": "https://127.0.0.1/"}), Result.FAILED, "301"),
        (Answer(418), Result.FAILED, "418"),
        (Answer(500), Result.RETRY, "500"),
        (Answer(503), Result.RETRY, "503"),
        (Reset(), Result.UNKNOWN, "disconnected"),
        (Reset(7), Result.RETRY, "refused"),  # RFC 9113, 8.7: the server did nothing with it
        (Drop(), Result.UNKNOWN, "disconnected"),
    ],
    ids=lambda value: str(getattr(value, "status", value)),
)
def test_each_answer(service: PushService, answer: Order, result: Result, code: str) -> None:
    service.told["alice"] = answer
    assert [(o.result, o.code, o.provider_away) for o in send(service, "alice")] == [(result, code, False)]


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("0", 0, 0),
        ("17", 17, 17),
        ("999999999", 86400, 86400),
        ("in an hour", 3400, 3600),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("soon", None, None),
        ("-5", None, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_wait_is_what_the_service_says(
    service: PushService, status: int, header: str, least: int | None, most: int | None
) -> None:
    if header == "in an hour":
        header = format_datetime(datetime.now(UTC) + timedelta(hours=1))
    service.told["alice"] = Answer(status, headers={"retry-after": header})
    wait = send(service, "alice")[0].retry_after
    if least is None or most is None:
        assert wait is None
    else:
        assert wait is not None
        assert least <= wait.total_seconds() <= most


def test_of_an_answer_the_beginning_is_kept_without_what_may_be_a_token(service: PushService) -> None:
    endpoint = service.subscription("alice")["endpoint"]
    service.told["alice"] = Answer(400, f"Wrong\n key for {endpoint} ".encode() + b"\xff" * 10_000)
    (outcome,) = send(service, "alice")
    assert outcome.detail.startswith("Wrong key for … ")
    assert len(outcome.detail) == 200


def test_what_was_said_counts_though_the_rest_never_comes(service: PushService) -> None:
    service.told |= {"alice": Answer(201, b"x", ends=False), "bob": Answer(410, ends=False)}
    messages = [message(n, service.address(name)) for n, name in enumerate(["alice", "bob", "carol"])]
    said = list(service.provider(limit=HASTY).send(messages))
    assert [o.result for o in said] == [Result.SENT, Result.GONE, Result.SENT]


def test_no_more_of_an_answer_is_read_than_anybody_needs(service: PushService) -> None:
    service.told["alice"] = Answer(500, b"x" * 10_000, ends=False)
    # Would it wait for the end, it would be longer than this test may take.
    assert [o.code for o in service.provider(limit=600).send([message(1, service.address("alice"))])] == ["500"]


def test_a_subscription_made_for_another_key_is_refused(service: PushService) -> None:
    signer = vapid.Signer(private_key=vapid.generate(), subject="mailto:bellhop@example.com")
    provider = WebPushProvider(signer=signer, limit=10, allowed=addresses.networks(["127.0.0.0/8"]))
    assert [o.code for o in provider.send([message(1, service.address("alice"))])] == ["403"]
    assert service.received == []


def test_one_signature_serves_a_push_service_for_a_while(service: PushService) -> None:
    provider = service.provider()
    for _ in range(2):
        list(provider.send([message(n, service.address(name)) for n, name in enumerate(["alice", "bob"])]))
    assert (len(service.tokens), service.server.connections) == (1, 2)


def altered(service: PushService, **changed: Any) -> str:
    told = service.subscription("alice")
    keys = told["keys"] | {name: changed.pop(name) for name in ("p256dh", "auth") if name in changed}
    return json.dumps(told | {"keys": keys} | changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "fcm"},
        {"endpoint": "http://127.0.0.1/push/alice"},
        {"endpoint": "https://alice:secret@127.0.0.1/push"},
        {"endpoint": "https://127.0.0.1/a b"},
        {"endpoint": "https://127.0.0.1/\r\nX: y"},
        {"endpoint": "https://127.0.0.1:99999999/"},
        {"endpoint": "https://[::1]/"},
        {"endpoint": "https:///push"},
        {"endpoint": "file:///etc/passwd"},
        {"endpoint": ""},
        {"p256dh": ""},
        {"p256dh": "A" * 87},
        {"p256dh": "ä"},
        {"auth": "AAAA"},
        {"auth": None},
    ],
    ids=str,
)
def test_a_bad_subscription(service: PushService, changed: dict[str, Any]) -> None:
    said = list(service.provider().send([message(1, altered(service, **changed))]))
    assert [(o.result, o.code) for o in said] == [(Result.FAILED, "bad_address")]
    assert service.server.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "0.0.0.0"])
def test_a_private_address_is_never_called(service: PushService, host: str) -> None:
    address = altered(service, endpoint=f"https://{host}:{service.server.port}/push/alice")
    said = list(service.provider(allowed=()).send([message(1, address)]))
    assert [(o.result, o.code) for o in said] == [(Result.FAILED, "forbidden_address")]
    assert service.server.connections == 0


def test_an_allowed_network_is_called_by_name_too(service: PushService) -> None:
    address = altered(service, endpoint=f"https://localhost:{service.server.port}/push/alice")
    said = list(service.provider(allowed=("127.0.0.0/8", "::1/128")).send([message(1, address)]))
    # The signature is for https://localhost, which is not what this service calls itself.
    assert [(o.result, o.code) for o in said] == [(Result.CONFIG, "403")]


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", "a" * 64, "-"])
def test_a_name_that_is_none_is_tried_again(service: PushService, host: str) -> None:
    said = list(service.provider().send([message(1, altered(service, endpoint=f"https://{host}/push/alice"))]))
    assert [(o.result, o.code) for o in said] == [(Result.RETRY, "unreachable")]


def test_one_service_that_is_away_says_nothing_about_the_others(service: PushService) -> None:
    nobody = altered(service, endpoint="https://127.0.0.1:1/push/alice")
    said = list(service.provider().send([message(1, nobody), message(2, service.address("bob"))]))
    assert [(o.result, o.provider_away) for o in said] == [(Result.RETRY, False), (Result.SENT, False)]


@pytest.mark.parametrize("http2", [True, False])
def test_fifty_calls_are_in_flight_at_once(authority: Authority, http2: bool) -> None:
    service = PushService(authority, http2=http2)
    service.hold = 50  # nobody is answered before
    messages = [message(n, service.address(f"person{n % 7}")) for n in range(50)]
    with service.server:
        said = list(service.provider(limit=20).send(messages))
    assert [o.result for o in said] == [Result.SENT] * 50
    assert service.server.connections == (1 if http2 else 50)


def test_a_service_that_nobody_vouches_for_gets_nothing(service: PushService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    said = send(service, "alice")
    assert [(o.result, o.code) for o in said] == [(Result.RETRY, "tls")]
    assert service.received == []


def test_a_cut_connection_is_an_outcome_for_each_message_on_it(service: PushService) -> None:
    service.hold = 3
    service.told["bob"] = Drop()
    messages: list[Message] = [message(n, service.address(name)) for n, name in enumerate(["alice", "bob", "carol"])]
    started = time.monotonic()
    said = list(service.provider(limit=30).send(messages))
    assert [o.result for o in said if o.result not in (Result.SENT, Result.UNKNOWN)] == []
    assert said[1].result == Result.UNKNOWN
    assert time.monotonic() - started < 30  # not by the time-out
    assert service.keys == ["key.0", "key.1", "key.2"]
