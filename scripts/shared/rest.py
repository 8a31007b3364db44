"""A small client of the REST API for the scripts: one connection that is kept, errors as one sentence."""

import contextlib
import logging
from typing import Any, Self

import httpx

from scripts.shared.terminal import Failed, is_local

TIMEOUT = 10.0  # seconds
logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs a line for each request


class Rest:
    """Bellhop's REST API as one user; usable from several threads. A context manager."""

    def __init__(self, url: str, *, token: str = "") -> None:
        self._url = url
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=not is_local(url))
        self._signed_in = False
        if token:
            self._use(token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._signed_in:
            with contextlib.suppress(httpx.HTTPError):
                self._client.post("/api/v1/auth/logout")
        self._client.close()

    def sign_in(self, *, user: str, password: str) -> str:
        """Get a token, use it from here on and end it when the context ends. Raises Failed."""
        answer = self.post("/api/v1/auth/token", {"username": user, "password": password})
        token = str(answer["token"])
        self._use(token)
        self._signed_in = True
        return token

    def _use(self, token: str) -> None:
        self._client.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str) -> Any:
        """The JSON at `path`. Raises Failed."""
        return self._ask("GET", path)

    def post(self, path: str, body: Any, *, key: str = "") -> Any:
        """The JSON answer; `key` is the Idempotency-Key. Raises Failed."""
        return self._ask("POST", path, json=body, headers={"Idempotency-Key": key} if key else {})

    def _ask(self, method: str, path: str, **what: Any) -> Any:
        try:
            response = self._client.request(method, path, **what)
        except httpx.TimeoutException as error:
            raise Failed(f"{self._url} did not answer within {TIMEOUT:.0f} s: is it overloaded?") from error
        except httpx.TransportError as error:
            raise Failed(
                f"Nothing answers at {self._url} ({error}): start Bellhop with `make run`, or name its address "
                "with --url."
            ) from error
        try:
            answer = response.json()
            refusal = "" if response.is_success else reason(answer)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Failed(
                f"{self._url}{path} answered {response.status_code}, and not like Bellhop's REST API: check --url."
            ) from error
        if not refusal:
            return answer
        raise Failed(f"{method} {path} was refused ({response.status_code}): {refusal}")


def reason(error: dict[str, Any]) -> str:
    """An error of the API as a sentence: its message, and what `details` says of each field."""
    details = error.get("details", {}).items()
    return " ".join([error["message"], *(f"{name}: {text}" for name, texts in details for text in _listed(texts))])


def _listed(texts: Any) -> list[Any]:
    return texts if isinstance(texts, list) else [texts]
