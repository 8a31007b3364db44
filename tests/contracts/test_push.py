"""The push channel: each device by the provider of its kind, all of them side by side."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from delivery.providers.push import PushProvider
from notifications.values import Outcome, Result
from tests.contracts.test_providers import message
from tests.peers.apns import Apple
from tests.peers.authority import Authority
from tests.peers.fcm import Google
from tests.peers.webpush import PushService

Peers = tuple[PushService, Google, Apple]


@pytest.fixture
def peers(authority: Authority, tmp_path: Path) -> Iterator[Peers]:
    made = PushService(authority), Google(authority, tmp_path), Apple(authority, tmp_path)
    with made[0].server, made[1].server, made[2].server:
        yield made


def push(peers: Peers) -> PushProvider:
    service, google, apple = peers
    return PushProvider(
        providers={"webpush": service.provider(), "fcm": google.provider(), "apns": apple.provider(limit=15)}
    )


def send(provider: PushProvider, *addresses: str) -> list[Outcome]:
    return list(provider.send([message(number, address) for number, address in enumerate(addresses)]))


def test_each_device_by_the_provider_of_its_kind(peers: Peers) -> None:
    service, google, apple = peers
    said = send(push(peers), *(peer.address("alice") for peer in (apple, service, google, service, apple)))
    assert [o.result for o in said] == [Result.SENT] * 5
    assert (apple.keys, service.keys, google.keys) == (["key.0", "key.4"], ["key.1", "key.3"], ["key.2"])


def test_a_kind_that_is_not_configured_fails_alone(peers: Peers) -> None:
    service, google, apple = peers
    provider = PushProvider(providers={"webpush": service.provider()})
    strange = json.dumps({"kind": "pager", "token": "x"})
    said = send(provider, google.address("alice"), service.address("alice"), strange, apple.address("alice"), "{}")
    assert [(o.result, o.code) for o in said] == [
        (Result.FAILED, "no_provider"),
        (Result.SENT, "201"),
        (Result.FAILED, "no_provider"),
        (Result.FAILED, "no_provider"),
        (Result.FAILED, "bad_address"),
    ]
    assert (google.server.connections, apple.server.connections) == (0, 0)


def test_the_calls_of_all_kinds_are_in_flight_together(peers: Peers) -> None:
    service, google, apple = peers
    kinds: list[PushService | Google | Apple] = [service, google, apple]
    for peer in kinds:
        peer.hold = 10
    said = send(push(peers), *(kinds[n % 3].address("alice") for n in range(30)))
    assert [o.result for o in said] == [Result.SENT] * 30


def test_one_provider_that_is_away_does_not_make_the_channel_so(authority: Authority, peers: Peers) -> None:
    service, google, _ = peers
    nobody = Apple(authority, google.credentials.parent)
    provider = PushProvider(providers={"webpush": service.provider(), "apns": nobody.provider()})
    said = send(provider, nobody.address("alice"), service.address("alice"))
    assert [(o.result, o.provider_away) for o in said] == [(Result.RETRY, False), (Result.SENT, False)]
    said = send(provider, nobody.address("alice"), nobody.address("bob"))
    assert [(o.result, o.provider_away) for o in said] == [(Result.RETRY, True)] * 2


def test_it_may_take_as_long_as_the_slowest(peers: Peers) -> None:
    assert push(peers).timeout == 20  # FCM signs in, and then sends
