"""
Preview: who would get what, on which channel, when, and why not; nothing is written.

The same audience, choices and plan as a send, so that what it says is what happens, unless somebody changes
their mind in between. Two things are decided later and are not in it: a message above the hourly budget goes
into a digest, and what was read is not mailed.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from notifications import drafts, recipients
from notifications.submission import Submission
from notifications.words import IN_APP
from workers import planning, routing

NAMED = 100  # people who are told of one by one
AT_ONCE = 2000  # read together: nothing is locked, so that a chunk may be larger than that of a send


@dataclass(frozen=True, slots=True)
class Preview:
    """What would happen: totals by channel, value and Reason, and the first people one by one."""

    at: datetime
    expired: bool
    recipients: int
    unknown_users: list[str]
    channels: dict[str, dict[str, dict[str, int]]]
    people: list[dict[str, Any]]


def preview(submission: Submission, *, now: datetime) -> Preview:
    """
    What a send of this event would do, at its `send_at` or now. Raises Invalid as a send would.

    In a transaction that may not write. One query per AT_ONCE people, and one plan per distinct situation.
    """
    at = submission.due_at(now)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        event = drafts.draft(submission, now=now)
        if event.expires_at and event.expires_at <= at:
            return Preview(at=at, expired=True, recipients=0, unknown_users=[], channels={}, people=[])
        planner = planning.Planner()
        plans: Counter[planning.Decided] = Counter()
        people: list[dict[str, Any]] = []
        unknown: list[str] = []
        for chunk in recipients.chunks([event], limit=AT_ONCE):
            unknown += chunk.steps[0].unknown_users
            decided = [planner.decide(event, recipient, now=at) for _, recipient in chunk.lines]
            plans.update(decided)
            for (_, recipient), one in zip(chunk.lines[: NAMED - len(people)], decided, strict=False):
                people.append({"user": recipient.username, "channels": _person(one.plan, at=at)})
    return Preview(
        at=at,
        expired=False,
        recipients=plans.total(),
        unknown_users=unknown,
        channels=_totals(plans, at=at),
        people=people,
    )


def _totals(plans: Counter[planning.Decided], *, at: datetime) -> dict[str, dict[str, dict[str, int]]]:
    """By channel and value: how many for each Reason; "now" for those who do not wait."""
    totals: dict[str, dict[str, dict[str, int]]] = {}
    for decided, count in plans.items():
        for channel, told in _person(decided.plan, at=at).items():
            reasons = totals.setdefault(channel, {}).setdefault(told["value"], {})
            reasons[told["reason"] or "now"] = reasons.get(told["reason"] or "now", 0) + count
    return totals


def _person(plan: routing.Plan, *, at: datetime) -> dict[str, dict[str, Any]]:
    """By channel: the value, the rule, the Reason, and when (None: never)."""
    legs = {leg.channel: leg for leg in plan.legs}
    told: dict[str, dict[str, Any]] = {}
    for channel, decision in plan.decisions:
        leg = legs.get(channel)
        in_inbox = channel == IN_APP and plan.visible
        told[channel] = {
            "value": decision.value,
            "rule": decision.rule,
            "reason": (leg.reason if leg else decision.reason) or "",
            "at": leg.due_at if leg else at if in_inbox else None,
        }
    return told
