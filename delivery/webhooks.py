"""
Calling webhooks: each end of a delivery is one signed POST, repeated until the receiver says 2xx.

Headers and signature are those of Standard Webhooks (https://www.standardwebhooks.com, specification 1.0). Whoever
sets a URL must not reach what only we can reach, so only addresses that may be called are (delivery/addresses.py).
"""

import asyncio
import base64
import hashlib
import hmac
import random
import ssl
import time
from collections.abc import Callable
from datetime import datetime

import httpcore
import msgspec
from django.conf import settings

from core import logs, queue
from delivery import addresses, retry
from delivery.providers import http
from delivery.providers.http import Answer, Request
from notifications import deliveries, webhooks
from notifications.models import Delivery
from notifications.models.webhook import CallState
from notifications.values import Outcome
from notifications.webhooks import Claimed, Verdict
from notifications.words import Lane

log = logs.logger(__name__)

LIMIT = 5.0  # seconds for a call
AT_ONCE = 50
EACH = 20  # calls of one webhook at once
TIME_BOX = 2.0  # seconds in which calls may start; mail waits behind them
MOST_ATTEMPTS = 16  # with the waits of delivery/retry.py: about four hours, at most eight


def call(
    *,
    clock: Callable[[], datetime],
    limit: float = LIMIT,
    chance: Callable[[], float] = random.random,  # jitter, not a secret
) -> int:
    """
    Make the calls that are due, until none is or the time box ends. How many were claimed.

    Safe to run twice and at once: a webhook is called by one worker at a time. A worker that dies leaves calls that
    are made again when the lease ends, with the same id.
    """
    stop_at = time.monotonic() + TIME_BOX
    handled = 0
    while time.monotonic() < stop_at:
        now = clock()
        until = now + settings.LEASE
        claimed = webhooks.claim(limit=AT_ONCE, each=EACH, until=until, now=now)
        if not claimed:
            return handled
        handled += len(claimed)
        answers = asyncio.run(_side_by_side(_written(claimed), limit=limit, now=now))
        now = clock()
        verdicts = [(one, _verdict(answer, attempts=one.attempts, now=now, chance=chance())) for one, answer in answers]
        lost = len(claimed) - len(webhooks.record(verdicts, until=until, now=now))
        if lost:
            log.warning("webhooks.lease_lost", calls=lost)
    queue.send(queue.CALL_WEBHOOKS, lane=Lane.NORMAL)
    return handled


def _written(claimed: list[Claimed]) -> list[tuple[Claimed, bytes]]:
    """Each call with what is said in it, one query. The delivery stands as it is now; the type says what happened."""
    told = deliveries.told(Delivery.objects.filter(pk__in={one.delivery_id for one in claimed}))
    lines = {row.pk: deliveries.line(row) for row in told}
    return [
        (one, msgspec.json.encode({"type": f"delivery.{one.kind}", "timestamp": one.happened_at, "data": line}))
        for one in claimed
        if (line := lines.get(one.delivery_id))  # else it was deleted just now, and its calls with it
    ]


def headers(*, id: str, secret: str, body: bytes, now: datetime) -> dict[str, str]:
    """Those of a signed call. The key is what stands in base64 after the prefix."""
    key = base64.b64decode(secret.removeprefix(webhooks.SECRET_PREFIX))
    at = str(int(now.timestamp()))
    digest = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "User-Agent": "Bellhop",
        "webhook-id": id,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


async def _side_by_side(
    calls: list[tuple[Claimed, bytes]], *, limit: float, now: datetime
) -> list[tuple[Claimed, Answer | Outcome | BaseException]]:
    network = addresses.Guarded(allowed=addresses.networks(settings.ALLOWED_NETWORKS))
    async with httpcore.AsyncConnectionPool(
        ssl_context=ssl.create_default_context(), max_connections=AT_ONCE, http2=True, network_backend=network
    ) as pool:

        async def post(one: Claimed, body: bytes) -> Answer | Outcome:
            signed = headers(id=f"call_{one.id}", secret=one.secret, body=body, now=now)
            return await http.post(pool, Request(one.url, signed, body), limit=limit)

        answers = await asyncio.gather(*(post(one, body) for one, body in calls), return_exceptions=True)
        return [(one, answer) for (one, _), answer in zip(calls, answers, strict=True)]


def _verdict(answer: Answer | Outcome | BaseException, *, attempts: int, now: datetime, chance: float) -> Verdict:
    """2xx is enough; 410 switches the webhook off; an address that must not be called is not tried again."""
    retry_after = None
    if isinstance(answer, Answer):
        code, detail, retry_after = str(answer.status), answer.detail, answer.retry_after
        if 200 <= answer.status < 300:
            return Verdict(CallState.SENT, None, code, "")
        if answer.status == 410:
            return Verdict(CallState.FAILED, None, code, detail, gone=True)
    elif isinstance(answer, Outcome):
        code, detail = answer.code, answer.detail
        if code == "forbidden_address":
            return Verdict(CallState.FAILED, None, code, detail)
    else:
        log.error("webhooks.crashed", exc_info=answer)
        code, detail = "crashed", type(answer).__name__
    if attempts >= MOST_ATTEMPTS:
        return Verdict(CallState.FAILED, None, code, detail)
    due_at = now + retry.wait(attempts=attempts, retry_after=retry_after, chance=chance)
    return Verdict(CallState.PENDING, due_at, code, detail)
