"""
Dispatch: claim due deliveries, check that they should still go, send them, write down what was said.

No transaction is open during a call, and a call starts only with lease left. A crash between "accepted by
the provider" and "recorded" is the only source of a duplicate: the next claim counts it in `lost_claims`.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice

from django.conf import settings

from core import logs, queue
from delivery import budgets, letters, recheck, registry, retry
from delivery.channels.base import Channel
from notifications import digests, ledger
from notifications.values import Message, Outcome, Result
from notifications.words import DeliveryState, Lane, Reason

log = logs.logger(__name__)

AT_ONCE = 50  # deliveries in one claim
FLUSH = 10  # begun and recorded together: the most that one crash can send twice
TIME_BOX = 2.0  # seconds in which calls may start; then the lane is handed on
MARGIN = 5.0  # seconds of lease that must remain beside the provider's time-out when a call starts
PAUSE = timedelta(seconds=30)  # for the rest of a claim when its provider turned out to be away

Letter = tuple[ledger.Claimed, Message]
Decided = tuple[ledger.Claimed, ledger.Verdict]


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
    while time.monotonic() < stop_at:
        lease_ends = time.monotonic() + settings.LEASE.total_seconds()
        claimed = ledger.claim(channel=channel, lane=lane, limit=AT_ONCE, now=clock())
        if not claimed:
            return handled
        handled += len(claimed)
        sender, now = registry.channel(channel), clock()
        letters_ = _letters(claimed, channel=channel, now=now, clock=clock)
        round_ = _Round(sender, letters_, channel=channel, spent_at=now, clock=clock, chance=chance)
        round_.run(last_start=min(stop_at, lease_ends - sender.timeout - MARGIN))
        if round_.provider_away:
            return handled
    queue.send(queue.DELIVER, lane=lane, channel=channel)
    return handled


def _letters(
    claimed: list[ledger.Claimed], *, channel: str, now: datetime, clock: Callable[[], datetime]
) -> list[Letter]:
    """What should go out of a claim, written; the rest is recorded with its reason."""
    going: list[tuple[ledger.Claimed, list[ledger.Item]]] = []
    decided: list[Decided] = []
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
    _record(decided, clock=clock)
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


class _Round:
    """The letters of one claim on their way: begun in groups, sent one after the other, recorded in groups."""

    def __init__(
        self,
        sender: Channel,
        letters_: list[Letter],
        *,
        channel: str,
        spent_at: datetime,
        clock: Callable[[], datetime],
        chance: Callable[[], float],
    ) -> None:
        self.provider_away = False
        self._sender = sender
        self._channel = channel
        self._spent_at = spent_at
        self._clock = clock
        self._chance = chance
        self._waiting = deque(letters_)
        self._begun: deque[tuple[ledger.Claimed, datetime]] = deque()  # handed to the provider, no outcome yet
        self._decided: list[Decided] = []
        self._unspent: list[ledger.Claimed] = []  # counted against a budget, and not sent

    def run(self, *, last_start: float) -> None:
        """Send until all is done, `last_start` has come or the provider is away; what was not sent is given back."""
        feed = self._feed(last_start)
        outcomes = self._sender.send(feed)
        while True:
            try:
                outcome = next(outcomes, None)
            except Exception:
                # A bug in the provider. The message may have left; those behind it were not touched.
                log.exception("provider.crashed", channel=type(self._sender).__name__)
                outcome = Outcome(Result.UNKNOWN, code="crashed")
                outcomes = self._sender.send(feed)
            if outcome is None or not self._begun:
                break
            self._decide(outcome)
            if outcome.provider_away:
                self.provider_away = True
                break
        unsent = [*(delivery for delivery, _ in self._begun), *(delivery for delivery, _ in self._waiting)]
        back = ledger.Verdict(DeliveryState.PENDING, due_at=self._clock(), uncounted=True)
        if self.provider_away:
            again = self._clock() + PAUSE
            back = ledger.Verdict(DeliveryState.PENDING, Reason.PROVIDER_AWAY, due_at=again, uncounted=True)
        self._decided += [(delivery, back) for delivery in unsent]
        self._unspent += unsent
        self._flush()
        budgets.refund(self._unspent, channel=self._channel, spent_at=self._spent_at)

    def _feed(self, last_start: float) -> Iterator[Message]:
        """The messages, lazily: each group is marked as begun just before its first call."""
        while self._waiting and time.monotonic() <= last_start:
            # What must never go twice begins alone, so that a death leaves no doubt about others.
            size = FLUSH if self._waiting[0][0].resend_unknown else 1
            group = list(islice(self._waiting, size))
            self._flush()
            # The attempt starts with the mark, not with its own call: what a person chose before it is obeyed.
            begun_at = self._clock()
            held = ledger.begin([delivery for delivery, _ in group])
            for delivery, message in group:
                if time.monotonic() > last_start:
                    return
                self._waiting.popleft()
                if delivery.id in held:
                    self._begun.append((delivery, begun_at))
                    yield message
                else:
                    # The person changed what they chose: it is decided anew. (Or the lease was lost: then this
                    # record finds nothing to write.)
                    again = ledger.Verdict(DeliveryState.PENDING, due_at=self._clock(), uncounted=True)
                    self._decided.append((delivery, again))
                    self._unspent.append(delivery)

    def _decide(self, outcome: Outcome) -> None:
        delivery, started_at = self._begun.popleft()
        step = retry.after(
            outcome,
            attempts=delivery.attempts,
            max_attempts=settings.MAX_ATTEMPTS,
            resend_unknown=delivery.resend_unknown,
            expires_at=delivery.expires_at,
            now=self._clock(),
            chance=self._chance(),
        )
        verdict = ledger.Verdict(step.state, step.reason, step.due_at, outcome=outcome, started_at=started_at)
        self._decided.append((delivery, verdict))
        if outcome.result not in (Result.SENT, Result.UNKNOWN):
            self._unspent.append(delivery)

    def _flush(self) -> None:
        _record(self._decided, clock=self._clock)
        self._decided = []


def _record(decided: list[Decided], *, clock: Callable[[], datetime]) -> None:
    now = clock()
    gathered = [
        _gathered(delivery, verdict) for delivery, verdict in decided if verdict.state == DeliveryState.DIGESTED
    ]
    rest = [(delivery, verdict) for delivery, verdict in decided if verdict.state != DeliveryState.DIGESTED]
    written = ledger.record(rest, now=now) | digests.gather(gathered, now=now)
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


def _gathered(delivery: ledger.Claimed, verdict: ledger.Verdict) -> digests.Gathered:
    if delivery.item is None or verdict.due_at is None:
        raise ValueError("Only a delivery of one notification goes into a digest, and a digest has an end.")
    return digests.Gathered(
        id=delivery.id,
        token=delivery.token,
        user_id=delivery.user_id,
        channel=delivery.channel,
        address=delivery.address,
        category=delivery.item.category,
        key=delivery.item.digest_key,
        reason=verdict.reason or "",
        rule=verdict.rule,
        due_at=verdict.due_at,
    )
