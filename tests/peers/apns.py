"""Apple's push service: HTTP/2 only, a provider token by ES256 on every call."""

import json
import time
import uuid
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from delivery.providers.apns import Account, APNSProvider
from tests.peers.authority import Authority
from tests.peers.http import Answer, Request, Server
from tests.peers.orders import Peer
from tests.peers.signatures import verified

TOPIC = "com.example.bellhop"


def refusal(status: int, reason: str, *, timestamp: int | None = None, **headers: str) -> Answer:
    told = {"reason": reason} | ({"timestamp": timestamp} if timestamp else {})
    return Answer(status, json.dumps(told).encode(), {name.replace("_", "-"): value for name, value in headers.items()})


class Apple(Peer):
    """Use `server` as a context manager; `address(name)` registers a device."""

    def __init__(self, authority: Authority, directory: Path) -> None:
        super().__init__()
        self.server = Server(self.handle, tls=authority.context())
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.private_pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self.key_file = directory / "AuthKey.p8"
        self.key_file.write_text(self.private_pem)
        self.tokens: list[str] = []  # provider tokens seen, each once
        self.expired: set[str] = set()

    def provider(self, *, limit: float = 10, **fields: Any) -> APNSProvider:
        account = Account(path=self.key_file, key_id="KEY1234567", team_id="TEAM123456")
        return APNSProvider(account=account, topic=TOPIC, url=self.server.url, limit=limit, **fields)

    def address(self, name: str) -> str:
        return json.dumps({"kind": "apns", "token": self.token(name)})

    @staticmethod
    def token(name: str) -> str:
        return name.encode().hex().ljust(64, "0")

    async def handle(self, request: Request) -> Answer:
        """200, or what Apple says to a wrong call."""
        headers = request.headers
        token = headers.get("authorization", "").removeprefix("bearer ")
        try:
            header, claims = verified(token, self.key.public_key())
        except (InvalidSignature, ValueError):
            return refusal(403, "InvalidProviderToken")
        if (header["kid"], claims["iss"]) != ("KEY1234567", "TEAM123456"):
            return refusal(403, "InvalidProviderToken")
        if token not in self.tokens:
            self.tokens.append(token)
        if token in self.expired or abs(time.time() - claims["iat"]) > 7 * 24 * 3600:  # tests move the clock by days
            return refusal(403, "ExpiredProviderToken")
        if headers.get("apns-topic") != TOPIC:
            return refusal(400, "TopicDisallowed")
        if len(headers["apns-collapse-id"]) > 64 or headers["apns-priority"] not in ("1", "5", "10"):
            return refusal(400, "BadCollapseId")
        if len(request.body) > 4096:
            return refusal(413, "PayloadTooLarge")
        payload = json.loads(request.body)
        name = bytes.fromhex(request.path.removeprefix("/3/device/")).rstrip(b"\x00").decode()
        self.received.append({"key": payload["key"], "name": name, "payload": payload, "headers": headers})
        return await self.obey(name, Answer(200, headers={"apns-id": str(uuid.UUID(headers["apns-id"])).upper()}))
