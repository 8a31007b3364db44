"""Encrypting a push message for one browser: RFC 8291 over RFC 8188, in one record."""

import os

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RECORD = 4096  # a push service need not take more (RFC 8030, 7.2)
HEADER = 16 + 4 + 1 + 65  # salt, record size, length of the key id, the key itself
LONGEST = RECORD - HEADER - 17  # 3993 bytes: a tag of 16 and the mark of the last record stand in the record too


def encrypt(
    plain: bytes,
    *,
    p256dh: bytes,
    auth: bytes,
    key: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """
    The body for the browser whose subscription has these keys. Key and salt are new for every message, but where a
    test gives those of RFC 8291, appendix A. Raises ValueError when `p256dh` is not a point of the curve.
    """
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), p256dh)
    key = key or ec.generate_private_key(ec.SECP256R1())
    salt = salt or os.urandom(16)
    ours = public_bytes(key)
    shared = _derived(key.exchange(ec.ECDH(), theirs), salt=auth, info=b"WebPush: info\0" + p256dh + ours, length=32)
    content_key = _derived(shared, salt=salt, info=b"Content-Encoding: aes128gcm\0", length=16)
    nonce = _derived(shared, salt=salt, info=b"Content-Encoding: nonce\0", length=12)
    header = salt + RECORD.to_bytes(4, "big") + bytes([len(ours)]) + ours
    return header + AESGCM(content_key).encrypt(nonce, plain + b"\x02", None)


def public_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public key as 65 bytes, as browsers want it."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _derived(secret: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)
