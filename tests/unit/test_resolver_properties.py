"""What holds for whatever people, templates, types and events say: an independent reading of the chain."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from notifications.hours import HORIZON, Every, Frequency, Window, quiet_until
from notifications.resolver import Choices, Decision, Facts, Switches, decide, resolve
from notifications.words import IN_APP, Priority, Reason, Value

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
FACTS = Facts(type="task.assigned", category="tasks", topics=("task-42", "project-7"))
SCOPES = ("category:tasks", "type:task.assigned", "topic:project-7", "topic:task-42")
INSTANT = Frequency(Every.INSTANT)

# The rules from the least to the most specific; `Said` is what some of them say.
ORDER = [
    "type",
    "event",
    *(f"{whose}:{one}" for whose in ("template", "person") for one in ("channel", *SCOPES)),
]
Said = dict[str, Any]
SAID = st.fixed_dictionaries(
    {"type": st.booleans()},
    optional={"event": st.just(True)}
    | {rule: st.booleans() if rule.endswith("channel") else st.sampled_from(Value) for rule in ORDER[2:]},
)
OFTEN = st.sampled_from([INSTANT, *(Frequency(every) for every in (Every.HOUR, Every.DAY, Every.WEEK))])
CHANNELS = st.sampled_from(["email", "push", IN_APP])
PRIORITIES = st.sampled_from(Priority)
NOWS = st.datetimes(datetime(2025, 1, 1), datetime(2025, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
TIMES = st.times().map(lambda at: at.replace(second=0, microsecond=0))
MOODS = st.builds(
    Choices,
    zone=st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]).map(ZoneInfo),
    quiet=st.lists(st.builds(Window, st.frozensets(st.integers(0, 6)), TIMES, TIMES), max_size=3).map(tuple),
    digests=st.dictionaries(CHANNELS, OFTEN),
    muted_until=st.none() | NOWS,
)


def situation(said: Said, channel: str, mood: Choices, priority: Priority) -> dict[str, Any]:
    """Facts and choices in which these rules speak of this channel."""

    def of(whose: str) -> Switches:
        own = {rule.partition(":")[2]: value for rule, value in said.items() if rule.startswith(whose)}
        channels = {channel: bool(own.pop("channel"))} if "channel" in own else {}
        return Switches(channels, {(scope, channel): Value(value) for scope, value in own.items()})

    facts = replace(
        FACTS,
        priority=priority,
        channels=(channel,) if said["type"] else (),
        requested=(channel,) if "event" in said else None,
    )
    return {"channel": channel, "facts": facts, "choices": replace(mood, person=of("person"), template=of("template"))}


SITUATIONS = st.builds(situation, SAID, CHANNELS, MOODS, PRIORITIES)


@given(said=SAID, channel=CHANNELS, mood=MOODS, priority=PRIORITIES)
def test_the_most_specific_rule_that_speaks_wins(said: Said, channel: str, mood: Choices, priority: Priority) -> None:
    rule = max(said, key=ORDER.index)
    value = said[rule]
    if value is False:
        value = Value.OFF
    elif value is True:
        value = Value.ON if mood.digests.get(channel, INSTANT) == INSTANT else Value.DIGEST
    if value == Value.DIGEST and (channel == IN_APP or priority == Priority.CRITICAL):
        value = Value.ON
    reason = {Value.ON: None, Value.DIGEST: Reason.DIGEST, Value.OFF: Reason.MUTED}[value]
    if said == {"type": False}:
        reason = Reason.NOT_REQUESTED
    found = resolve(**situation(said, channel, replace(mood, muted_until=None), priority), now=NOW)
    assert found == Decision(value, rule, reason)


@given(said=SAID, weaker=SAID, channel=CHANNELS, mood=MOODS, now=NOWS)
def test_a_less_specific_rule_never_changes_the_answer(
    said: Said, weaker: Said, channel: str, mood: Choices, now: datetime
) -> None:
    decides = max(ORDER.index(rule) for rule in said)
    kept = {rule: value for rule, value in said.items() if ORDER.index(rule) >= decides}
    other = {rule: value for rule, value in weaker.items() if ORDER.index(rule) < decides} | kept
    before, after = (situation(one, channel, mood, Priority.NORMAL) for one in (said, {"type": False} | other))
    assert decide(**before, now=now) == decide(**after, now=now)


@given(made=SITUATIONS, now=NOWS, unnamed=st.booleans())
def test_required_always_goes_and_not_allowed_never(made: dict[str, Any], now: datetime, unnamed: bool) -> None:
    channel, facts = made["channel"], made["facts"]
    facts = replace(facts, required=(channel,), requested=() if unnamed else facts.requested)
    found = decide(**made | {"facts": facts}, now=now)
    assert (found.value, found.rule) == (Value.ON, "required")
    assert found.reason in (None, Reason.QUIET_HOURS)
    refused = decide(**made | {"facts": replace(facts, not_allowed=(channel,))}, now=now)
    assert refused == Decision(Value.OFF, "not_allowed", Reason.NOT_ALLOWED)


@given(made=SITUATIONS, now=NOWS)
def test_critical_never_waits_and_is_muted_like_the_rest(made: dict[str, Any], now: datetime) -> None:
    usual, critical = (
        resolve(**made | {"facts": replace(made["facts"], priority=priority)}, now=now)
        for priority in (Priority.NORMAL, Priority.CRITICAL)
    )
    expected = usual if usual.value == Value.OFF else Decision(Value.ON, usual.rule)
    assert critical == expected
    assert decide(**made | {"facts": replace(made["facts"], priority=Priority.CRITICAL)}, now=now) == expected


@given(made=SITUATIONS, now=NOWS)
def test_a_wait_has_a_reason_and_ends_when_it_is_not_quiet(made: dict[str, Any], now: datetime) -> None:
    found = decide(**made, now=now)
    assert (found.due_at is not None) == (found.reason in (Reason.QUIET_HOURS, Reason.DIGEST))
    assert (found.value == Value.DIGEST) == (found.reason == Reason.DIGEST)
    if found.due_at:
        assert found.due_at > now
        assert made["channel"] != IN_APP
        quiet, zone = made["choices"].quiet, made["choices"].zone
        assert quiet_until(quiet, zone, found.due_at) is None or found.due_at - now >= HORIZON
