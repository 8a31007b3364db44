"""Web Push (RFC 8030): to browsers, through the push service that each of them chose. Encrypted end to end."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpcore
import msgspec
from django.conf import settings

from delivery import addresses
from delivery.providers import aes128gcm, payloads
from delivery.providers.http import Answer, HTTPProvider, Request
from delivery.providers.vapid import Signer, decoded
from notifications.values import Message, Outcome, Result
from notifications.words import Priority

_ENDPOINT = re.compile(r"(https://[A-Za-z0-9.-]{1,253}(?::\d{1,5})?)/[!-~]{0,2000}")
URGENCY = {Priority.LOW: "low", Priority.NORMAL: "normal", Priority.HIGH: "high", Priority.CRITICAL: "high"}


class Keys(msgspec.Struct):
    """What the browser made for this subscription."""

    p256dh: str
    auth: str


class Subscription(msgspec.Struct, tag_field="kind", tag="webpush"):
    """The address: a PushSubscription as the browser's toJSON() gives it, and the kind."""

    endpoint: str
    keys: Keys


class WebPushProvider(HTTPProvider):
    """Any push service. Its host comes from a browser, so only public addresses are called."""

    def __init__(
        self,
        *,
        signer: Signer,
        limit: float,
        allowed: Sequence[addresses.Network] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(limit=limit)
        self._signer = signer
        self._allowed = allowed
        self._clock = clock

    @classmethod
    def from_settings(cls) -> "WebPushProvider":
        return cls(
            signer=Signer(private_key=settings.VAPID_PRIVATE_KEY, subject=settings.VAPID_SUBJECT),
            limit=settings.PUSH_TIMEOUT,
            allowed=addresses.networks(settings.ALLOWED_NETWORKS),
        )

    def _network(self) -> httpcore.AsyncNetworkBackend:
        return addresses.Guarded(allowed=self._allowed)

    def compose(self, message: Message) -> Request:
        """See HTTPProvider.compose."""
        subscription = payloads.read_address(message, Subscription)
        endpoint = _ENDPOINT.fullmatch(subscription.endpoint)
        if endpoint is None:
            raise payloads.BadAddress
        shown = payloads.collapse_id(message)

        def form(title: str, text: str) -> dict[str, Any]:
            return {
                "title": title,
                "body": text,
                "url": message.url,
                "key": message.key,
                "tag": shown,
                "trace_id": message.trace_id,
            }

        plain = msgspec.json.encode(payloads.fit(message, limit=aes128gcm.LONGEST, form=form))
        try:
            p256dh = decoded(subscription.keys.p256dh, length=65)
            auth = decoded(subscription.keys.auth, length=16)
            content = aes128gcm.encrypt(plain, p256dh=p256dh, auth=auth)
        except ValueError:
            raise payloads.BadAddress from None
        now = self._clock()
        headers = {
            "Authorization": self._signer.authorization(endpoint[1].lower(), now=now),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(payloads.seconds_left(message, now=now)),
            "Urgency": URGENCY[message.priority],
            "Topic": shown,
        }
        return Request(subscription.endpoint, headers, content)

    def scope(self, request: Request) -> str:
        """The push service that the browser chose. One that fails, or was made up to fail, stops nobody else's."""
        return urlsplit(request.url).hostname or ""

    def classify(self, answer: Answer) -> Outcome:
        """RFC 8030, 5, 7.3 and 8.4; RFC 8292, 4.2. 200 and 204 are not in the RFC, and some services say them."""
        code = str(answer.status)

        def say(result: Result) -> Outcome:
            return Outcome(result, code=code, detail=answer.detail, retry_after=answer.retry_after)

        if answer.status in (200, 201, 202, 204):
            return Outcome(Result.SENT, code=code)
        if answer.status in (404, 410):
            return say(Result.GONE)
        if answer.status == 429:
            return say(Result.THROTTLED)
        if answer.status in (400, 401, 403):
            return say(Result.CONFIG)  # the signature, or a subscription made for another key
        return say(Result.RETRY if answer.status >= 500 else Result.FAILED)
