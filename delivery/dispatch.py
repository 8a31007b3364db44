"""
Dispatch: claim due deliveries, check that they should still go, send them, write down what was said.

No transaction is open during a call, and a call starts only with lease left. A crash between "accepted by
the provider" and "recorded" is the only source of a duplicate: the next claim counts it in `lost_claims`.
"""

import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from django.conf import settings

from core import logs, queue
from delivery import letters, registry, retry
from notifications import ledger
from notifications.values import Message, Outcome, Result
from notifications.words import DeliveryState, Lane, Reason

log = logs.logger(__name__)

AT_ONCE = 50  # deliveries in one claim
FLUSH = 10  # recorded together: the most that one crash can send twice
TIME_BOX = 2.0  # seconds in which calls may start; then the lane is handed on
MARGIN = 5.0  # seconds of lease that must remain beside the provider's time-out when a call starts

Decided = tuple[ledger.Claimed, ledger.Verdict]


def deliver(*, channel: str, lane: Lane, clock: Callable[[], datetime]) -> int:
    """
    Send what is due on a channel in a lane, until nothing is or the time box ends. Returns how many were claimed.

    Safe to run twice and at once: a claim is exclusive, and only the holder of the newest token records.
    """
    stop_at = time.monotonic() + TIME_BOX
    handled = 0
    while time.monotonic() < stop_at:
        lease_ends = time.monotonic() + settings.LEASE.total_seconds()
        claimed = ledger.claim(channel=channel, lane=lane, limit=AT_ONCE, now=clock())
        if not claimed:
            return handled
        handled += len(claimed)
        waiting: list[Decided] = []
        last_start = min(stop_at, lease_ends - registry.channel(channel).timeout - MARGIN)
        for decided in _decide(claimed, channel=channel, last_start=last_start, clock=clock):
            waiting.append(decided)
            if len(waiting) >= FLUSH:
                _record(waiting, clock=clock)
                waiting = []
        _record(waiting, clock=clock)
    queue.send(queue.DELIVER, lane=lane, channel=channel)
    return handled


def _decide(
    claimed: list[ledger.Claimed], *, channel: str, last_start: float, clock: Callable[[], datetime]
) -> Iterator[Decided]:
    """A verdict for each claimed delivery: first those that need no call, then the others as they are sent."""
    to_send: list[tuple[ledger.Claimed, Message]] = []
    for delivery in claimed:
        verdict = recheck(delivery, now=clock())
        if verdict is None:
            try:
                to_send.append((delivery, letters.write(delivery)))
                continue
            except Exception as error:
                # One letter that cannot be written must not hold up the others of its claim.
                log.exception("letter.failed", trace_id=delivery.trace_id, delivery=delivery.id)
                outcome = Outcome(Result.FAILED, code="unwritable", detail=type(error).__name__)
                verdict = ledger.Verdict(DeliveryState.FAILED, outcome=outcome)
        yield delivery, verdict
    if to_send:
        yield from _send(to_send, channel=channel, last_start=last_start, clock=clock)


def recheck(delivery: ledger.Claimed, *, now: datetime) -> ledger.Verdict | None:
    """Why this delivery should not go out now, although it is due. None: send it."""
    if delivery.cancelled:
        return ledger.Verdict(DeliveryState.CANCELLED, Reason.CANCELLED, uncounted=True)
    if delivery.expires_at and delivery.expires_at <= now:
        return ledger.Verdict(DeliveryState.SUPPRESSED, Reason.EXPIRED, uncounted=True)
    if delivery.reason == Reason.WAITING_FOR_READ and delivery.handled:
        return ledger.Verdict(DeliveryState.SUPPRESSED, Reason.ALREADY_READ, uncounted=True)
    if delivery.lost and not delivery.resend_unknown:
        return ledger.Verdict(DeliveryState.UNKNOWN, Reason.LEASE_LOST, uncounted=True)
    if delivery.attempts > settings.MAX_ATTEMPTS:
        return ledger.Verdict(DeliveryState.FAILED, Reason.ATTEMPTS_EXHAUSTED, uncounted=True)
    return None


def _send(
    to_send: list[tuple[ledger.Claimed, Message]], *, channel: str, last_start: float, clock: Callable[[], datetime]
) -> Iterator[Decided]:
    """Send one after the other; what was not begun by `last_start` is given back, and costs no attempt."""
    sender = registry.channel(channel)
    outcomes = sender.send([message for _, message in to_send])
    for position, (delivery, _) in enumerate(to_send):
        if time.monotonic() > last_start:
            for rest, _ in to_send[position:]:
                yield rest, ledger.Verdict(DeliveryState.PENDING, due_at=clock(), uncounted=True)
            return
        started_at = clock()
        try:
            outcome = next(outcomes)
        except Exception:
            # A bug in the provider. The message may have left; the others of this batch were not touched.
            log.exception("provider.crashed", channel=channel, trace_id=delivery.trace_id)
            outcome = Outcome(Result.UNKNOWN, code="crashed")
            outcomes = sender.send([message for _, message in to_send[position + 1 :]])
        step = retry.after(
            outcome,
            attempts=delivery.attempts,
            max_attempts=settings.MAX_ATTEMPTS,
            resend_unknown=delivery.resend_unknown,
            expires_at=delivery.expires_at,
            now=clock(),
            chance=random.random(),  # noqa: S311  jitter, not a secret
        )
        yield delivery, ledger.Verdict(step.state, step.reason, step.due_at, outcome, started_at)


def _record(decided: list[Decided], *, clock: Callable[[], datetime]) -> None:
    written = ledger.record(decided, now=clock())
    for delivery, verdict in decided:
        log.info(
            "delivery.recorded" if delivery.id in written else "delivery.lease_lost",
            trace_id=delivery.trace_id,
            delivery=delivery.id,
            state=verdict.state,
            reason=verdict.reason,
            result=verdict.outcome.result if verdict.outcome else None,
            code=verdict.outcome.code if verdict.outcome else None,
            duplicate_suspected=delivery.lost and verdict.state == DeliveryState.SENT,
        )
