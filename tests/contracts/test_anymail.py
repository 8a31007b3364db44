"""An ESP's own rules, with Postmark's API at the other end."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import override_settings

from delivery.channels.base import Provider
from delivery.providers.anymail import AnymailProvider
from notifications.values import Message, Outcome, Result
from tests.peers.authority import Authority
from tests.peers.ends import AnymailEnd
from tests.peers.http import Answer, Drop
from tests.peers.postmark import inactive, invalid, refusal

ALICE = "alice@example.com"
LINK = "https://bellhop.example.com/unsubscribe/WzEsImVtYWlsIl0.abc"


@pytest.fixture
def end(authority: Authority, tmp_path: Path) -> Iterator[AnymailEnd]:
    made = AnymailEnd(authority, tmp_path)
    with made.running():
        yield made


def message(key: str = "key.1", **fields: str) -> Message:
    plain = {"subject": "Wässer — 🛎", "text": "Text", "html": "<p>Text</p>", "trace_id": "trace-1", "address": ALICE}
    return Message(key=key, **plain | fields)  # type: ignore[arg-type]


def send(end: AnymailEnd, *messages: Message) -> list[Outcome]:
    return list(end.provider(limit=3).send(messages or [message()]))


@pytest.mark.parametrize(
    ("answer", "result", "code", "retry_after"),
    [
        (invalid(ALICE), Result.GONE, "invalid", None),
        (inactive(ALICE), Result.FAILED, "rejected", None),
        (refusal(422, 300, "Invalid 'From' address: 'bellhop'."), Result.FAILED, "422", None),
        (refusal(422, 402, "Invalid JSON."), Result.FAILED, "422", None),
        (refusal(413, 0, "Payload Too Large"), Result.FAILED, "413", None),
        (refusal(401, 10, "Bad or missing API token"), Result.CONFIG, "401", None),
        (refusal(403, 0, "Forbidden"), Result.CONFIG, "403", None),
        (refusal(404, 0, "Not found"), Result.CONFIG, "404", None),
        (refusal(429, 0, "Rate limit", **{"retry-after": "17"}), Result.THROTTLED, "429", timedelta(seconds=17)),
        (refusal(429, 0, "Rate limit"), Result.THROTTLED, "429", None),
        (refusal(500, 0, "Internal Server Error"), Result.RETRY, "500", None),
        (refusal(503, 100, "Maintenance", **{"retry-after": "60"}), Result.RETRY, "503", timedelta(seconds=60)),
        (refusal(502, 0, "Bad Gateway"), Result.UNKNOWN, "502", None),
        (refusal(504, 0, "Gateway Timeout"), Result.UNKNOWN, "504", None),
        (Answer(200, b"<html>"), Result.UNKNOWN, "200", None),
        (Answer(200, b"{}"), Result.UNKNOWN, "200", None),
    ],
    ids=lambda value: f"{value.status}" if isinstance(value, Answer) else None,
)
def test_each_answer(end: AnymailEnd, answer: Answer, result: Result, code: str, retry_after: timedelta | None) -> None:
    end.peer.told["alice"] = answer
    (said,) = send(end)
    assert (said.result, said.code, said.retry_after, said.provider_away) == (result, code, retry_after, False)
    assert end.keys == ["key.1"]


def test_what_it_gets(end: AnymailEnd) -> None:
    (said,) = send(end, message(unsubscribe=LINK))
    assert said == Outcome(Result.SENT, code="sent", provider_id="id-of-key.1")
    (received,) = end.peer.received
    mail = received["mail"]
    assert (mail["From"], mail["To"]) == ("Bellhop <bellhop@localhost>", ALICE)
    assert (mail["Subject"], mail["TextBody"], mail["HtmlBody"]) == ("Wässer — 🛎", "Text", "<p>Text</p>")
    assert received["headers"] == {
        "Message-ID": "<key.1@localhost>",
        "X-Request-ID": "trace-1",
        "Auto-Submitted": "auto-generated",
        "List-Unsubscribe": f"<{LINK}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def test_what_cannot_be_switched_off_has_no_link(end: AnymailEnd) -> None:
    send(end)
    assert not [name for name in end.peer.received[0]["headers"] if name.startswith("List-")]


def test_many_go_side_by_side_over_connections_that_last(end: AnymailEnd) -> None:
    at_once = end.provider().at_once
    end.peer.hold = at_once  # nobody has an answer before all are there
    said = send(end, *[message(f"key.{n}") for n in range(2 * at_once)])
    assert [one.result for one in said] == [Result.SENT] * 2 * at_once
    assert end.peer.server.connections == at_once


def test_a_connection_that_is_cut_in_the_call_is_unknown(end: AnymailEnd) -> None:
    end.peer.told["alice"] = Drop()
    (said,) = send(end)
    assert (said.result, said.code, said.provider_away) == (Result.UNKNOWN, "disconnected", False)


def test_a_certificate_of_nobody_is_not_believed(end: AnymailEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    (said,) = send(end)
    assert (said.result, said.code, said.provider_away, end.keys) == (Result.RETRY, "tls", True, [])


def test_another_key_is_our_own_mistake(end: AnymailEnd) -> None:
    provider = end.provider()
    end.peer.token = "another"
    (said,) = provider.send([message()])
    assert (said.result, said.code) == (Result.CONFIG, "401")


def made(**values: object) -> Provider:
    with override_settings(**values):
        return AnymailProvider.from_settings()


def test_what_is_missing_is_said_in_a_sentence() -> None:
    with pytest.raises(
        ValueError, match=r"^EMAIL_ESP=anymail\.backends\.postmark\.EmailBackend: .*POSTMARK_SERVER_TOKEN"
    ):
        made(EMAIL_ESP="anymail.backends.postmark.EmailBackend", ANYMAIL={})
    with pytest.raises(ValueError, match=r"^EMAIL_ESP must name a mail backend, like "):
        made(EMAIL_ESP="")  # Django would take its own default


def test_in_development_mail_goes_to_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    console = made(EMAIL_ESP="django.core.mail.backends.console.EmailBackend")
    said = list(console.send([message(unsubscribe=LINK), message("key.2")]))
    assert said == [Outcome(Result.SENT, code="sent")] * 2
    shown = capsys.readouterr().out
    assert "Message-ID: <key.1@localhost>" in shown
    assert f"<{LINK}>" in shown
