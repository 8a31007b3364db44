"""Encryption against the RFC's own example; texts that fit; addresses that may be called."""

import base64
from io import StringIO
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import call_command

from delivery import addresses
from delivery.providers import aes128gcm, payloads, vapid
from notifications.values import Message


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode("".join(text.split()) + "==")


def test_the_example_of_rfc_8291() -> None:
    """Section 5 and appendix A."""
    number = int.from_bytes(decoded("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big")
    body = aes128gcm.encrypt(
        b"When I grow up, I want to be a watermelon",
        p256dh=decoded("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
        auth=decoded("BTBZMqHH6r4Tts7J_aSIgg"),
        key=ec.derive_private_key(number, ec.SECP256R1()),
        salt=decoded("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert body == decoded(
        """DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml
           mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT
           pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"""
    )


def test_no_two_messages_are_encrypted_alike() -> None:
    p256dh = aes128gcm.public_bytes(ec.generate_private_key(ec.SECP256R1()))
    first, second = (aes128gcm.encrypt(b"x", p256dh=p256dh, auth=bytes(16)) for _ in range(2))
    assert first[:16] != second[:16]
    assert first[21:86] != second[21:86]
    assert len(aes128gcm.encrypt(b"x" * aes128gcm.LONGEST, p256dh=p256dh, auth=bytes(16))) == 4096


def message(**fields: Any) -> Message:
    told: dict[str, Any] = {
        "key": "key.1",
        "address": "",
        "subject": "Title",
        "text": "Text",
        "html": "",
        "trace_id": "t",
    } | fields
    return Message(**told)


def form(title: str, text: str) -> dict[str, str]:
    return {"title": title, "text": text}


@pytest.mark.parametrize("limit", [40, 41, 100, 3993])
@pytest.mark.parametrize("character", ["x", "ü", "🛎", "\x01", '"'])
def test_of_a_long_text_as_much_as_fits(character: str, limit: int) -> None:
    made = payloads.fit(message(text=character * 10_000), limit=limit, form=form)
    written = msgspec.json.encode(made)
    assert limit - 13 < len(written) <= limit
    assert made["text"] == character * (len(made["text"]) - 1) + "…"


def test_what_fits_is_not_touched() -> None:
    assert payloads.fit(message(text="x" * 50), limit=100, form=form) == {"title": "Title", "text": "x" * 50}


def test_a_title_is_one_short_line() -> None:
    made = payloads.fit(message(subject="a\n b\u2028c " + "x" * 500, text=""), limit=3993, form=form)
    assert made["title"] == "a b c " + "x" * (payloads.TITLE - 6)


def test_what_can_never_fit_says_so() -> None:
    with pytest.raises(payloads.TooLarge):
        payloads.fit(message(text="x" * 100), limit=10, form=form)


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("2002:7f00:1::", False),  # 6to4 of 127.0.0.1
        ("64:ff9b::7f00:1", False),  # NAT64 of 127.0.0.1
        ("64:ff9b::5db8:d822", True),
    ],
)
def test_which_addresses_may_be_called(address: str, may: bool) -> None:
    assert addresses.may_call(address, allowed=()) is may


def test_allowed_networks() -> None:
    allowed = addresses.networks(["10.1.0.0/16", "::1/128"])
    asked = ("10.1.2.3", "::ffff:10.1.2.3", "10.2.0.1", "::1", "127.0.0.1")
    assert [addresses.may_call(address, allowed=allowed) for address in asked] == [True, True, False, True, False]
    with pytest.raises(ValueError, match=r"^ALLOWED_NETWORKS must be networks like 10.1.0.0/16: "):
        addresses.networks(["10.1.2.3/16"])


def test_the_command_prints_a_key_that_works() -> None:
    said = StringIO()
    call_command("vapid_keys", stdout=said)
    private, public = said.getvalue().splitlines()
    signer = vapid.Signer(private_key=private.removeprefix("VAPID_PRIVATE_KEY="), subject="mailto:a@example.com")
    assert public == f"# applicationServerKey: {signer.public_key}"
    assert (len(decoded(signer.public_key)), decoded(signer.public_key)[0]) == (65, 4)


@pytest.mark.parametrize("private_key", ["", "x", "A" * 43, "_" * 43, "ä" * 43])
def test_what_is_no_key_is_refused_in_a_sentence(private_key: str) -> None:
    with pytest.raises(ValueError, match=r"^VAPID_PRIVATE_KEY is no key: manage.py vapid_keys makes one.$"):
        vapid.Signer(private_key=private_key, subject="mailto:a@example.com")


def test_a_subject_that_push_services_refuse() -> None:
    with pytest.raises(ValueError, match=r"^VAPID_SUBJECT must begin with mailto: or https://"):
        vapid.Signer(private_key=vapid.generate(), subject="bellhop@example.com")
