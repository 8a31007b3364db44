"""
Routing: who gets what, on which channel, when, and why not. Pure: no table, no clock, no I/O.

Decided once per distinct situation: two people whose situations are equal share one plan.
"""

from dataclasses import dataclass
from datetime import timedelta

from notifications.words import IN_APP, Reason


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything the decision depends on, and nothing else."""

    requested: tuple[str, ...]  # channels the event asks for
    available: tuple[str, ...]  # channels this installation has
    reachable: frozenset[str]  # channels the person has an address on
    email_if_unread_after: int | None = None  # seconds


@dataclass(frozen=True, slots=True)
class Leg:
    """One delivery to make, so long after the notification; `reason` says why it waits."""

    channel: str
    wait: timedelta = timedelta(0)
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision: in the inbox or not, which legs, and every channel left out with its reason."""

    visible: bool
    legs: tuple[Leg, ...]
    skipped: tuple[tuple[str, Reason], ...]


def plan(situation: Situation) -> Plan:
    """What to do in this situation. Every channel is either planned or skipped with a Reason."""
    legs: list[Leg] = []
    skipped: list[tuple[str, Reason]] = []
    visible = IN_APP in situation.requested
    if not visible:
        skipped.append((IN_APP, Reason.NOT_REQUESTED))
    for channel in dict.fromkeys((*situation.available, *situation.requested)):
        if channel == IN_APP:
            continue
        if channel not in situation.available:
            skipped.append((channel, Reason.NOT_INSTALLED))
        elif channel not in situation.requested:
            skipped.append((channel, Reason.NOT_REQUESTED))
        elif channel not in situation.reachable:
            skipped.append((channel, Reason.NO_ADDRESS))
        elif channel == "email" and visible and situation.email_if_unread_after:
            wait = timedelta(seconds=situation.email_if_unread_after)
            legs.append(Leg(channel=channel, wait=wait, reason=Reason.WAITING_FOR_READ))
        else:
            legs.append(Leg(channel=channel))
    return Plan(visible=visible, legs=tuple(legs), skipped=tuple(skipped))
