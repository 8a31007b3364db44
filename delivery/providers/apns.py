"""
APNs: to iPhones, iPads and Macs, over HTTP/2, signed with a provider token.

Apple takes no more than one new token in twenty minutes, and none older than an hour.
"""

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpcore
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings

from delivery.providers import payloads
from delivery.providers.http import LONG_AGO, Answer, HTTPProvider, Request
from notifications.values import Message, Outcome, Result
from notifications.words import Priority

LONGEST = 4096  # bytes of an alert's payload
YOUNG = timedelta(minutes=20)
OLD = timedelta(minutes=50)
BUSY = timedelta(seconds=60)  # for 429 without Retry-After: too many for this one device
_NAMESPACE = uuid.UUID("9d3d0d80-5f3c-4f35-9f0b-7e1d7f0e2a54")
_TOKEN = re.compile(r"[0-9A-Fa-f]{64,200}")
_TOPIC = re.compile(r"[A-Za-z0-9.-]{1,255}")
GONE = {"BadDeviceToken", "DeviceTokenNotForTopic", "Unregistered", "ExpiredToken"}
OURS = {"MissingTopic", "BadTopic", "TopicDisallowed", "TooManyProviderTokenUpdates"}


class Device(msgspec.Struct, tag_field="kind", tag="apns"):
    """The address: a device token; and the app, where it is not the usual one."""

    token: str
    topic: str = ""


class Account:
    """Who we are to Apple. Never shows its key."""

    def __init__(self, *, path: Path, key_id: str, team_id: str) -> None:
        """Raises ValueError with a sentence."""
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not key_id or not team_id:
            raise ValueError(
                "APNS_KEY_FILE must be the .p8 file of a key from Apple's developer pages, APNS_KEY_ID its id and "
                "APNS_TEAM_ID the team it belongs to."
            )
        self._key, self._key_id, self._team_id = key, key_id, team_id

    def token(self, *, now: datetime) -> str:
        """A provider token."""
        claims = {"iss": self._team_id, "iat": now}
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})


class APNSProvider(HTTPProvider):
    """The Apple Push Notification service."""

    def __init__(
        self,
        *,
        account: Account,
        topic: str,
        url: str,
        limit: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not _TOPIC.fullmatch(topic):
            raise ValueError("APNS_TOPIC must be the app's bundle id, like com.example.app.")
        super().__init__(limit=limit)
        self._account = account
        self._topic = topic
        self._url = url
        self._clock = clock
        self._token, self._made_at = "", LONG_AGO

    @classmethod
    def from_settings(cls) -> "APNSProvider":
        return cls(
            account=Account(
                path=Path(settings.APNS_KEY_FILE), key_id=settings.APNS_KEY_ID, team_id=settings.APNS_TEAM_ID
            ),
            topic=settings.APNS_TOPIC,
            url=settings.APNS_URL,
            limit=settings.PUSH_TIMEOUT,
        )

    async def sign_in(self, pool: httpcore.AsyncConnectionPool) -> dict[str, str] | Outcome:
        """See HTTPProvider.sign_in. No call: the token is made here."""
        now = self._clock()
        if not self._token or now - self._made_at > OLD:
            self._token, self._made_at = self._account.token(now=now), now
        return {"Authorization": f"bearer {self._token}"}

    def compose(self, message: Message) -> Request:
        """See HTTPProvider.compose."""
        device = payloads.read_address(message, Device)
        topic = device.topic or self._topic
        if not _TOKEN.fullmatch(device.token) or not _TOPIC.fullmatch(topic):
            raise payloads.BadAddress
        quiet = message.priority == Priority.LOW

        def form(title: str, text: str) -> dict[str, Any]:
            aps: dict[str, Any] = {"alert": {"title": title, "body": text}}
            if not quiet:
                aps["sound"] = "default"
            return {"aps": aps, "key": message.key, "url": message.url, "trace_id": message.trace_id}

        now = self._clock()
        left = payloads.seconds_left(message, now=now)
        headers = {
            "Content-Type": "application/json",
            # The same at every attempt. It names the message and does not stop a second one; the collapse id does.
            "apns-id": str(uuid.uuid5(_NAMESPACE, message.key)),
            "apns-collapse-id": payloads.collapse_id(message),
            "apns-topic": topic,
            "apns-push-type": "alert",
            "apns-priority": "5" if quiet else "10",
            "apns-expiration": str(int(now.timestamp()) + left if left else 0),  # 0: now or never
        }
        content = msgspec.json.encode(payloads.fit(message, limit=LONGEST, form=form))
        return Request(f"{self._url}/3/device/{device.token}", headers, content)

    def classify(self, answer: Answer) -> Outcome:
        """Apple: "Handling notification responses from APNs"."""
        if answer.status == 200:
            return Outcome(Result.SENT, code="200", provider_id=answer.headers.get("apns-id", "")[:255])
        try:
            told = msgspec.json.decode(answer.body, type=_Reason)
        except msgspec.MsgspecError:
            told = _Reason()
        code = told.reason[:100] or str(answer.status)

        def say(result: Result, retry_after: timedelta | None = None) -> Outcome:
            wait = answer.retry_after or retry_after
            return Outcome(result, code=code, detail=answer.detail, retry_after=wait, gone_since=told.since)

        if answer.status == 410 or code in GONE:
            return say(Result.GONE)
        if code == "ExpiredProviderToken":
            return say(self._renewed())
        if code in OURS or answer.status == 403:
            return say(Result.CONFIG)
        if answer.status == 429:
            return say(Result.THROTTLED, BUSY)
        return say(Result.RETRY if answer.status >= 500 else Result.FAILED)

    def _renewed(self) -> Result:
        """The next send() makes a new token; but if this one was young, our clock is wrong."""
        if self._token and self._clock() - self._made_at < YOUNG:
            return Result.CONFIG
        self._token = ""
        return Result.RETRY


class _Reason(msgspec.Struct):
    reason: str = ""
    timestamp: int | None = None  # milliseconds

    @property
    def since(self) -> datetime | None:
        return datetime.fromtimestamp(self.timestamp / 1000, UTC) if self.timestamp else None
