"""Postmark, as far as sending needs it: POST /email. An address that it does not know the form of is error 300."""

import json
import secrets
from typing import Any

from tests.peers.authority import Authority
from tests.peers.http import Answer, Request, Server
from tests.peers.orders import Peer


def refusal(status: int, code: int, message: str, **headers: str) -> Answer:
    """An API error: https://postmarkapp.com/developer/api/overview."""
    body = json.dumps({"ErrorCode": code, "Message": message}).encode()
    return Answer(status, body, {"content-type": "application/json", **headers})


class Postmark(Peer):
    """Use `server` as a context manager. The name of a person is the local part of their address."""

    def __init__(self, authority: Authority) -> None:
        super().__init__()
        self.server = Server(self.handle, tls=authority.context(), http2=False)
        self.token = secrets.token_hex(16)

    @property
    def anymail(self) -> dict[str, Any]:
        """ANYMAIL of an installation that uses it."""
        return {"POSTMARK_SERVER_TOKEN": self.token, "POSTMARK_API_URL": self.server.url}

    async def handle(self, request: Request) -> Answer:
        """POST /email with the server's token; anything else is refused as Postmark does."""
        if request.headers.get("x-postmark-server-token") != self.token:
            return refusal(401, 10, "The Server Token you provided in the X-Postmark-Server-Token header is invalid.")
        if request.path != "/email":
            return refusal(404, 0, "Not found.")
        mail = json.loads(request.body)
        headers = {one["Name"]: one["Value"] for one in mail["Headers"]}
        key = headers["Message-ID"].partition("@")[0].removeprefix("<")
        assert key == mail["Metadata"]["key"]
        name = mail["To"].partition("@")[0]
        self.received.append({"key": key, "name": name, "headers": headers, "mail": mail})
        accepted = {"To": mail["To"], "MessageID": f"id-of-{key}", "ErrorCode": 0, "Message": "OK"}
        return await self.obey(name, Answer(200, json.dumps(accepted).encode()))


def invalid(address: str) -> Answer:
    """It cannot be an address."""
    return refusal(422, 300, f"Invalid 'To' address: '{address}'.")


def inactive(address: str) -> Answer:
    """It bounced or complained before."""
    return refusal(
        422,
        406,
        "You tried to send to recipient(s) that have been marked as inactive. Found inactive addresses: "
        f"{address}. Inactive recipients are ones that have generated a hard bounce, a spam complaint, or a manual "
        "suppression.",
    )
