"""What every provider promises, run against a real peer of each. Their own rules are in the files beside this one."""

import dataclasses
import importlib
import inspect
import logging
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils.module_loading import import_string

from delivery import providers
from notifications.values import Message, Outcome, Result
from tests.peers.authority import Authority
from tests.peers.ends import ENDS, HASTY, End

IN_THIS_PROCESS = {"delivery.providers.memory.MemoryProvider"}  # no message leaves it: there is no other end


@pytest.fixture(params=sorted(ENDS))
def end(request: pytest.FixtureRequest, authority: Authority, tmp_path: Path) -> Iterator[End]:
    """A running peer."""
    made = ENDS[request.param](authority, tmp_path)
    with made.running():
        yield made


def test_every_provider_has_a_peer() -> None:
    found = set()
    for module in pkgutil.iter_modules(providers.__path__, "delivery.providers."):
        for name, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name and hasattr(kind, "from_settings"):
                found.add(f"{module.name}.{name}")
    assert found - IN_THIS_PROCESS == set(ENDS)


def message(number: int, address: str, **fields: Any) -> Message:
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


def to(end: End, *names: str, start: int = 0) -> list[Message]:
    return [message(number, end.address(name)) for number, name in enumerate(names, start)]


def test_one_outcome_for_each_message_in_order(end: End) -> None:
    said = list(end.provider().send(to(end, "alice", "gone", "bob", "busy", "carol")))
    busy, wait = end.busy
    assert [outcome.result for outcome in said] == [Result.SENT, Result.GONE, Result.SENT, busy, Result.SENT]
    assert {"key.0", "key.2", "key.4"} <= set(end.keys)
    assert [outcome.retry_after for outcome in said] == [None, None, None, wait, None]


def test_more_than_go_at_once(end: End) -> None:
    number = end.provider().at_once + 5
    assert results(end.provider().send(to(end, *["alice"] * number))) == [Result.SENT] * number
    assert end.keys == sorted(f"key.{n}" for n in range(number))


def test_nothing_to_send_is_no_outcome(end: End) -> None:
    assert list(end.provider().send([])) == []


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
    "[" * 20_000,
    "null",
    '{"kind": 1}',
    '{"kind": "webpush"}',
    '{"kind": "fcm", "token": null}',
    '{"kind": "apns", "token": {}}',
]


@pytest.mark.parametrize("address", BAD_ADDRESSES, ids=lambda address: ascii(address)[:24])
def test_a_bad_address_is_an_outcome_and_the_others_go_through(end: End, address: str) -> None:
    first, last = to(end, "alice", start=1), to(end, "bob", start=3)
    said = results(end.provider().send([*first, message(2, address), *last]))
    assert (said[0], said[2]) == (Result.SENT, Result.SENT)
    assert said[1] in (Result.FAILED, Result.GONE)
    assert end.keys == ["key.1", "key.3"]


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "x" * 2_000_000, "html": "y" * 2_000_000},
        {"text": ".\r\n..\r\n.", "html": ".\r\n.\r\n"},
        {"text": "a\x00b", "html": "a\x00b"},
        {"text": "🛎 " * 5000, "html": "<p>🛎</p>"},
        {"subject": "ünï — 🛎 " * 20},
        {"subject": "a\u2028b\x0bc\x85d"},
        {"subject": ""},
        {"subject": "=?utf-8?q?x?="},
    ],
    ids=lambda fields: ascii(fields)[:24],
)
def test_odd_content_is_sent(end: End, fields: dict[str, str]) -> None:
    said = results(end.provider().send([message(1, end.address("alice"), **fields), message(2, end.address("bob"))]))
    assert said == [Result.SENT, Result.SENT]
    assert end.keys == ["key.1", "key.2"]


def test_content_that_cannot_be_written_fails_alone(end: End) -> None:
    for number, fields in enumerate(end.unwritable):
        bad, good = message(90, end.address("alice"), **fields), message(number, end.address("bob"))
        assert results(end.provider().send([bad, good])) == [Result.FAILED, Result.SENT]
    assert end.keys == [f"key.{n}" for n in range(len(end.unwritable))]


@pytest.mark.parametrize("how", ["silent", "hangup"])
def test_no_answer_after_the_whole_message_was_written_is_unknown(end: End, how: str) -> None:
    said = list(end.provider(limit=HASTY).send(to(end, "alice", how, "bob", start=1)))
    assert [outcome.result for outcome in said] == [Result.SENT, Result.UNKNOWN, Result.SENT]
    assert not said[1].provider_away
    assert end.keys == ["key.1", "key.2", "key.3"]


def test_nobody_there_is_a_retry_for_each(end: End) -> None:
    nobody = end.other()
    said = list(nobody.provider().send(to(nobody, "alice", "bob")))
    assert [(outcome.result, outcome.provider_away) for outcome in said] == [(Result.RETRY, True)] * 2


def test_somebody_who_never_says_a_word_is_a_retry_within_the_time_out(end: End) -> None:
    listener = end.other()
    with listener.mute():
        said = list(listener.provider(limit=0.5).send(to(listener, "alice", "bob")))
    assert [(outcome.result, outcome.provider_away) for outcome in said] == [(Result.RETRY, True)] * 2


def test_the_key_is_the_same_at_every_attempt(end: End) -> None:
    for _ in range(2):
        assert results(end.provider().send(to(end, "alice", start=7))) == [Result.SENT]
    assert end.keys == ["key.7", "key.7"]


def test_it_takes_no_more_than_it_may_before_it_answers(end: End) -> None:
    provider = end.provider()
    taken = 0

    def feed() -> Iterator[Message]:
        nonlocal taken
        for one in to(end, *["alice"] * (provider.at_once + 2)):
            taken += 1
            yield one

    outcomes = provider.send(feed())
    assert (taken, end.keys) == (0, [])
    assert next(outcomes).result == Result.SENT
    outcomes.close()  # type: ignore[attr-defined]
    assert list(outcomes) == []
    assert taken == len(end.keys) == provider.at_once


def test_one_provider_serves_batch_after_batch(end: End) -> None:
    provider = end.provider()
    for number in range(3):
        assert results(provider.send(to(end, "alice", start=number))) == [Result.SENT]
    assert end.keys == ["key.0", "key.1", "key.2"]


def test_what_is_private_is_not_in_a_repr() -> None:
    secrets = dict.fromkeys(("subject", "text", "html", "url", "collapse", "unsubscribe"), "private")
    shown = repr(message(1, "private@example.com", **secrets))
    assert "private" not in shown
    assert "key.1" in shown


def test_no_secret_is_shown_or_logged(end: End, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    provider = end.provider(limit=HASTY)
    outcomes = list(provider.send(to(end, "alice", "gone", "silent")))
    said = f"{provider!r} {outcomes!r} {caplog.text}"
    assert len(end.secrets) > 0
    assert [secret for secret in end.secrets if secret in said] == []


@pytest.mark.parametrize("channel", sorted(settings.DELIVERY_CHANNELS))
def test_a_call_fits_into_a_lease(channel: str) -> None:
    provider = import_string(settings.DELIVERY_CHANNELS[channel]["PROVIDER"]).from_settings()
    assert provider.timeout < settings.LEASE.total_seconds()
