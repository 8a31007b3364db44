"""
The one resolver: does this person get this event on this channel, when, and which rule says so. Pure.

It serves the send, the check just before a message leaves, the preview ("what would happen?") and
`/settings/effective`, so that they cannot differ. The chain, from the weakest rule to the strongest:

    type -> template -> person's channel switch -> person's category -> person's type -> person's topic

The most specific rule that says something wins; inside a template the same order holds. Above the chain stand, the
strongest first: `not_allowed` and `required` on a type, the event's own list of channels, a person's `muted_until`.
docs/subsystems/deciding.md has it with examples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from notifications import hours
from notifications.words import IN_APP, Priority, Reason, Value

UTC = ZoneInfo("UTC")
INSTANT = hours.Frequency(every=hours.Every.INSTANT)
GATHERED = hours.Frequency()  # for "digest" from somebody who did not say how often: every day at nine


@dataclass(frozen=True, slots=True)
class Facts:
    """What an event and its type say."""

    type: str
    category: str
    topics: tuple[str, ...] = ()  # its object, when people follow or mute that; the topic it went to. The first wins
    priority: str = Priority.NORMAL
    channels: tuple[str, ...] = ()  # the type's: used when nobody says otherwise
    requested: tuple[str, ...] | None = None  # the event's own: no others are used
    required: tuple[str, ...] = ()
    not_allowed: tuple[str, ...] = ()


def facts_of(row: Any) -> Facts:
    """The facts of a claimed event, or of the item of a delivery: both name them alike."""
    return Facts(
        type=row.type,
        category=row.category,
        topics=tuple(dict.fromkeys(key for key in (row.object, row.topic) if key)),  # one task before its project
        priority=row.priority,
        channels=tuple(row.type_channels),
        requested=None if row.channels is None else tuple(row.channels),
        required=tuple(row.required),
        not_allowed=tuple(row.not_allowed),
    )


@dataclass(frozen=True, slots=True)
class Switches:
    """What a person, or a template, chose: by channel, and by ("category:tasks", channel)."""

    channels: Mapping[str, bool] = field(default_factory=dict)
    settings: Mapping[tuple[str, str], Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choices:
    """Everything about a person that a decision depends on, what they left out filled from their template."""

    person: Switches = Switches()
    template: Switches = Switches()
    locale: str = ""
    zone: ZoneInfo = UTC
    quiet: tuple[hours.Window, ...] = ()
    digests: Mapping[str, hours.Frequency] = field(default_factory=dict)
    muted_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """
    What to do on a channel, the rule that said so, and for all but "now" the Reason.

    `due_at`: when a held message goes, or when the digest it goes into does; None is now (or never).
    """

    value: Value
    rule: str
    reason: Reason | None = None
    due_at: datetime | None = None


def decide(*, channel: str, facts: Facts, choices: Choices, now: datetime) -> Decision:
    """Whether, when and why. Every wait has a Reason and a `due_at` after `now`."""
    decision = resolve(channel=channel, facts=facts, choices=choices, now=now)
    if decision.value == Value.DIGEST:
        return replace(decision, due_at=next_digest(channel=channel, choices=choices, now=now))
    if decision.value == Value.ON and not _never_waits(channel, facts):
        quiet_end = hours.quiet_until(choices.quiet, choices.zone, now)
        if quiet_end:
            return replace(decision, reason=Reason.QUIET_HOURS, due_at=quiet_end)
    return decision


def resolve(*, channel: str, facts: Facts, choices: Choices, now: datetime) -> Decision:
    """On, off or digest, and the rule; without the time. `now` matters to `muted_until` only."""
    if channel in facts.not_allowed:
        return Decision(Value.OFF, "not_allowed", Reason.NOT_ALLOWED)
    if channel in facts.required:
        return Decision(Value.ON, "required")
    if facts.requested is not None and channel not in facts.requested:
        return Decision(Value.OFF, "event", Reason.NOT_REQUESTED)
    # Who asked not to be disturbed is not; the inbox disturbs nobody.
    if choices.muted_until and now < choices.muted_until and channel != IN_APP:
        return Decision(Value.OFF, "person:muted_until", Reason.MUTED)
    value, rule = _most_specific(channel, facts, choices)
    if value == Value.OFF:
        return Decision(value, rule, Reason.NOT_REQUESTED if rule == "type" else Reason.MUTED)
    if value == Value.DIGEST and not _never_waits(channel, facts):
        return Decision(value, rule, Reason.DIGEST)
    return Decision(Value.ON, rule)


def next_digest(*, channel: str, choices: Choices, now: datetime) -> datetime:
    """When a digest that opens now goes: never in quiet hours."""
    frequency = choices.digests.get(channel, INSTANT)
    if frequency.every == hours.Every.INSTANT:
        frequency = GATHERED
    due_at = hours.next_digest(frequency, choices.zone, now)
    return hours.quiet_until(choices.quiet, choices.zone, due_at) or due_at


def wait_for_day(*, facts: Facts, choices: Choices, now: datetime) -> datetime:
    """`now`, or the end of the quiet hours it lies in; what is critical does not wait for it."""
    if facts.priority == Priority.CRITICAL:
        return now
    return hours.quiet_until(choices.quiet, choices.zone, now) or now


def scopes(facts: Facts) -> list[str]:
    """What a setting that speaks of such an event can be for, the most specific first."""
    return [*(f"topic:{key}" for key in facts.topics), f"type:{facts.type}", f"category:{facts.category}"]


def _most_specific(channel: str, facts: Facts, choices: Choices) -> tuple[Value, str]:
    """What the most specific rule that speaks says, and its name."""
    # A setting's "on" means at once. A switch and a default only mean "yes": then, as often as the person wants.
    frequency = choices.digests.get(channel, INSTANT)
    yes = Value.ON if frequency.every == hours.Every.INSTANT else Value.DIGEST
    for whose, switches in (("person", choices.person), ("template", choices.template)):
        for scope in scopes(facts):
            if (scope, channel) in switches.settings:
                return switches.settings[scope, channel], f"{whose}:{scope}"
        if channel in switches.channels:
            return yes if switches.channels[channel] else Value.OFF, f"{whose}:channel"
    if facts.requested is not None:
        return yes, "event"
    return yes if channel in facts.channels else Value.OFF, "type"


def _never_waits(channel: str, facts: Facts) -> bool:
    """Neither held nor gathered: what is critical, and the inbox, which disturbs nobody."""
    return channel == IN_APP or facts.priority == Priority.CRITICAL
