"""From a claimed event and its recipient to a plan: each distinct situation is planned once."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings

from notifications import choices, digests, ledger
from notifications.events import Claimed
from notifications.recipients import Recipient
from notifications.resolver import Facts, facts_of
from workers import routing, wording

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """A plan, and its decisions as the notification keeps them. One object per situation: compared by identity."""

    plan: routing.Plan
    text: str


class Planner:
    """
    The plans of one turn of a worker. What it remembers is keyed by the texts of what people chose, so that a
    change is another situation; the times in a plan are at most as old as the turn, and looked at again at the claim.
    """

    def __init__(self) -> None:
        self.writer = wording.Writer()
        self._available = tuple(settings.DELIVERY_CHANNELS)
        self._facts: dict[UUID, tuple[int, Facts]] = {}
        self._numbers: dict[tuple[Facts, int | None, datetime | None], int] = {}
        self._decided: dict[tuple[int, bool, bool, choices.Raw], Decided] = {}

    def decide(self, event: Claimed, recipient: Recipient, *, now: datetime) -> Decided:
        """What to do with this event for this person."""
        number, facts = self._facts.get(event.id) or self._number(event)
        key = number, bool(recipient.email), bool(recipient.devices), recipient.raw
        found = self._decided.get(key)
        if found is None:
            found = self._decided[key] = self._plan(event, facts, recipient, now=now)
        return found

    def _number(self, event: Claimed) -> tuple[int, Facts]:
        """Events of which the same is to be decided share a number: comparing it is cheap."""
        facts = facts_of(event)
        same = facts, event.email_if_unread_after, event.expires_at
        number = self._numbers.setdefault(same, len(self._numbers))
        self._facts[event.id] = number, facts
        return number, facts

    def _plan(self, event: Claimed, facts: Facts, recipient: Recipient, *, now: datetime) -> Decided:
        situation = routing.Situation(
            facts=facts,
            choices=choices.read(recipient.raw),
            available=self._available,
            reachable=frozenset(channel for channel in self._available if recipient.addresses(channel)),
            email_if_unread_after=event.email_if_unread_after,
            expires_at=event.expires_at,
        )
        plan = routing.plan(situation, now=now)
        return Decided(plan, _encode({channel: _told(asdict(one)) for channel, one in plan.decisions}).decode())


def _told(decision: dict[str, Any]) -> dict[str, Any]:
    """What the notification keeps: the delivery has the time."""
    return {name: value for name, value in decision.items() if value is not None and name != "due_at"}


def gathered(delivery: ledger.Added, event: Claimed, recipient: Recipient, leg: routing.Leg) -> digests.Gathered:
    """A delivery that was just written, on its way into its digest."""
    return digests.Gathered(
        id=delivery.id,
        token=0,
        user_id=recipient.user_id,
        channel=delivery.channel,
        address=delivery.address,
        category=event.category,
        key=event.digest_key,
        reason=leg.reason or "",
        rule=leg.rule,
        due_at=leg.due_at,
    )
