"""Configuration that cannot work refuses to start, in one sentence."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from core import checks
from delivery.providers import vapid

pytestmark = pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")  # nothing here connects

KEY = vapid.generate()
REMOTE = {"HOST": "db.example.com", "NAME": "bellhop"}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"DEMO": True, "PUBLIC_URL": "https://bellhop.example.com"}, "DEMO=1 makes users with known passwords"),
    ({"DATABASES": {"default": REMOTE}}, "PostgreSQL at db.example.com is on another machine"),
    ({"DATABASES": {"default": REMOTE | {"OPTIONS": {"sslmode": "require"}}}}, "so that the connection is verified"),
    ({"RATE_API": "many"}, "RATE_API must look like 600/min"),
    ({"RATE_LOGIN": "0/min"}, "RATE_LOGIN must look like 600/min"),
    ({"EMAIL_TIMEOUT": 60}, "LEASE_SECONDS is too short for EMAIL_TIMEOUT"),
    ({"ALLOWED_ORIGINS": ["https://a.example/path"]}, "'https://a.example/path' must be scheme, host and port only"),
    ({"EMAIL_URL": "mail://bellhop:hunter2@host:25"}, "Channel 'email': EMAIL_URL must look like smtp://host:25"),
    (
        {"DELIVERY_CHANNELS": {"pigeon": {"CLASS": "delivery.channels.pigeon.Pigeon", "PROVIDER": "x.Y"}}},
        "Channel 'pigeon': No module named 'delivery.channels.pigeon'",
    ),
]


def push(kind: str, **changed: Any) -> dict[str, Any]:
    """Settings of an installation that pushes to one kind of device."""
    names = {"webpush": "webpush.WebPushProvider", "fcm": "fcm.FCMProvider", "apns": "apns.APNSProvider"}
    entry = {"CLASS": "delivery.channels.push.PushChannel", "PROVIDER": "delivery.providers.push.PushProvider"}
    providers = {kind: f"delivery.providers.{names[kind]}"}
    return {"DELIVERY_CHANNELS": {"push": entry}, "PUSH_PROVIDERS": providers, "VAPID_PRIVATE_KEY": KEY} | changed


BAD += [
    (push("webpush", PUSH_TIMEOUT=60), "LEASE_SECONDS is too short for PUSH_TIMEOUT"),
    (push("webpush", VAPID_PRIVATE_KEY="hunter2"), "Channel 'push': VAPID_PRIVATE_KEY is no key"),
    (push("webpush", VAPID_SUBJECT="me@example.com"), "VAPID_SUBJECT must begin with mailto: or https://"),
    (push("webpush", ALLOWED_NETWORKS=["10.0.0.1/8"]), "ALLOWED_NETWORKS must be networks like 10.1.0.0/16"),
    (push("fcm", FCM_CREDENTIALS_FILE="/missing.json"), "FCM_CREDENTIALS_FILE must be the JSON file"),
    (push("apns", APNS_KEY_FILE="/missing.p8"), "APNS_KEY_FILE must be the .p8 file"),
]
GOOD: list[dict[str, Any]] = [
    push("webpush"),
    {},
    {"DATABASES": {"default": REMOTE | {"OPTIONS": {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}}}},
    {"DATABASES": {"default": REMOTE | {"OPTIONS": {"sslmode": "disable"}}}},
    {"DEMO": True},
    {"EMAIL_URL": "smtps://user:password@mail.example.com"},
]


@pytest.mark.parametrize(("changed", "sentence"), BAD, ids=[sentence[:30] for _, sentence in BAD])
def test_refused(changed: dict[str, Any], sentence: str) -> None:
    with override_settings(**changed), pytest.raises(ImproperlyConfigured) as error:
        checks.refuse()
    assert sentence in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("changed", GOOD)
def test_accepted(changed: dict[str, Any]) -> None:
    with override_settings(**changed):
        checks.refuse()
