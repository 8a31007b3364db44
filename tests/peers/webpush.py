"""A push service and the browsers behind it: checks VAPID (RFC 8292) and decrypts by itself (RFC 8291, RFC 8188)."""

import hmac
import json
import os
import time
from base64 import urlsafe_b64encode
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from delivery import addresses
from delivery.providers import vapid
from delivery.providers.webpush import WebPushProvider
from tests.peers.authority import Authority
from tests.peers.http import Answer, Request, Server
from tests.peers.orders import Peer
from tests.peers.signatures import unpadded, verified

CURVE = ec.SECP256R1()


def hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 for at most 32 bytes."""
    first = hmac.digest(salt, secret, "sha256")
    return hmac.digest(first, info + b"\x01", "sha256")[:length]


def raw(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def decrypt(body: bytes, *, key: ec.EllipticCurvePrivateKey, auth: bytes) -> bytes:
    """What the browser reads. Raises InvalidTag."""
    salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
    theirs, record = body[21 : 21 + length], body[21 + length :]
    assert len(record) <= size, "more than one record (RFC 8291, 4)"
    shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, theirs))
    secret = hkdf(auth, shared, b"WebPush: info\x00" + raw(key.public_key()) + theirs, 32)
    content_key = hkdf(salt, secret, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = hkdf(salt, secret, b"Content-Encoding: nonce\x00", 12)
    plain = AESGCM(content_key).decrypt(nonce, record, None).rstrip(b"\x00")
    assert plain[-1:] == b"\x02", "not marked as the last record (RFC 8188, 2)"
    return plain[:-1]


class PushService(Peer):
    """Use `server` as a context manager; `address(name)` subscribes a browser."""

    def __init__(self, authority: Authority, *, http2: bool = True) -> None:
        super().__init__()
        self.private_key = vapid.generate()
        self.signer = vapid.Signer(private_key=self.private_key, subject="mailto:bellhop@example.com")
        self.server = Server(self.handle, tls=authority.context(), http2=http2)
        self._browsers: dict[str, tuple[ec.EllipticCurvePrivateKey, bytes]] = {}
        self.tokens: set[str] = set()

    def provider(self, *, limit: float = 10, allowed: tuple[str, ...] = ("127.0.0.0/8",)) -> WebPushProvider:
        """One that may call this machine."""
        return WebPushProvider(signer=self.signer, limit=limit, allowed=addresses.networks(allowed))

    def subscription(self, name: str) -> dict[str, Any]:
        """As PushSubscription.toJSON() gives it, and the kind."""
        key, auth = self._browsers.setdefault(name, (ec.generate_private_key(CURVE), os.urandom(16)))
        p256dh, secret = (urlsafe_b64encode(data).rstrip(b"=").decode() for data in (raw(key.public_key()), auth))
        endpoint = f"{self.server.url}/push/{name}"
        return {"kind": "webpush", "endpoint": endpoint, "keys": {"p256dh": p256dh, "auth": secret}}

    def address(self, name: str) -> str:
        return json.dumps(self.subscription(name))

    async def handle(self, request: Request) -> Answer:
        """201, or what a push service says to a wrong call (RFC 8030, 5)."""
        name = request.path.removeprefix("/push/")
        if name not in self._browsers:
            return Answer(404)
        if not request.headers.get("ttl", "").isdigit() or request.headers.get("content-encoding") != "aes128gcm":
            return Answer(400, b"TTL and Content-Encoding")
        if len(request.body) > 4096:
            return Answer(413)
        try:
            self._check(request.headers.get("authorization", ""))
        except (InvalidSignature, AssertionError, ValueError, KeyError) as error:
            return Answer(403, repr(error).encode())
        key, auth = self._browsers[name]
        payload = json.loads(decrypt(request.body, key=key, auth=auth))
        self.received.append({"key": payload["key"], "name": name, "payload": payload, "headers": request.headers})
        return await self.obey(name, Answer(201, headers={"location": f"{self.server.url}/message/1"}))

    def _check(self, authorization: str) -> None:
        kind, _, parameters = authorization.partition(" ")
        given = dict(part.strip().split("=", 1) for part in parameters.split(","))
        assert kind == "vapid"
        assert given["k"] == self.signer.public_key, "another key than the subscription's"
        public = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, unpadded(given["k"]))
        _, claims = verified(given["t"], public)
        assert claims["aud"] == self.server.url
        assert 0 < claims["exp"] - time.time() <= 24 * 3600
        assert claims["sub"] == "mailto:bellhop@example.com"
        self.tokens.add(given["t"])
