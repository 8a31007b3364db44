"""
Dispatch: claim due deliveries, check that they should still go, send them, write down what was said.

No transaction is open during a call, and a call starts only with lease left. A crash between "accepted by
the provider" and "recorded" is the only source of a duplicate: the next claim counts it in `lost_claims`.
"""

import random
import time
from collections.abc import Callable
from datetime import datetime

from django.conf import settings

from core import queue
from delivery import budgets, letters, recheck, registry, rounds
from notifications import breakers, digests, ledger
from notifications.values import Message, Outcome, Result
from notifications.words import DeliveryState, Lane

AT_ONCE = 50  # deliveries in one claim
TIME_BOX = 2.0  # seconds in which calls may start; then the lane is handed on
MARGIN = 5.0  # seconds of lease that must remain beside the provider's time-out when a call starts


def deliver(
    *,
    channel: str,
    lane: Lane,
    clock: Callable[[], datetime],
    chance: Callable[[], float] = random.random,  # jitter, not a secret
) -> int:
    """
    Send what is due on a channel in a lane, until nothing is or the time box ends. Returns how many were claimed.

    Safe to run twice and at once: a claim is exclusive, and only the holder of the newest token records. When
    the provider is away, what is left of the claim waits for PAUSE, and nobody is asked to go on at once.
    """
    stop_at = time.monotonic() + TIME_BOX
    handled = 0
    choice: breakers.Choice | None = None
    while time.monotonic() < stop_at:
        lease_ends, now = time.monotonic() + settings.LEASE.total_seconds(), clock()
        if choice is None:
            choice = breakers.choose(registry.providers(channel), now=now, probe_for=settings.LEASE)
        if choice is None:
            return handled  # every provider is left alone: what is due stays due, and no attempt is counted
        claimed = ledger.claim(channel=channel, lane=lane, limit=1 if choice.probing else AT_ONCE, now=now)
        handled += len(claimed)
        sender = registry.channel(channel, choice.provider)
        letters_ = _letters(claimed, channel=channel, now=now, clock=clock)
        if not letters_:
            breakers.keep_probe(choice, now=now)
            if not claimed:
                return handled
            choice = None if choice.probing else choice
            continue
        round_ = rounds.Round(
            sender,
            letters_,
            channel=channel,
            provider=choice.provider,
            spent_at=now,
            clock=clock,
            chance=chance,
            probing=choice.probing,
        )
        round_.run(last_start=min(stop_at, lease_ends - sender.timeout - MARGIN))
        breakers.report(choice, answered=round_.answered, streak=round_.streak, detail=round_.trouble, now=clock())
        if round_.provider_away and len(registry.providers(channel)) == 1:
            return handled
        if choice.probing or round_.streak:
            choice = None  # it may have another standing now
    queue.send(queue.DELIVER, lane=lane, channel=channel)
    return handled


def _letters(
    claimed: list[ledger.Claimed], *, channel: str, now: datetime, clock: Callable[[], datetime]
) -> list[rounds.Letter]:
    """What should go out of a claim, written; the rest is recorded with its reason."""
    going: list[tuple[ledger.Claimed, list[ledger.Item]]] = []
    decided: list[rounds.Decided] = []
    left_out: list[digests.LeftOut] = []
    entries = _entries(claimed)
    for held in claimed:
        delivery, items, out = _sorted_out(held, entries.get(held.digest_id, []), channel=channel, now=now)
        verdict = recheck.look(delivery, channel=channel, max_attempts=settings.MAX_ATTEMPTS, now=now)
        if verdict is None:
            left_out += out
            if not items:
                verdict = recheck.empty(delivery)
        if verdict is None:
            going.append((delivery, items))
        else:
            decided.append((delivery, verdict))
    digests.leave_out(left_out, now=now)
    above = budgets.above([delivery for delivery, _ in going], channel=channel, now=now)
    decided += above
    held_back = {delivery.id for delivery, _ in above}
    going = [letter for letter in going if letter[0].id not in held_back]
    letters_, unwritable = [], []
    for (delivery, _), message in zip(going, letters.write_all(going), strict=True):
        if isinstance(message, Message):
            letters_.append((delivery, message))
        else:
            outcome = Outcome(Result.FAILED, code="unwritable", detail=type(message).__name__)
            decided.append((delivery, ledger.Verdict(DeliveryState.FAILED, outcome=outcome)))
            unwritable.append(delivery)
    rounds.record(decided, clock=clock)
    budgets.refund(unwritable, channel=channel, spent_at=now)
    return letters_


def _entries(claimed: list[ledger.Claimed]) -> dict[int | None, list[digests.InDigest]]:
    """By digest, what is in those that this claim carries: one query, or none."""
    entries: dict[int | None, list[digests.InDigest]] = {}
    carried = [one.digest_id for one in claimed if one.digest_id is not None]
    for entry in digests.items(carried) if carried else []:
        entries.setdefault(entry.digest_id, []).append(entry)
    return entries


def _sorted_out(
    delivery: ledger.Claimed, entries: list[digests.InDigest], *, channel: str, now: datetime
) -> tuple[ledger.Claimed, list[ledger.Item], list[digests.LeftOut]]:
    """What a delivery says; of a digest what is still wanted, and what is not with its reason."""
    if delivery.item is not None:
        return delivery, [delivery.item], []
    found = [(entry, recheck.left_out(entry, delivery=delivery, channel=channel, now=now)) for entry in entries]
    items = [entry.item for entry, out in found if out is None]
    delivery = delivery._replace(never_twice=not all(item.resend_unknown for item in items))
    return delivery, items, [out for _, out in found if out is not None]
