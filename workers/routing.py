"""
Routing: who gets what, on which channel, when, and why not. Pure: no table, no clock, no I/O.

Decided once per distinct situation: two people whose situations are equal share one plan.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from notifications import resolver
from notifications.resolver import Choices, Decision, Facts
from notifications.words import IN_APP, Reason, Value


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything the decision depends on, and nothing else."""

    facts: Facts
    choices: Choices
    available: tuple[str, ...]  # channels this installation has, beside the inbox
    reachable: frozenset[str]  # channels the person has an address on
    email_if_unread_after: int | None = None  # seconds
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Leg:
    """One delivery to make. `reason` says why it waits; `gathered`: it goes into the digest of `due_at`."""

    channel: str
    rule: str
    due_at: datetime
    reason: Reason | None = None
    gathered: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision: in the inbox or not, the legs, and what was decided for every channel."""

    visible: bool
    legs: tuple[Leg, ...]
    decisions: tuple[tuple[str, Decision], ...]


def plan(situation: Situation, *, now: datetime) -> Plan:
    """What to do in this situation. Every channel is on, off with a Reason, or gathered into a digest."""
    decisions: dict[str, Decision] = {}
    facts = situation.facts
    for channel in dict.fromkeys((IN_APP, *situation.available, *(facts.requested or ()), *facts.channels)):
        decision = resolver.decide(channel=channel, facts=facts, choices=situation.choices, now=now)
        if decision.value != Value.OFF and channel != IN_APP:
            if channel not in situation.available:
                decision = Decision(Value.OFF, "installation", Reason.NOT_INSTALLED)
            elif channel not in situation.reachable:
                decision = Decision(Value.OFF, "address", Reason.NO_ADDRESS)
        decisions[channel] = decision
    visible = decisions[IN_APP].value != Value.OFF
    legs = []
    for channel, decision in decisions.items():
        if decision.value == Value.OFF or channel == IN_APP:
            continue
        leg = _leg(channel, decision, situation=situation, visible=visible, now=now)
        if situation.expires_at and leg.due_at >= situation.expires_at:
            # It would wait longer than it is worth.
            decisions[channel] = Decision(Value.OFF, decision.rule, Reason.EXPIRED)
        else:
            legs.append(leg)
    return Plan(visible=visible, legs=tuple(legs), decisions=tuple(decisions.items()))


def _leg(channel: str, decision: Decision, *, situation: Situation, visible: bool, now: datetime) -> Leg:
    """A delivery. A mail that is only wanted while unread waits, if there is a line in the inbox to be read."""
    due_at = decision.due_at or now
    if decision.value == Value.DIGEST:
        return Leg(channel, decision.rule, due_at, decision.reason, gathered=True)
    if channel == "email" and visible and situation.email_if_unread_after:
        later = now + timedelta(seconds=situation.email_if_unread_after)
        if later >= due_at:
            later = resolver.wait_for_day(facts=situation.facts, choices=situation.choices, now=later)
            return Leg(channel, decision.rule, later, Reason.WAITING_FOR_READ)
    return Leg(channel, decision.rule, due_at, decision.reason)
