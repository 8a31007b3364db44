"""Configuration that cannot work refuses to start, with a sentence that says what to set."""

import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.utils.module_loading import import_string

_RATE = re.compile(r"^[1-9]\d*/(s|sec|m|min|h|hour|d|day)$")
_LOCAL = {"", "localhost", "127.0.0.1", "::1"}


@register
def check_settings(**_: Any) -> list[CheckMessage]:
    """Every rule below, on the settings as they are."""
    return [Error(text, id=f"bellhop.E{number:03}") for number, text in _problems()]


def _problems() -> Iterator[tuple[int, str]]:
    if settings.DEMO and settings.PUBLIC_URL.startswith("https://"):
        yield 1, "DEMO=1 makes users with known passwords; unset it where PUBLIC_URL is public."
    database = settings.DATABASES["default"]
    host = str(database.get("HOST") or "")
    remote = host not in _LOCAL and not host.startswith("/")
    if remote and database.get("OPTIONS", {}).get("sslmode") != "verify-full":
        yield (
            2,
            (
                f"PostgreSQL at {host} is on another machine: set DATABASE_CA_FILE to its CA certificate, or end "
                "DATABASE_URL with ?sslmode=verify-full&sslrootcert=..., so that the connection is verified."
            ),
        )
    for name in ("RATE_API", "RATE_LOGIN"):
        if not _RATE.match(getattr(settings, name)):
            yield 3, f"{name} must look like 600/min (s, min, hour or day)."
    if settings.LEASE.total_seconds() < 2 * settings.EMAIL_TIMEOUT:
        yield (
            4,
            f"LEASE_SECONDS must be at least {2 * settings.EMAIL_TIMEOUT}: a call to the mail server must fit into it.",
        )
    for origin in settings.ALLOWED_ORIGINS:
        if not re.match(r"^https?://[^/]+$", origin):
            yield (
                5,
                f"ALLOWED_ORIGINS: {origin!r} must be scheme, host and port only, like https://app.example.com.",
            )
    for name, entry in settings.DELIVERY_CHANNELS.items():
        try:
            import_string(entry["CLASS"])
            import_string(entry["PROVIDER"]).from_settings()
        except (ImportError, ValueError) as error:
            yield 6, f"Channel {name!r}: {error}"
