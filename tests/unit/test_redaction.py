"""What is written down and shown of a provider's answer and of an address."""

import pytest

from notifications.redaction import mask, redact

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL2V4YW1wbGUuY29tIn0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("401 for Authorization: Bearer abc.def-123456", "401 for Authorization: Bearer ***"),
        ('{"authorization": "Bearer abcdefgh"}', '{"authorization": "Bearer ***"}'),
        ("bearer abcdefgh1234=", "bearer ***"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
        ("Authorization: abc", "Authorization: ***"),
        (f"vapid t={JWT}, k=BPq", "vapid t=***, k=BPq"),
        ("Authorization: key=AAAA1234:secret", "Authorization: ***"),
        ("key=AAAA1234:secret", "key=***"),
        ("no route to https://user:pa55@mail.example:465/x", "no route to https://***@mail.example:465/x"),
        ("smtps://apikey@mail.example", "smtps://***@mail.example"),
        ("GET /hook?token=abc&user=1", "GET /hook?token=***&user=1"),
        ('{"client_secret": "abc", "code": 7}', '{"client_secret": "***", "code": 7}'),
        ("X-Api-Key: 12345; retry", "X-Api-Key: ***; retry"),
        ("password='hunter2'", "password='***'"),
        (f"invalid {JWT} given", "invalid *** given"),
        ("registration " + "a1-_" * 12 + ":tail", "registration ***:tail"),
    ],
)
def test_credentials_are_taken_out(said: str, kept: str) -> None:
    assert redact(said) == kept
    assert redact(kept) == kept


@pytest.mark.parametrize(
    "said",
    [
        "",
        "250 2.0.0 Ok: queued as 4XyZ1234",
        "550 5.1.1 <alice@example.com>: Recipient address rejected: User unknown",
        "550-5.7.1 see https://support.example.com/mail/?p=NoSuchUser",
        "ConnectError: [Errno 111] Connection refused to mail.example.com:587",
        "The mail server refused our sign-in.",
        "Invalid registration token",
        "message 0194d2a000007000800000000000aaaa.17",
        "time is 10:00; ratio 3:1",
        "-" * 60 + "a" * 60,
    ],
)
def test_what_is_none_stays(said: str) -> None:
    assert redact(said) == said


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("alice@example.com", "a***@example.com"),
        ('"a@b"@example.com', '"***@example.com'),
        ("device:17", "device:17"),
        ("device:17@example.com", "d***@example.com"),
        ("https://push.example/abc", "http***"),
        ("", "***"),
    ],
)
def test_an_address_is_recognised_and_not_told(address: str, shown: str) -> None:
    assert mask(address) == shown
