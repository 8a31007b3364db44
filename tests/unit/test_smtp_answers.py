"""What a mail server's replies mean, and how its address is written."""

from datetime import timedelta

import pytest

from delivery.providers.smtp import FULL_MAILBOX, GREYLIST, BadAddress, Server, SMTPProvider, classify
from notifications.values import Outcome, Result

CONFIG, FAILED, GONE, RETRY = Result.CONFIG, Result.FAILED, Result.GONE, Result.RETRY


@pytest.mark.parametrize(
    ("code", "reply", "result", "short", "retry_after"),
    [
        (421, b"Service not available", RETRY, "421", GREYLIST),
        (421, b"4.7.0 Try again later", RETRY, "4.7.0", GREYLIST),
        (450, b"4.2.0 Greylisted", RETRY, "4.2.0", GREYLIST),
        (451, b"4.7.1 Greylisting in action", RETRY, "4.7.1", GREYLIST),
        (451, b"Local error in processing", RETRY, "451", GREYLIST),
        (452, b"Insufficient storage", RETRY, "452", GREYLIST),
        (452, b"4.2.2 Over quota", RETRY, "4.2.2", FULL_MAILBOX),
        (552, b"5.2.2 Mailbox full", RETRY, "5.2.2", FULL_MAILBOX),
        (552, b"Exceeded storage allocation", RETRY, "552", FULL_MAILBOX),
        (550, b"5.2.2 Mailbox full", RETRY, "5.2.2", FULL_MAILBOX),
        (550, b"5.1.1 No such user", GONE, "5.1.1", None),
        (550, b"5.1.10 Null MX", GONE, "5.1.10", None),
        (553, b"5.1.3 Bad address syntax", GONE, "5.1.3", None),
        (550, b"No such user here", GONE, "550", None),
        (551, b"User not local", GONE, "551", None),
        (553, b"Mailbox name not allowed", GONE, "553", None),
        (550, b"5.7.1 Blocked by policy", CONFIG, "5.7.1", None),
        (550, b"5.7.26 Unauthenticated mail", CONFIG, "5.7.26", None),
        (554, b"Transaction failed", CONFIG, "554", None),
        (554, b"5.7.1 On a blocklist", CONFIG, "5.7.1", None),
        (530, b"5.7.0 Authentication required", CONFIG, "5.7.0", None),
        (535, b"5.7.8 Bad credentials", CONFIG, "5.7.8", None),
        (530, b"Authentication required", CONFIG, "530", None),
        (500, b"Syntax error", FAILED, "500", None),
        (501, b"5.5.4 Invalid arguments", FAILED, "5.5.4", None),
        (555, b"Parameters not recognised", FAILED, "555", None),
        (550, b"5.3.4 Message too big", FAILED, "5.3.4", None),
        (550, b"5.6.0 Bad content", FAILED, "5.6.0", None),
        # Text that only looks like an enhanced code.
        (550, b"5 users match", GONE, "550", None),
    ],
)
def test_what_a_reply_means(code: int, reply: bytes, result: Result, short: str, retry_after: timedelta | None) -> None:
    detail = reply.decode()
    assert classify(code, reply) == Outcome(result, code=short, detail=detail, retry_after=retry_after)


@pytest.mark.parametrize(
    ("about", "reply", "result"),
    [
        ("MAIL", b"No such sender", CONFIG),
        ("MAIL", b"5.1.1 No such user", CONFIG),
        ("RCPT", b"5.1.7 Bad sender's mailbox", CONFIG),
        ("RCPT", b"5.1.8 Bad sender's system", CONFIG),
        ("DATA", b"This looks like spam", FAILED),
        ("DATA", b"5.1.1 No such user", GONE),
    ],
)
def test_what_speaks_of_the_sender_or_the_content_says_nothing_of_the_address(
    about: str, reply: bytes, result: Result
) -> None:
    assert classify(550, reply, about=about).result == result


def test_a_greylisting_server_is_left_alone_for_a_minute_and_a_full_mailbox_for_hours() -> None:
    assert (timedelta(seconds=60), timedelta(hours=6)) == (GREYLIST, FULL_MAILBOX)


def test_what_a_server_says_is_kept_short_and_on_one_line() -> None:
    outcome = classify(550, b"5.1.1 No\n\xff" + b"x" * 500)
    assert outcome.detail.startswith("5.1.1 No \N{REPLACEMENT CHARACTER}x")
    assert len(outcome.detail) == 200


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", Server("mail.example", 25, "", "", "")),
        ("smtp://127.0.0.1:1025", Server("127.0.0.1", 1025, "", "", "")),
        ("smtp+tls://me:secret@mail.example", Server("mail.example", 587, "me", "secret", "starttls")),
        ("smtps://me:secret@mail.example:10465", Server("mail.example", 10465, "me", "secret", "tls")),
        ("smtps://mail.example", Server("mail.example", 465, "", "", "tls")),
        ("smtp://me%40x:p%2Fw%3A%23@mail.example", Server("mail.example", 25, "me@x", "p/w:#", "")),
        ("smtp://[::1]:2525", Server("::1", 2525, "", "", "")),
    ],
)
def test_an_address_of_a_server(url: str, server: Server) -> None:
    assert Server.parse(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example",
        "http://mail.example",
        "smtp://",
        "smtp://:25",
        "smtp://me:sec/ret@mail.example",
        "smtp://mail.example:port",
        "smtp://mail.example:99999",
    ],
)
def test_what_is_no_address_says_what_one_looks_like_and_shows_no_password(url: str) -> None:
    with pytest.raises(BadAddress) as caught:
        Server.parse(url)
    assert str(caught.value).startswith("EMAIL_URL must look like smtp://host:25, ")
    assert "sec" not in str(caught.value)


def test_a_password_is_never_shown() -> None:
    server = Server.parse("smtps://me:s3cret@mail.example")
    provider = SMTPProvider(server=server, sender="us@example.com", timeout=1)
    assert "s3cret" not in repr(server) + repr(provider) + str(vars(provider))
