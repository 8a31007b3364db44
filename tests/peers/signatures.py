"""Checking a JWT (RFC 7519) by hand, not with the library that made it."""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature


def unpadded(text: str) -> bytes:
    """URL-safe base64 without padding."""
    assert "=" not in text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verified(token: str, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims. Raises InvalidSignature."""
    header, claims, signature = token.split(".")
    signed, given = f"{header}.{claims}".encode(), unpadded(signature)
    told = json.loads(unpadded(header))
    if isinstance(key, rsa.RSAPublicKey):
        assert told["alg"] == "RS256"
        key.verify(given, signed, padding.PKCS1v15(), hashes.SHA256())
    else:
        assert (told["alg"], len(given)) == ("ES256", 64)
        pair = int.from_bytes(given[:32], "big"), int.from_bytes(given[32:], "big")
        key.verify(encode_dss_signature(*pair), signed, ec.ECDSA(hashes.SHA256()))
    return told, json.loads(unpadded(claims))
