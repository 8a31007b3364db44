"""
The one resolver: does this person get this event on this channel, when, and which rule says so. Pure.

It serves the send, the check just before a message leaves, the preview ("what would happen?") and
`/settings/effective`, so that they cannot differ. The chain, from the weakest rule to the strongest:

    type -> template -> person's channel switch -> person's category -> person's type -> person's topic

The most specific rule that says something wins; inside a template the same order holds. `required` and
`not_allowed` on a type, and channels that the event itself does not name, stand above all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
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
    topics: tuple[str, ...] = ()  # the topic it went to; its object, which may be a topic that people follow or mute
    priority: str = Priority.NORMAL
    channels: tuple[str, ...] = ()  # the type's: used when nobody says otherwise
    requested: tuple[str, ...] | None = None  # the event's own: no others are used
    required: tuple[str, ...] = ()
    not_allowed: tuple[str, ...] = ()


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
    """Whether, when and why. `critical` is never held and never gathered; the inbox itself knows no waiting."""
    decision = resolve(channel=channel, facts=facts, choices=choices, now=now)
    if decision.value == Value.OFF or channel == IN_APP or facts.priority == Priority.CRITICAL:
        return Decision(Value.ON, decision.rule) if decision.value == Value.DIGEST else decision
    quiet_end = hours.quiet_until(choices.quiet, choices.zone, now) if choices.quiet else None
    if decision.value == Value.DIGEST:
        due_at = next_digest(channel=channel, choices=choices, now=now)
        return Decision(Value.DIGEST, decision.rule, Reason.DIGEST, due_at)
    if quiet_end:
        return Decision(Value.ON, decision.rule, Reason.QUIET_HOURS, quiet_end)
    return decision


def resolve(*, channel: str, facts: Facts, choices: Choices, now: datetime) -> Decision:
    """On, off or digest, and the rule; without the time."""
    if channel in facts.not_allowed:
        return Decision(Value.OFF, "not_allowed", Reason.NOT_ALLOWED)
    if channel in facts.required:
        return Decision(Value.ON, "required")
    if facts.requested is not None and channel not in facts.requested:
        return Decision(Value.OFF, "event", Reason.NOT_REQUESTED)
    # Who asked not to be disturbed is not; the inbox disturbs nobody.
    if choices.muted_until and now < choices.muted_until and channel != IN_APP:
        return Decision(Value.OFF, "person:muted_until", Reason.MUTED)
    for whose, switches in (("person", choices.person), ("template", choices.template)):
        for scope in _scopes(facts):
            chosen = switches.settings.get((scope, channel))
            if chosen is not None:
                return Decision(chosen, f"{whose}:{scope}", Reason.MUTED if chosen == Value.OFF else None)
        if channel in switches.channels:
            if not switches.channels[channel]:
                return Decision(Value.OFF, f"{whose}:channel", Reason.MUTED)
            return _at_frequency(channel, rule=f"{whose}:channel", choices=choices)
    if facts.requested is not None:
        return _at_frequency(channel, rule="event", choices=choices)
    if channel in facts.channels:
        return _at_frequency(channel, rule="type", choices=choices)
    return Decision(Value.OFF, "type", Reason.NOT_REQUESTED)


def _scopes(facts: Facts) -> list[str]:
    """What a setting can be made for, the most specific first."""
    return [*(f"topic:{key}" for key in facts.topics), f"type:{facts.type}", f"category:{facts.category}"]


def _at_frequency(channel: str, *, rule: str, choices: Choices) -> Decision:
    """On, as often as the person wants this channel. (A setting that says "on" means at once.)"""
    frequency = choices.digests.get(channel, INSTANT)
    gathered = frequency.every != hours.Every.INSTANT and channel != IN_APP
    return Decision(Value.DIGEST if gathered else Value.ON, rule)


def next_digest(*, channel: str, choices: Choices, now: datetime) -> datetime:
    """When a digest that opens now goes: never in quiet hours."""
    frequency = choices.digests.get(channel, INSTANT)
    if frequency.every == hours.Every.INSTANT:
        frequency = GATHERED
    due_at = hours.next_digest(frequency, choices.zone, now)
    return hours.quiet_until(choices.quiet, choices.zone, due_at) or due_at
