"""What every provider promises, run against a real peer of each. SMTP's own rules are in test_smtp.py."""

import dataclasses
from collections.abc import Iterator
from typing import Protocol

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils.module_loading import import_string

from delivery.channels.base import Provider
from notifications.values import Message, Outcome, Result
from tests import mail


class Peer(Protocol):
    """The other end of a provider, as the suite needs it."""

    provider: Provider
    secret: str  # what the provider signs in with

    def keys(self) -> list[str]:
        """The keys of the messages that arrived, in order."""
        ...

    def breaks(self, how: str) -> str:
        """An address at which the peer, having got the whole message, says nothing (`silent`) or hangs up."""
        ...

    def away(self) -> Provider:
        """The same provider, with nobody at the other end."""
        ...


class SMTPPeer:
    def __init__(self, server: mail.MailServer) -> None:
        self._server = server
        self.secret = "s3cret"
        self.provider = self._made(server.url)

    @staticmethod
    def _made(url: str) -> Provider:
        entry = next(e for e in settings.DELIVERY_CHANNELS.values() if e["PROVIDER"] in PEERS)
        with override_settings(EMAIL_URL=url, EMAIL_TIMEOUT=0.5):
            made: Provider = import_string(entry["PROVIDER"]).from_settings()
            return made

    def keys(self) -> list[str]:
        return [str(m["Message-ID"]).partition("@")[0].removeprefix("<") for m in self._server.received]

    def breaks(self, how: str) -> str:
        return f"{how}@example.com"

    def away(self) -> Provider:
        return self._made(mail.nobody())


PEERS = {"delivery.providers.smtp.SMTPProvider": SMTPPeer}


@pytest.fixture(params=sorted({entry["PROVIDER"] for entry in settings.DELIVERY_CHANNELS.values()}))
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    """The provider and its peer; a new provider that has none here fails."""
    with mail.MailServer() as server:
        yield PEERS[request.param](server)


def message(number: int, address: str = "alice@example.com", **fields: str) -> Message:
    plain = Message(
        key=f"key.{number}",
        address=address,
        subject=f"Subject {number}",
        text="Text",
        html="<p>Text</p>",
        trace_id="trace-of-the-test",
    )
    return dataclasses.replace(plain, **fields)


def results(outcomes: Iterator[Outcome]) -> list[Result]:
    return [outcome.result for outcome in outcomes]


def test_one_outcome_for_each_message_in_order(peer: Peer) -> None:
    sent = list(peer.provider.send([message(n) for n in range(5)]))
    assert [outcome.result for outcome in sent] == [Result.SENT] * 5
    assert peer.keys() == [f"key.{n}" for n in range(5)]


def test_nothing_to_send_is_no_outcome(peer: Peer) -> None:
    assert list(peer.provider.send([])) == []


BAD_ADDRESSES = [
    "",
    " ",
    "nobody",
    "a\x00b@example.com",
    "a\nb@example.com",
    "a\r\nRSET\r\nb@example.com",
    "a@example.com\n",
    "a>b@example.com",
    "a@example.com> SIZE=9",
    "ünï@example.com",
    "a@exämple.com",
    "\ud800@example.com",
    "a" * 2000 + "@example.com",
]


@pytest.mark.parametrize("address", BAD_ADDRESSES, ids=lambda address: ascii(address)[:24])
def test_a_bad_address_is_an_outcome_and_the_others_go_through(peer: Peer, address: str) -> None:
    said = results(peer.provider.send([message(1), message(2, address), message(3)]))
    assert (said[0], said[2]) == (Result.SENT, Result.SENT)
    assert said[1] in (Result.FAILED, Result.GONE)
    assert peer.keys() == ["key.1", "key.3"]


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "x" * 2_000_000, "html": "y" * 2_000_000},
        {"text": ".\r\n..\r\n.", "html": ".\r\n.\r\n"},
        {"text": "a\x00b", "html": "a\x00b"},
        {"text": "🛎 " * 500, "html": "<p>🛎</p>"},
        {"subject": "ünï — 🛎 " * 20},
        {"subject": "a\u2028b\x0bc\x85d"},
        {"subject": ""},
        {"subject": "=?utf-8?q?x?="},
    ],
)
def test_odd_content_is_sent(peer: Peer, fields: dict[str, str]) -> None:
    assert results(peer.provider.send([message(1, **fields), message(2)])) == [Result.SENT, Result.SENT]
    assert peer.keys() == ["key.1", "key.2"]


@pytest.mark.parametrize("fields", [{"text": "\ud800"}, {"html": "\ud800"}, {"trace_id": "a\nb"}])
def test_content_that_cannot_be_written_fails_alone(peer: Peer, fields: dict[str, str]) -> None:
    assert results(peer.provider.send([message(1, **fields), message(2)])) == [Result.FAILED, Result.SENT]
    assert peer.keys() == ["key.2"]


@pytest.mark.parametrize("how", ["silent", "hangup"])
def test_no_answer_after_the_whole_message_was_written_is_unknown(peer: Peer, how: str) -> None:
    said = results(peer.provider.send([message(1), message(2, peer.breaks(how)), message(3)]))
    assert said == [Result.SENT, Result.UNKNOWN, Result.SENT]
    assert peer.keys() == ["key.1", "key.2", "key.3"]


def test_nobody_there_is_a_retry_for_each(peer: Peer) -> None:
    assert results(peer.away().send([message(1), message(2)])) == [Result.RETRY, Result.RETRY]


def test_the_key_is_the_same_at_every_attempt(peer: Peer) -> None:
    for _ in range(2):
        assert results(peer.provider.send([message(7)])) == [Result.SENT]
    assert peer.keys() == ["key.7", "key.7"]


def test_it_sends_no_further_than_the_caller_looks(peer: Peer) -> None:
    outcomes = peer.provider.send([message(n) for n in range(3)])
    assert peer.keys() == []
    assert next(outcomes).result == Result.SENT
    assert peer.keys() == ["key.0"]
    outcomes.close()  # type: ignore[attr-defined]
    assert list(outcomes) == []
    assert peer.keys() == ["key.0"]


def test_one_provider_serves_batch_after_batch(peer: Peer) -> None:
    for number in range(3):
        assert results(peer.provider.send([message(number)])) == [Result.SENT]
    assert peer.keys() == ["key.0", "key.1", "key.2"]


def test_what_is_private_is_not_in_a_repr(peer: Peer) -> None:
    shown = repr(message(1, subject="private", text="private", html="private", address="private@example.com"))
    assert "private" not in shown
    assert "key.1" in shown


@pytest.mark.parametrize("channel", sorted(settings.DELIVERY_CHANNELS))
def test_a_call_fits_into_a_lease(channel: str) -> None:
    provider = import_string(settings.DELIVERY_CHANNELS[channel]["PROVIDER"]).from_settings()
    assert provider.timeout < settings.LEASE.total_seconds()
