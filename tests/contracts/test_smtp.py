"""SMTP's own rules: TLS, signing in, replies at each step, and what a mail looks like."""

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from delivery.providers.smtp import FULL_MAILBOX, GREYLIST, Server, SMTPProvider
from notifications.values import Message, Outcome, Result
from tests import mail


def provider(url: str) -> SMTPProvider:
    return SMTPProvider(server=Server.parse(url), sender="Bellhop <bellhop@example.com>", timeout=2)


def message(address: str, key: str = "key.1") -> Message:
    return Message(
        key=key,
        address=address,
        subject="Wässer — 🛎",
        text="Text: ü\n.\n",
        html="<p>&lt;b&gt;</p>",
        trace_id="trace-of-the-test",
    )


def send(url: str, *addresses: str) -> list[Outcome]:
    return list(provider(url).send([message(address, key=f"key.{n}") for n, address in enumerate(addresses)]))


def test_each_recipient_has_an_outcome_of_its_own_on_one_connection() -> None:
    people = ["alice", "later", "full", "gone", "blocked", "refuse", "bob"]
    with mail.MailServer() as server:
        outcomes = send(server.url, *(f"{name}@example.com" for name in people))
        assert server.connections == 1
        assert [str(m["To"]) for m in server.received] == ["alice@example.com", "bob@example.com"]
    assert [(o.result, o.code, o.retry_after) for o in outcomes] == [
        (Result.SENT, "250", None),
        (Result.RETRY, "4.2.0", GREYLIST),
        (Result.RETRY, "4.2.2", FULL_MAILBOX),
        (Result.GONE, "5.1.1", None),
        (Result.CONFIG, "5.7.1", None),
        (Result.CONFIG, "5.6.0", None),
        (Result.SENT, "250", None),
    ]
    assert outcomes[0].provider_id == "stored as 42"


def test_what_a_mail_looks_like() -> None:
    with mail.MailServer() as server:
        send(server.url, "alice@example.com")
        (received,) = server.received
    assert {name: str(received[name]) for name in ("From", "To", "Subject", "Message-ID", "X-Request-ID")} == {
        "From": "Bellhop <bellhop@example.com>",
        "To": "alice@example.com",
        "Subject": "Wässer — 🛎",
        "Message-ID": "<key.0@example.com>",
        "X-Request-ID": "trace-of-the-test",
    }
    assert received["Auto-Submitted"] == "auto-generated"
    text, html = received.iter_parts()
    assert (text.get_content_type(), text.get_content()) == ("text/plain", "Text: ü\r\n.\r\n")
    assert (html.get_content_type(), html.get_content()) == ("text/html", "<p>&lt;b&gt;</p>\r\n")


def test_a_lost_connection_is_made_again_for_the_next_message() -> None:
    with mail.MailServer() as server:
        outcomes = send(server.url, "hangup@example.com", "alice@example.com")
        assert server.connections == 2
    assert [o.result for o in outcomes] == [Result.UNKNOWN, Result.SENT]
    assert outcomes[0].code == "disconnected"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of our own for 127.0.0.1, in one file."""
    directory = tmp_path_factory.mktemp("tls")
    key, signed, both = directory / "key.pem", directory / "signed.pem", directory / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(signed)),
        ],
        check=True,
        capture_output=True,
    )
    both.write_bytes(key.read_bytes() + signed.read_bytes())
    return both


@pytest.fixture
def secured(certificate: Path) -> Iterator[mail.MailServer]:
    """A server that takes mail only after STARTTLS and signing in as me/s3cret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with mail.MailServer(user="me", password="s3cret", tls=context) as server:
        yield server


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installation does that has its own authority: OpenSSL's own variable."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


def url_of(server: mail.MailServer, *, login: str = "me:s3cret@", security: str = "+tls") -> str:
    return f"smtp{security}://{login}127.0.0.1:{server.port}"


def test_a_trusted_server_gets_the_sign_in_and_the_mail(secured: mail.MailServer, trusted: None) -> None:
    (outcome,) = send(url_of(secured), "alice@example.com")
    assert (outcome.result, len(secured.received)) == (Result.SENT, 1)


def test_a_server_that_nobody_vouches_for_gets_nothing(secured: mail.MailServer) -> None:
    outcomes = send(url_of(secured), "alice@example.com", "bob@example.com")
    assert [(o.result, o.code) for o in outcomes] == [(Result.CONFIG, "tls")] * 2
    assert secured.received == []


def test_a_wrong_password_is_our_own_mistake_and_is_not_shown(secured: mail.MailServer, trusted: None) -> None:
    (outcome,) = send(url_of(secured, login="me:wr0ng@"), "alice@example.com")
    assert (outcome.result, outcome.code) == (Result.CONFIG, "535")
    assert "wr0ng" not in repr(outcome)
    assert secured.received == []


def test_a_server_that_asks_for_a_sign_in_and_gets_none_is_our_own_mistake(
    secured: mail.MailServer, trusted: None
) -> None:
    (outcome,) = send(url_of(secured, login=""), "alice@example.com")
    assert (outcome.result, outcome.code) == (Result.CONFIG, "5.7.0")


def test_a_server_without_tls_never_sees_the_password() -> None:
    with mail.MailServer() as server:
        (outcome,) = send(url_of(server), "alice@example.com")
        assert server.received == []
    assert (outcome.result, outcome.code) == (Result.CONFIG, "unsupported")
