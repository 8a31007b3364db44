"""A small REST client for tests against the running web process."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from tests.processes import Bellhop


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: dict[str, str]


def call(bellhop: Bellhop, method: str, path: str, body: Any = None, *, token: str = "", **headers: str) -> Answer:
    """One request to /api/v1; any status is an answer."""
    request = urllib.request.Request(
        f"{bellhop.http_url}/api/v1{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"}
        | ({"Authorization": f"Bearer {token}"} if token else {})
        | {name.replace("_", "-"): value for name, value in headers.items()},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            raw = answer.read()
            return Answer(answer.status, json.loads(raw) if raw else None, dict(answer.headers))
    except urllib.error.HTTPError as error:
        raw = error.read()
        return Answer(error.code, json.loads(raw) if raw else None, dict(error.headers))
