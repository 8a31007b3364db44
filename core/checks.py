"""Configuration that cannot work refuses to start, with a sentence that says what to set."""

import re
from collections.abc import Iterator

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

_RATE = re.compile(r"^[1-9]\d*/(s|sec|m|min|h|hour|d|day)$")
_LOCAL = {"", "localhost", "127.0.0.1", "::1"}


def refuse() -> None:
    """Raise ImproperlyConfigured, naming everything that is wrong. Every process calls it when it starts."""
    if problems := list(_problems()):
        raise ImproperlyConfigured(" ".join(problems))


def _problems() -> Iterator[str]:
    if settings.DEMO and settings.PUBLIC_URL.startswith("https://"):
        yield "DEMO=1 makes users with known passwords; unset it where PUBLIC_URL is public."
    database = settings.DATABASES["default"]
    host = str(database.get("HOST") or "")
    remote = host not in _LOCAL and not host.startswith("/")
    if remote and database.get("OPTIONS", {}).get("sslmode") not in ("verify-full", "disable"):
        yield (
            f"PostgreSQL at {host} is on another machine: set DATABASE_CA_FILE to its CA certificate, or end "
            "DATABASE_URL with ?sslmode=verify-full&sslrootcert=..., so that the connection is verified; "
            "?sslmode=disable says that the network between them is trusted."
        )
    for name in ("RATE_API", "RATE_LOGIN"):
        if not _RATE.match(getattr(settings, name)):
            yield f"{name} must look like 600/min (s, min, hour or day)."
    # A task may start a call for 2 s (dispatch.TIME_BOX) and is stopped at 0.45 of the lease (core/celery.py).
    if 0.45 * settings.LEASE.total_seconds() < 2 + 3 * settings.EMAIL_TIMEOUT:
        yield "LEASE_SECONDS is too short for EMAIL_TIMEOUT: it must be at least (2 + 3 * EMAIL_TIMEOUT) / 0.45."
    if settings.PUSH_PROVIDERS and 0.45 * settings.LEASE.total_seconds() < 2 + 2 * settings.PUSH_TIMEOUT:
        yield "LEASE_SECONDS is too short for PUSH_TIMEOUT: it must be at least (2 + 2 * PUSH_TIMEOUT) / 0.45."
    for origin in settings.ALLOWED_ORIGINS:
        if not re.match(r"^https?://[^/]+$", origin):
            yield f"ALLOWED_ORIGINS: {origin!r} must be scheme, host and port only, like https://app.example.com."
    for name, entry in settings.DELIVERY_CHANNELS.items():
        try:
            import_string(entry["CLASS"])
            for provider in (entry["PROVIDER"], *entry.get("FALLBACKS", ())):
                import_string(provider).from_settings()
        except (ImportError, ValueError) as error:
            yield f"Channel {name!r}: {error}"
