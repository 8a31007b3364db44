"""VAPID (RFC 8292): the key by which push services know this installation."""

import base64
from datetime import datetime, timedelta
from functools import lru_cache

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from delivery.providers.aes128gcm import public_bytes

# RFC 8292, 2 allows a day; Apple wants a token kept for an hour at least. In seconds.
_KEPT = 3600
_VALID = timedelta(hours=12).total_seconds()


class Signer:
    """Signs calls with the installation's key. Never shows it."""

    def __init__(self, *, private_key: str, subject: str) -> None:
        """The key as `manage.py vapid_keys` prints it. Raises ValueError with a sentence."""
        try:
            number = int.from_bytes(decoded(private_key, length=32), "big")
            key = ec.derive_private_key(number, ec.SECP256R1())
        except ValueError:
            raise ValueError("VAPID_PRIVATE_KEY is no key: manage.py vapid_keys makes one.") from None
        if not subject.startswith(("mailto:", "https://")):
            raise ValueError("VAPID_SUBJECT must begin with mailto: or https:// (RFC 8292, 2.1).")
        self.public_key = encoded(public_bytes(key))

        @lru_cache(maxsize=256)
        def header(origin: str, period: int) -> str:
            claims = {"aud": origin, "exp": int((period + 1) * _KEPT + _VALID), "sub": subject}
            return f"vapid t={jwt.encode(claims, key, algorithm='ES256')}, k={self.public_key}"

        self._header = header

    def authorization(self, origin: str, *, now: datetime) -> str:
        """The header for a push service: the same for an hour, valid for half a day."""
        return self._header(origin, int(now.timestamp()) // _KEPT)


def generate() -> str:
    """A new private key."""
    return encoded(ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(32, "big"))


def encoded(data: bytes) -> str:
    """URL-safe base64 without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str, *, length: int) -> bytes:
    """The bytes, of which there must be so many. Raises ValueError."""
    data = base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    if len(data) != length:
        raise ValueError("another length")
    return data
