"""Google, as far as FCM needs it: the token endpoint (RFC 7523) and messages:send."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from delivery.providers.fcm import Account, FCMProvider
from tests.peers.authority import Authority
from tests.peers.http import Answer, Request, Server
from tests.peers.orders import Order, Peer
from tests.peers.signatures import verified

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
EMAIL = "bellhop@shop-1.iam.example.com"


def error(status: int, name: str, *, message: str = "", fcm: str = "", field: str = "", **headers: str) -> Answer:
    """An answer as google.rpc.Status; `fcm` is FcmError's code, `field` a violation of BadRequest."""
    details: list[dict[str, Any]] = [{"@type": FCM_ERROR, "errorCode": fcm}] if fcm else []
    if field:
        details.append({"@type": BAD_REQUEST, "fieldViolations": [{"field": field, "description": "Invalid"}]})
    told = {"error": {"code": status, "message": message, "status": name, "details": details}}
    return Answer(status, json.dumps(told).encode(), {name.replace("_", "-"): value for name, value in headers.items()})


class Google(Peer):
    """Use `server` as a context manager; `address(name)` registers an app."""

    def __init__(self, authority: Authority, directory: Path) -> None:
        super().__init__()
        self.authority = authority
        self.server = Server(self.handle, tls=authority.context())
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.private_pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self.credentials = directory / "account.json"
        self.credentials.write_text(
            json.dumps(
                {
                    "type": "service_account",
                    "project_id": "shop-1",
                    "private_key_id": "key-1",
                    "private_key": self.private_pem,
                    "client_email": EMAIL,
                    "token_uri": f"{self.server.url}/token",
                }
            )
        )
        self.bearers: list[str] = []
        self.revoked: set[str] = set()
        self.expires_in = 3600
        self.sign_in: Order | None = None  # another answer of the token endpoint

    def provider(self, *, limit: float = 10, **fields: Any) -> FCMProvider:
        return FCMProvider(account=Account(self.credentials), url=self.server.url, limit=limit, **fields)

    def address(self, name: str) -> str:
        return json.dumps({"kind": "fcm", "token": f"registration:{name}"})

    async def handle(self, request: Request) -> Answer:
        """The token endpoint, or messages:send."""
        if request.path == "/token":
            return await self._token(request)
        if request.path != "/v1/projects/shop-1/messages:send":
            return error(404, "NOT_FOUND", message="Requested entity was not found.")
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if bearer not in self.bearers or bearer in self.revoked:
            return error(401, "UNAUTHENTICATED", message="Request had invalid authentication credentials.")
        message = json.loads(request.body)["message"]
        name = message["token"].removeprefix("registration:")
        self.received.append({"key": message["data"]["key"], "name": name, "message": message})
        return await self.obey(name, Answer(200, b'{"name": "projects/shop-1/messages/0:1"}'))

    async def _token(self, request: Request) -> Answer:
        if isinstance(self.sign_in, Answer):
            return self.sign_in
        if self.sign_in is not None:
            self.told["/token"] = self.sign_in
            return await self.obey("/token", Answer(500))
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        try:
            header, claims = verified(form["assertion"], self.key.public_key())
        except InvalidSignature:
            return Answer(400, b'{"error": "invalid_grant"}')
        now = time.time()
        right = {
            "grant": form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "kid": header["kid"] == "key-1",
            "iss": claims["iss"] == EMAIL,
            "scope": claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging",
            "aud": claims["aud"] == f"{self.server.url}/token",
            "exp": 0 < claims["exp"] - claims["iat"] <= 3600,
            "iat": abs(claims["iat"] - now) < 7 * 24 * 3600,  # tests move the provider's clock by days
        }
        if not all(right.values()):
            return Answer(400, json.dumps({"error": "invalid_grant", "right": right}).encode())
        self.bearers.append(f"ya29.secret-{len(self.bearers)}")
        told = {"access_token": self.bearers[-1], "expires_in": self.expires_in, "token_type": "Bearer"}
        return Answer(200, json.dumps(told).encode())
