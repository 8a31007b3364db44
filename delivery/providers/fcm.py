"""
FCM (HTTP v1): to Android apps, and to others that Firebase serves.

Signing in is OAuth 2.0 for service accounts: a JWT signed with the account's key buys a bearer token for an hour
(RFC 7523), kept until shortly before its end.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpcore
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings

from delivery.providers import payloads
from delivery.providers.http import LONG_AGO, Answer, HTTPProvider, Request, post
from notifications.values import Message, Outcome, Result
from notifications.words import Priority

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
LONGEST = 4000  # bytes of content; FCM's own limit is 4096 with what it adds
EARLY = timedelta(minutes=5)  # before its end a token is used no more
QUOTA = timedelta(seconds=60)  # FCM's own advice for 429 without Retry-After
_TOKEN = re.compile(r"[!-~]{1,4096}")
HOW_TO_MEND = "FCM_CREDENTIALS_FILE must be the JSON file of a service account, from the Firebase console."


class Device(msgspec.Struct, tag_field="kind", tag="fcm"):
    """The address: a registration token."""

    token: str


class Account:
    """A service account. Never shows its key."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError with a sentence."""
        try:
            told = json.loads(path.read_text())
            self.project, self.email, self.token_uri = (
                str(told[name]) for name in ("project_id", "client_email", "token_uri")
            )
            self.key_id = str(told["private_key_id"])
            key = load_pem_private_key(told["private_key"].encode(), password=None)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(HOW_TO_MEND) from None
        if not isinstance(key, RSAPrivateKey) or not self.token_uri.startswith("https://"):
            raise ValueError(HOW_TO_MEND)
        self._key = key

    def assertion(self, *, now: datetime) -> str:
        """What the token endpoint takes for a token (RFC 7523, 3)."""
        claims = {"iss": self.email, "scope": SCOPE, "aud": self.token_uri, "iat": now, "exp": now + timedelta(hours=1)}
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self.key_id})


class FCMProvider(HTTPProvider):
    """Firebase Cloud Messaging."""

    def __init__(
        self,
        *,
        account: Account,
        url: str,
        limit: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(limit=limit)
        self.timeout = 2 * limit  # signing in, then the messages
        self._account = account
        self._url = f"{url}/v1/projects/{account.project}/messages:send"
        self._clock = clock
        self._bearer, self._bearer_ends = "", LONG_AGO

    @classmethod
    def from_settings(cls) -> "FCMProvider":
        account = Account(Path(settings.FCM_CREDENTIALS_FILE))
        return cls(account=account, url=settings.FCM_URL, limit=settings.PUSH_TIMEOUT)

    async def sign_in(self, pool: httpcore.AsyncConnectionPool) -> dict[str, str] | Outcome:
        """See HTTPProvider.sign_in."""
        now = self._clock()
        if self._bearer_ends - EARLY <= now:
            grant = {
                "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
                "assertion": self._account.assertion(now=now),
            }
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = await post(
                pool, Request(self._account.token_uri, headers, urlencode(grant).encode()), limit=self._limit
            )
            if isinstance(answer, Outcome):  # whatever became of the call, no message was sent
                return replace(answer, result=Result.RETRY, code="sign_in", provider_away=True)
            try:
                told = msgspec.json.decode(answer.body, type=_Bearer)
            except msgspec.MsgspecError:
                wrong = Result.RETRY if answer.status == 429 or answer.status >= 500 else Result.CONFIG
                detail = f"The token endpoint said {answer.status}: {answer.detail}"
                return Outcome(wrong, code="sign_in", detail=detail, retry_after=answer.retry_after, provider_away=True)
            self._bearer, self._bearer_ends = told.access_token, now + timedelta(seconds=told.expires_in)
        return {"Authorization": f"Bearer {self._bearer}"}

    def compose(self, message: Message) -> Request:
        """See HTTPProvider.compose."""
        device = payloads.read_address(message, Device)
        if not _TOKEN.fullmatch(device.token):
            raise payloads.BadAddress
        shown = payloads.collapse_id(message)
        android: dict[str, Any] = {
            "priority": "HIGH" if message.priority in (Priority.HIGH, Priority.CRITICAL) else "NORMAL",
            "ttl": f"{payloads.seconds_left(message, now=self._clock())}s",
            "notification": {"tag": shown},
        }
        if message.collapse:  # and not for each message: FCM keeps four of them for a device
            android["collapse_key"] = shown

        def form(title: str, text: str) -> dict[str, Any]:
            return {
                "token": device.token,
                "notification": {"title": title, "body": text},
                "data": {"key": message.key, "url": message.url, "tag": shown, "trace_id": message.trace_id},
                "android": android,
            }

        content = payloads.fit(message, limit=LONGEST + len(device.token), form=form)
        return Request(self._url, {"Content-Type": "application/json"}, msgspec.json.encode({"message": content}))

    def classify(self, answer: Answer) -> Outcome:
        """The reference of FCM's ErrorCode, and google.rpc.Status."""
        if answer.status == 200:
            return Outcome(Result.SENT, code="200", provider_id=_name(answer.body))
        error = _Error.read(answer.body)
        code = error.fcm_code or error.status or str(answer.status)

        def say(result: Result, retry_after: timedelta | None = None) -> Outcome:
            wait = answer.retry_after or retry_after
            return Outcome(result, code=code, detail=answer.detail, retry_after=wait)

        # Sent to another sender's app: true of this token for ever, and a person can give us any token.
        if code in ("UNREGISTERED", "SENDER_ID_MISMATCH") or (answer.status == 400 and error.names_the_token):
            return say(Result.GONE)
        if answer.status == 429:
            return say(Result.THROTTLED, QUOTA)
        if answer.status == 401:
            self._bearer_ends = LONG_AGO  # the next send() signs in anew
        if answer.status in (401, 403, 404):
            return say(Result.CONFIG)  # the account, its rights, or the project's name
        return say(Result.RETRY if answer.status >= 500 else Result.FAILED)


class _Bearer(msgspec.Struct):
    access_token: str
    expires_in: int


class _Error(msgspec.Struct):
    """The part of google.rpc.Status that decides."""

    status: str = ""
    message: str = ""
    details: list[dict[str, Any]] = []

    @classmethod
    def read(cls, body: bytes) -> "_Error":
        try:
            return msgspec.json.decode(body, type=dict[str, cls]).get("error", cls())  # type: ignore[valid-type]
        except msgspec.MsgspecError:
            return cls()

    @property
    def fcm_code(self) -> str:
        codes = [d.get("errorCode") for d in self.details if str(d.get("@type")).endswith(".FcmError")]
        return str(codes[0])[:100] if codes else ""

    @property
    def names_the_token(self) -> bool:
        """INVALID_ARGUMENT is the address's fault only if it says so; else it is ours."""
        fields = [v.get("field") for d in self.details for v in d.get("fieldViolations") or [] if isinstance(v, dict)]
        return set(fields) == {"message.token"} or (not fields and "registration token" in self.message)


def _name(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body).get("name", ""))[:255]
    except (msgspec.MsgspecError, AttributeError):
        return ""
