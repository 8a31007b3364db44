"""The REST API as one person calls it, without a server between: for tests of what it answers."""

from typing import Any

import msgspec
from django.test import Client

from core.models import User
from tests import factories


class Caller:
    """Someone with a token; without a user, a stranger. Any status is an answer."""

    def __init__(self, user: User | None = None, *, token: str = "") -> None:
        self.token = token or (factories.token(user) if user else "")
        self._client = Client(raise_request_exception=False)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One request to /api/v1; `X_Request_ID="..."` is a header. Text is sent as it is."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        return self._client.generic(
            method,
            f"/api/v1{path}",
            _encoded(body),
            content_type=sent.pop("Content-Type", "application/json"),
            headers=sent,
        )

    def get(self, path: str) -> Any:
        """The body of a successful answer."""
        answer = self("GET", path)
        assert answer.status_code == 200, answer.content
        return answer.json()


def _encoded(body: Any) -> bytes | str:
    if body is None:
        return b""
    return body if isinstance(body, bytes | str) else msgspec.json.encode(body)


def error(answer: Any) -> tuple[int, str]:
    """The status and the code of an error, after checking that it has the one shape."""
    body = answer.json()
    assert set(body) == {"code", "message", "details"}, body
    assert isinstance(body["message"], str), body
    assert body["message"], body
    assert isinstance(body["details"], dict), body
    return answer.status_code, body["code"]
