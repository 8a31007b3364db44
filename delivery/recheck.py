"""
The look just before a message leaves: should it still go, and now?

Everything may have changed since it was planned: read, expired, withdrawn, another preference, night. The
same resolver that planned it answers. Pure.
"""

from datetime import datetime

from notifications import choices, hours, resolver
from notifications.digests import InDigest, LeftOut
from notifications.ledger import Claimed, Item, Verdict
from notifications.words import PUSH, DeliveryState, Reason, Value


def look(delivery: Claimed, *, channel: str, max_attempts: int, now: datetime) -> Verdict | None:
    """Why this delivery should not go out now, although it is due. None: send it."""
    if channel == PUSH and delivery.device is None:
        return Verdict(_end_of(Reason.DEVICE_GONE, delivery), Reason.DEVICE_GONE, uncounted=True)
    chosen = choices.read(delivery.raw)
    alone = delivery.item is None  # a digest, or what cannot go into one
    if delivery.item is not None:
        unwanted = _unwanted(delivery.item, now=now)
        if unwanted:
            return Verdict(_end_of(unwanted, delivery), unwanted, uncounted=True)
        if delivery.item.only_unread and delivery.item.read:
            return Verdict(_end_of(Reason.ALREADY_READ, delivery), Reason.ALREADY_READ, uncounted=True)
        facts = resolver.facts_of(delivery.item)
        decision = resolver.decide(channel=channel, facts=facts, choices=chosen, now=now)
        if decision.value == Value.OFF:
            end = _end_of(decision.reason, delivery)
            return Verdict(end, decision.reason, rule=decision.rule, uncounted=True)
        alone = decision.value == Value.DIGEST and delivery.lost  # a digest must not repeat what may have been sent
        if decision.value == Value.DIGEST and not alone:
            return Verdict(DeliveryState.DIGESTED, decision.reason, decision.due_at, rule=decision.rule)
        if decision.due_at and decision.value == Value.ON:
            return Verdict(DeliveryState.PENDING, decision.reason, decision.due_at, rule=decision.rule, uncounted=True)
    night = hours.quiet_until(chosen.quiet, chosen.zone, now) if alone else None
    if night:
        return Verdict(DeliveryState.PENDING, Reason.QUIET_HOURS, night, uncounted=True)
    if delivery.lost and not delivery.resend_unknown:
        return Verdict(DeliveryState.UNKNOWN, Reason.LEASE_LOST, uncounted=True)
    if delivery.suppressed:
        return Verdict(_end_of(Reason.ADDRESS_SUPPRESSED, delivery), Reason.ADDRESS_SUPPRESSED, uncounted=True)
    if delivery.attempts > max_attempts:
        return Verdict(DeliveryState.FAILED, Reason.ATTEMPTS_EXHAUSTED, uncounted=True)
    return None


def left_out(entry: InDigest, *, delivery: Claimed, channel: str, now: datetime) -> LeftOut | None:
    """Why an item does not go into the digest it waited for. None: it does."""
    item = entry.item
    unwanted = _unwanted(item, now=now) or (Reason.ALREADY_READ if item.read else None)
    if unwanted:
        return LeftOut(entry.delivery_id, delivery.token, _end_of(unwanted, delivery), unwanted, "")
    decision = resolver.resolve(
        channel=channel, facts=resolver.facts_of(item), choices=choices.read(delivery.raw), now=now
    )
    if decision.value == Value.OFF:
        reason = decision.reason or Reason.MUTED
        return LeftOut(entry.delivery_id, delivery.token, _end_of(reason, delivery), reason, decision.rule)
    return None


def empty(delivery: Claimed) -> Verdict:
    """What becomes of a digest in which nothing is left."""
    return Verdict(_end_of(Reason.EMPTY_DIGEST, delivery), Reason.EMPTY_DIGEST, uncounted=True)


def _end_of(unwanted: Reason | None, delivery: Claimed) -> DeliveryState:
    if delivery.lost:
        return DeliveryState.UNKNOWN  # it may have gone before anybody changed their mind
    taken_back = unwanted in (Reason.CANCELLED, Reason.RETRACTED)
    return DeliveryState.CANCELLED if taken_back else DeliveryState.SUPPRESSED


def _unwanted(item: Item, *, now: datetime) -> Reason | None:
    """Why nobody wants it any more, whatever the person chose."""
    if item.retracted:
        return Reason.RETRACTED
    if item.cancelled:
        return Reason.CANCELLED
    if item.expires_at and item.expires_at <= now:
        return Reason.EXPIRED
    return None
