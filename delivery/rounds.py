"""
One round: the letters of a claim on their way to a provider, and what became of them written down.

They are begun in groups just before their calls, sent as the provider can, and recorded in groups: a crash
leaves doubt about one group at most.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice

from django.conf import settings

from core import logs, traces
from delivery import budgets, gone, registry, retry
from delivery.channels.base import Channel
from notifications import breakers, digests, ledger
from notifications.values import Message, Outcome, Result
from notifications.words import DeliveryState, Reason

log = logs.logger(__name__)

FLUSH = 10  # begun and recorded together by a provider that sends one by one: the most that one crash can send twice
PROBED = timedelta(days=1)  # so long the failed probes of a breaker are not counted against the one that was the probe
PAUSE = timedelta(seconds=30)  # for the rest of a claim when its provider turned out to be away

Letter = tuple[ledger.Claimed, Message]
Decided = tuple[ledger.Claimed, ledger.Verdict]


class Round:
    """The letters of one claim on their way: begun in groups, sent as the provider can, recorded in groups."""

    def __init__(
        self,
        sender: Channel,
        letters_: list[Letter],
        *,
        channel: str,
        provider: str,
        spent_at: datetime,
        clock: Callable[[], datetime],
        chance: Callable[[], float],
        probing: bool,
    ) -> None:
        self.provider_away = False
        self.answered = False  # some call had an answer that says that the provider is well
        self.streak = 0  # failed calls in a row at the end
        self.trouble = ""
        self._sender = sender
        self._channel = channel
        self._provider = provider.rpartition(".")[2]
        self._spent_at = spent_at
        self._clock = clock
        self._chance = chance
        self._probing = probing
        self._waiting = deque(letters_)
        self._begun: deque[tuple[ledger.Claimed, datetime]] = deque()  # handed to the provider, no outcome yet
        self._decided: list[Decided] = []
        self._unspent: list[ledger.Claimed] = []  # counted against a budget, and not sent
        self._turned_away: list[ledger.Claimed] = []  # found nobody, beside another that is counted
        self._gone: list[gone.Gone] = []

    def run(self, *, last_start: float) -> None:
        """Send until all is done, `last_start` has come or the provider is away; what was not sent is given back."""
        feed = self._feed(last_start)
        outcomes = self._sender.send(feed)
        while True:
            try:
                outcome = next(outcomes, None)
            except Exception:
                # A bug in the provider. What it had taken may have left; what is behind was not touched.
                log.exception("provider.crashed", channel=type(self._sender).__name__)
                outcome = Outcome(Result.UNKNOWN, code="crashed")
                while len(self._begun) > 1:
                    self._decide(outcome)
                outcomes = self._sender.send(feed)
            if outcome is None or not self._begun:
                break
            self._decide(outcome)
            self._judge(outcome)
            self.provider_away = self.provider_away or outcome.provider_away
        left = [*self._begun, *self._waiting]
        unsent = [*self._turned_away, *(delivery for delivery, _ in left)]
        back = ledger.Verdict(DeliveryState.PENDING, due_at=self._clock(), uncounted=True)
        if self.provider_away:
            # With somebody else to carry them they need not wait.
            alone = len(registry.providers(self._channel)) == 1
            again = self._clock() + (PAUSE if alone else timedelta(0))
            back = ledger.Verdict(DeliveryState.PENDING, Reason.PROVIDER_AWAY, due_at=again, uncounted=True)
        self._decided += [(delivery, back) for delivery in unsent]
        self._unspent += unsent
        self._flush()
        budgets.refund(self._unspent, channel=self._channel, spent_at=self._spent_at)
        gone.note(self._gone, now=self._clock())

    def _feed(self, last_start: float) -> Iterator[Message]:
        """The messages, lazily: each group is marked as begun just before its first call."""
        while self._waiting and not self.provider_away and time.monotonic() <= last_start:
            group = self._next_group()
            self._flush()
            # The attempt starts with the mark, not with its own call: what a person chose before it is obeyed.
            begun_at = self._clock()
            held = ledger.begin([delivery for delivery, _ in group])
            for delivery, message in group:
                if self.provider_away or time.monotonic() > last_start:
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

    def _next_group(self) -> list[Letter]:
        at_once = self._sender.at_once
        if at_once > 1:
            return list(islice(self._waiting, max(1, at_once - len(self._begun))))
        # What must never go twice begins alone, so that a death leaves no doubt about others.
        group = list(islice(self._waiting, FLUSH))
        alone = next((n for n, (delivery, _) in enumerate(group) if not delivery.resend_unknown), FLUSH)
        return group[: max(1, alone)]

    def _decide(self, outcome: Outcome) -> None:
        delivery, started_at = self._begun.popleft()
        if outcome.provider_away and self.provider_away:
            self._turned_away.append(delivery)
            return
        step = retry.after(
            outcome,
            attempts=delivery.attempts,
            max_attempts=settings.MAX_ATTEMPTS,
            resend_unknown=delivery.resend_unknown,
            expires_at=delivery.expires_at,
            now=self._clock(),
            chance=self._chance(),
        )
        verdict = ledger.Verdict(
            step.state,
            step.reason,
            step.due_at,
            outcome=outcome,
            started_at=started_at,
            uncounted=self._was_only_a_probe(delivery, outcome),
            provider=self._provider,
        )
        self._decided.append((delivery, verdict))
        if outcome.result not in (Result.SENT, Result.UNKNOWN):
            self._unspent.append(delivery)
        if outcome.result == Result.GONE:
            self._gone.append(gone.Gone(delivery, outcome, started_at))

    def _was_only_a_probe(self, delivery: ledger.Claimed, outcome: Outcome) -> bool:
        """
        The oldest delivery is the probe each time: that nobody was there must not use up its attempts. Not for
        ever: after PROBED it ends like every other.
        """
        young = delivery.item is not None and self._clock() - delivery.item.created_at < PROBED
        return self._probing and outcome.provider_away and young

    def _judge(self, outcome: Outcome) -> None:
        """What an outcome says of the provider, and not of its one message."""
        if outcome.result in (Result.SENT, Result.GONE, Result.FAILED):
            self.answered, self.streak = True, 0
        elif outcome.result != Result.THROTTLED and not outcome.scope:  # "slow down" is an answer, but no good one
            self.streak += 1
            self.provider_away = self.provider_away or self.streak >= breakers.THRESHOLD
            self.trouble = f"{outcome.result} {outcome.code} {outcome.detail}".strip()

    def _flush(self) -> None:
        record(self._decided, clock=self._clock)
        self._decided = []


def record(decided: list[Decided], *, clock: Callable[[], datetime]) -> None:
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
        if verdict.started_at:
            told = {"channel": delivery.channel, "state": verdict.state.value}
            traces.record("deliver", trace_id=delivery.trace_id, began=verdict.started_at, told=told)


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
