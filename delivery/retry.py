"""
Retry policy: what a delivery becomes after a provider's answer. Pure: the chance comes in as a number.

Waiting is exponential with full jitter (every client spreads over the whole interval, so that a thousand
failures do not come back as one herd; "Exponential Backoff And Jitter", AWS Architecture Blog, 2015),
never shorter than the provider's Retry-After.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from notifications.values import Outcome, Result
from notifications.words import DeliveryState, Reason

BASE = timedelta(seconds=10)
LONGEST = timedelta(hours=1)
SHORTEST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Next:
    """The state a delivery goes to; `due_at` only while it stays open."""

    state: DeliveryState
    reason: Reason | None = None
    due_at: datetime | None = None


def wait(*, attempts: int, retry_after: timedelta | None, chance: float) -> timedelta:
    """How long to wait after the n-th attempt. `chance` is uniform in [0, 1)."""
    ceiling = min(LONGEST, BASE * (1 << min(attempts - 1, 20)))
    return max(SHORTEST, ceiling * chance, retry_after or timedelta(0))


def after(
    outcome: Outcome,
    *,
    attempts: int,
    max_attempts: int,
    resend_unknown: bool,
    expires_at: datetime | None,
    now: datetime,
    chance: float,
) -> Next:
    """What becomes of a delivery after this outcome of its n-th attempt."""
    if outcome.result == Result.SENT:
        return Next(DeliveryState.SENT)
    if outcome.result in (Result.GONE, Result.FAILED):
        return Next(DeliveryState.FAILED)
    if outcome.result == Result.UNKNOWN and not resend_unknown:
        return Next(DeliveryState.UNKNOWN)
    if attempts >= max_attempts:
        last = DeliveryState.UNKNOWN if outcome.result == Result.UNKNOWN else DeliveryState.FAILED
        return Next(last, Reason.ATTEMPTS_EXHAUSTED)
    due_at = now + wait(attempts=attempts, retry_after=outcome.retry_after, chance=chance)
    if expires_at and due_at >= expires_at:
        return Next(DeliveryState.FAILED, Reason.EXPIRED)
    return Next(DeliveryState.PENDING, Reason.RETRYING, due_at)
