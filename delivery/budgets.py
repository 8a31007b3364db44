"""
Budgets: a person gets at most so many messages an hour on a channel; what is above becomes a digest instead
of a loss. `critical` is exempt, and so is a digest, which is how the rest arrives.
"""

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings

from notifications import choices, hours, spending
from notifications.ledger import Claimed, Verdict
from notifications.words import DeliveryState, Priority, Reason


def above(going: Sequence[Claimed], *, channel: str, now: datetime) -> list[tuple[Claimed, Verdict]]:
    """Count what is about to go, one statement; what is above the budget, with where it goes instead."""
    limit = _limit(channel)
    counted = [delivery for delivery in going if _counts(delivery)] if limit else []
    wanted = [spending.Wanted(delivery.id, delivery.user_id) for delivery in counted]
    over = spending.spend(wanted, channel=channel, limit=limit, now=now)
    return [(delivery, _into_digest(delivery, limit=limit, now=now)) for delivery in counted if delivery.id in over]


def refund(unsent: Sequence[Claimed], *, channel: str, spent_at: datetime) -> None:
    """What was counted and did not go leaves its budget to others."""
    users = [delivery.user_id for delivery in unsent if _counts(delivery)] if _limit(channel) else []
    spending.refund(users, channel=channel, spent_at=spent_at)


def _limit(channel: str) -> int:
    return int(settings.DELIVERY_CHANNELS[channel].get("PER_HOUR", 0))


def _counts(delivery: Claimed) -> bool:
    # What may have been sent was counted then, and a digest must not repeat it.
    return delivery.item is not None and delivery.item.priority != Priority.CRITICAL and not delivery.lost


def _into_digest(delivery: Claimed, *, limit: int, now: datetime) -> Verdict:
    chosen = choices.read(delivery.raw)
    due_at = hours.next_digest(hours.Frequency(every=hours.Every.HOUR), chosen.zone, now)
    due_at = hours.quiet_until(chosen.quiet, chosen.zone, due_at) or due_at
    return Verdict(DeliveryState.DIGESTED, Reason.BUDGET, due_at, rule=f"budget:{limit}")
