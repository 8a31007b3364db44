"""Who is reached on which channel, when, and by which rule: the whole chain, row by row."""

import re
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from types import SimpleNamespace

import pytest

from notifications.hours import Every, Frequency, Window
from notifications.resolver import Choices, Decision, Facts, Switches, decide, facts_of, resolve
from notifications.words import IN_APP, Reason, Value

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday, at noon
FACTS = Facts(type="task.assigned", category="tasks", topics=("task-42", "project-7"))
SCOPES = {
    "category": "category:tasks",
    "type": "type:task.assigned",
    "topic": "topic:project-7",
    "object": "topic:task-42",
}

# What is said, of the channel `email` unless `push` or `in_app` stands there, and the answer: value, rule, reason, and
# the day and hour until which it waits. The type says `default`, `required` or `not_allowed`; the event `named` or
# `unnamed` (it has a list of channels, and the channel is in it or not).
PHRASE = re.compile(
    "(|push|in_app|default|required|not_allowed|named|unnamed|high|critical"
    "|person (instant|hourly|daily|weekly|quiet|lie_in|muted|unmuted)"
    "|(template|person) (elsewhere off|channel (on|off)|(category|type|topic|object) (on|off|digest)))"
)
TABLE = """
# nobody chose
                                                                    -> off type not_requested
default                                                             -> on type
default, high                                                       -> on type
default, critical                                                   -> on type
critical                                                            -> off type not_requested
named                                                               -> on event
default, named                                                      -> on event
default, unnamed                                                    -> off event not_requested
unnamed                                                             -> off event not_requested
default, critical, unnamed                                          -> off event not_requested
required                                                            -> on required
not_allowed                                                         -> off not_allowed not_allowed
push, default                                                       -> on type
push                                                                -> off type not_requested
in_app, default                                                     -> on type
in_app                                                              -> off type not_requested
in_app, default, unnamed                                            -> off event not_requested
# one level of the person speaks
person channel on                                                   -> on person:channel
default, person channel on                                          -> on person:channel
default, person channel off                                         -> off person:channel muted
person channel off                                                  -> off person:channel muted
person category on                                                  -> on person:category:tasks
default, person category off                                        -> off person:category:tasks muted
person category off                                                 -> off person:category:tasks muted
default, person category digest                                     -> digest person:category:tasks digest 3T09
person category digest                                              -> digest person:category:tasks digest 3T09
person type on                                                      -> on person:type:task.assigned
default, person type off                                            -> off person:type:task.assigned muted
default, person type digest                                         -> digest person:type:task.assigned digest 3T09
person topic on                                                     -> on person:topic:project-7
default, person topic off                                           -> off person:topic:project-7 muted
default, person topic digest                                        -> digest person:topic:project-7 digest 3T09
person object on                                                    -> on person:topic:task-42
default, person object off                                          -> off person:topic:task-42 muted
default, person object digest                                       -> digest person:topic:task-42 digest 3T09
push, person category off                                           -> off person:category:tasks muted
push, person topic on                                               -> on person:topic:project-7
# one level of the template speaks
template channel on                                                 -> on template:channel
default, template channel off                                       -> off template:channel muted
template category on                                                -> on template:category:tasks
default, template category off                                      -> off template:category:tasks muted
default, template category digest                                   -> digest template:category:tasks digest 3T09
template type on                                                    -> on template:type:task.assigned
default, template type off                                          -> off template:type:task.assigned muted
default, template type digest                                       -> digest template:type:task.assigned digest 3T09
template topic on                                                   -> on template:topic:project-7
default, template topic off                                         -> off template:topic:project-7 muted
template topic digest                                               -> digest template:topic:project-7 digest 3T09
template object off                                                 -> off template:topic:task-42 muted
# what is said about something else is not heard
person elsewhere off                                                -> off type not_requested
default, person elsewhere off                                       -> on type
default, template elsewhere off                                     -> on type
named, person elsewhere off, template elsewhere off                 -> on event
default, template channel off, person elsewhere off                 -> off template:channel muted
in_app, default, person elsewhere off                               -> on type
push, default, person elsewhere off                                 -> on type
# two levels of the person: the more specific wins, whatever it says
default, person channel off, person category on                     -> on person:category:tasks
default, person channel on, person category off                     -> off person:category:tasks muted
default, person channel off, person category digest                 -> digest person:category:tasks digest 3T09
default, person channel off, person type on                         -> on person:type:task.assigned
default, person channel on, person type off                         -> off person:type:task.assigned muted
default, person channel off, person topic on                        -> on person:topic:project-7
default, person channel on, person topic off                        -> off person:topic:project-7 muted
default, person channel off, person object digest                   -> digest person:topic:task-42 digest 3T09
default, person category off, person type on                        -> on person:type:task.assigned
default, person category on, person type off                        -> off person:type:task.assigned muted
default, person category on, person type digest                     -> digest person:type:task.assigned digest 3T09
default, person category digest, person type on                     -> on person:type:task.assigned
default, person category off, person topic on                       -> on person:topic:project-7
default, person category digest, person topic off                   -> off person:topic:project-7 muted
default, person category off, person object on                      -> on person:topic:task-42
default, person type off, person topic on                           -> on person:topic:project-7
default, person type on, person topic off                           -> off person:topic:project-7 muted
default, person type off, person topic digest                       -> digest person:topic:project-7 digest 3T09
default, person type digest, person object on                       -> on person:topic:task-42
default, person topic on, person object off                         -> off person:topic:task-42 muted
default, person topic off, person object on                         -> on person:topic:task-42
default, person topic digest, person object on                      -> on person:topic:task-42
# three and more
person channel off, person category on, person type off             -> off person:type:task.assigned muted
person channel on, person category off, person type on              -> on person:type:task.assigned
person category off, person type off, person topic on               -> on person:topic:project-7
person category on, person type on, person topic off                -> off person:topic:project-7 muted
person channel on, person type on, person topic on, person object off -> off person:topic:task-42 muted
person channel off, person category off, person type off, person topic off, person object on -> on person:topic:task-42
# inside a template the same order holds
default, template channel off, template category on                 -> on template:category:tasks
default, template channel on, template category off                 -> off template:category:tasks muted
default, template category off, template type on                    -> on template:type:task.assigned
default, template category digest, template type off                -> off template:type:task.assigned muted
default, template type off, template topic on                       -> on template:topic:project-7
default, template topic on, template object off                     -> off template:topic:task-42 muted
default, template channel off, template topic digest                -> digest template:topic:project-7 digest 3T09
# whatever a person says goes before all of the template
default, template channel off, person channel on                    -> on person:channel
default, template channel on, person channel off                    -> off person:channel muted
default, template category off, person channel on                   -> on person:channel
default, template type off, person channel on                       -> on person:channel
default, template topic off, person channel on                      -> on person:channel
default, template object on, person channel off                     -> off person:channel muted
default, template topic digest, person channel off                  -> off person:channel muted
default, template category off, person category on                  -> on person:category:tasks
default, template type on, person category off                      -> off person:category:tasks muted
default, template topic on, person category digest                  -> digest person:category:tasks digest 3T09
default, template type off, person type on                          -> on person:type:task.assigned
default, template object off, person topic on                       -> on person:topic:project-7
default, template channel off, person category on, person type off  -> off person:type:task.assigned muted
template category on, template channel on, person topic off         -> off person:topic:project-7 muted
# the event's own list: a default for what it names, and nothing else is used
named, person channel off                                           -> off person:channel muted
named, person category off                                          -> off person:category:tasks muted
named, person category digest                                       -> digest person:category:tasks digest 3T09
named, person topic on                                              -> on person:topic:project-7
named, template channel off                                         -> off template:channel muted
named, template type digest                                         -> digest template:type:task.assigned digest 3T09
unnamed, person channel on                                          -> off event not_requested
unnamed, person topic on                                            -> off event not_requested
unnamed, person topic off                                           -> off event not_requested
unnamed, template category on                                       -> off event not_requested
default, unnamed, person type digest                                -> off event not_requested
# required and not_allowed
required, person channel off                                        -> on required
required, person category off                                       -> on required
required, person type off                                           -> on required
required, person object off                                         -> on required
required, person topic digest                                       -> on required
required, person daily                                              -> on required
required, template channel off                                      -> on required
required, template topic off                                        -> on required
required, unnamed                                                   -> on required
required, person muted                                              -> on required
required, critical, person muted, person object off                 -> on required
required, in_app, person channel off                                -> on required
required, person quiet                                              -> on required quiet_hours 2T13
required, critical, person quiet                                    -> on required
required, not_allowed                                               -> off not_allowed not_allowed
not_allowed, default                                                -> off not_allowed not_allowed
not_allowed, named                                                  -> off not_allowed not_allowed
not_allowed, unnamed                                                -> off not_allowed not_allowed
not_allowed, person channel on                                      -> off not_allowed not_allowed
not_allowed, person object on                                       -> off not_allowed not_allowed
not_allowed, template topic on                                      -> off not_allowed not_allowed
not_allowed, critical, person muted                                 -> off not_allowed not_allowed
not_allowed, in_app, default                                        -> off not_allowed not_allowed
not_allowed, person quiet                                           -> off not_allowed not_allowed
# muted until a moment: everything but the inbox
default, person muted                                               -> off person:muted_until muted
default, person unmuted                                             -> on type
named, person muted                                                 -> off person:muted_until muted
unnamed, person muted                                               -> off event not_requested
default, critical, person muted                                     -> off person:muted_until muted
default, person muted, person object on                             -> off person:muted_until muted
default, person muted, person type digest                           -> off person:muted_until muted
default, person muted, person quiet                                 -> off person:muted_until muted
in_app, default, person muted                                       -> on type
in_app, default, person muted, person category off                  -> off person:category:tasks muted
push, default, person muted                                         -> off person:muted_until muted
# how often: a default and a switch follow it, a setting's "on" means at once, its "digest" is gathered in any case
default, person hourly                                              -> digest type digest 2T13
default, person daily                                               -> digest type digest 2T18
default, person weekly                                              -> digest type digest 6T17
default, person instant                                             -> on type
named, person daily                                                 -> digest event digest 2T18
unnamed, person daily                                               -> off event not_requested
person daily                                                        -> off type not_requested
person channel on, person daily                                     -> digest person:channel digest 2T18
person channel off, person daily                                    -> off person:channel muted
template channel on, person weekly                                  -> digest template:channel digest 6T17
template category on, person weekly                                 -> on template:category:tasks
person category on, person daily                                    -> on person:category:tasks
person topic on, person hourly                                      -> on person:topic:project-7
person category digest, person hourly                               -> digest person:category:tasks digest 2T13
person type digest, person weekly                                   -> digest person:type:task.assigned digest 6T17
person topic digest, person instant                                 -> digest person:topic:project-7 digest 3T09
template type digest, person daily                                  -> digest template:type:task.assigned digest 2T18
push, default, person daily                                         -> digest type digest 2T18
# quiet hours hold, and a digest does not go in them
default, person quiet                                               -> on type quiet_hours 2T13
default, high, person quiet                                         -> on type quiet_hours 2T13
default, person lie_in                                              -> on type
named, person quiet                                                 -> on event quiet_hours 2T13
person object on, person quiet                                      -> on person:topic:task-42 quiet_hours 2T13
person channel off, person quiet                                    -> off person:channel muted
default, person daily, person quiet                                 -> digest type digest 2T18
default, person hourly, person quiet                                -> digest type digest 2T13
person category digest, person lie_in                               -> digest person:category:tasks digest 3T10
# critical is never held and never gathered
default, critical, person quiet                                     -> on type
default, critical, person daily                                     -> on type
critical, person channel on, person weekly                          -> on person:channel
critical, person category digest                                    -> on person:category:tasks
critical, template topic digest, person quiet                       -> on template:topic:project-7
default, critical, person channel off                               -> off person:channel muted
default, critical, person object off                                -> off person:topic:task-42 muted
# nor is the inbox
in_app, default, person quiet                                       -> on type
in_app, default, person daily                                       -> on type
in_app, template category digest                                    -> on template:category:tasks
in_app, person channel on, person weekly                            -> on person:channel
in_app, default, person topic off                                   -> off person:topic:project-7 muted
in_app, default, template channel off                               -> off template:channel muted
"""
ROWS = [line for line in TABLE.splitlines() if "->" in line]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row.split()))
def test_the_table(row: str) -> None:
    said, _, answer = row.partition("->")
    value, rule, reason, until = [*answer.split(), "", ""][:4]
    expected = Decision(
        value=Value(value),
        rule=rule,
        reason=Reason(reason) if reason else None,
        due_at=datetime.strptime(f"2026-03-{until} +0000", "%Y-%m-%dT%H %z") if until else None,
    )
    phrases = [phrase.strip() for phrase in said.split(",")]
    assert all(PHRASE.fullmatch(phrase) for phrase in phrases)
    channel, facts, choices = read(phrases)
    assert decide(channel=channel, facts=facts, choices=choices, now=NOW) == expected
    # Without the time it is the same but for the wait.
    held = expected.reason == Reason.QUIET_HOURS
    timeless = replace(expected, due_at=None, reason=None if held else expected.reason)
    assert resolve(channel=channel, facts=facts, choices=choices, now=NOW) == timeless


def test_the_table_is_long_and_says_nothing_twice() -> None:
    assert len(ROWS) >= 150
    assert len({" ".join(row.split()) for row in ROWS}) == len(ROWS)


FREQUENCIES = {
    "instant": Frequency(every=Every.INSTANT, at=time(18)),  # a time that means nothing
    "hourly": Frequency(every=Every.HOUR),
    "daily": Frequency(every=Every.DAY, at=time(18)),
    "weekly": Frequency(every=Every.WEEK, at=time(17), weekday=4),
}
WINDOWS = {
    "quiet": Window(days=frozenset(range(7)), start=time(11), end=time(13)),
    "lie_in": Window(days=frozenset(range(7)), start=time(8), end=time(10)),
}
MUTES = {"muted": NOW + timedelta(days=1), "unmuted": NOW}


def read(said: list[str]) -> tuple[str, Facts, Choices]:
    """A row's left side, as the resolver takes it."""
    channel = next((word for word in said if word in ("push", IN_APP)), "email")
    others = tuple({"email", "push", IN_APP} - {channel})
    about = {phrase.partition(" ")[2] for phrase in said if phrase.startswith("person")}
    often = next((FREQUENCIES[word] for word in about & FREQUENCIES.keys()), None)
    facts = replace(
        FACTS,
        priority=next((word for word in said if word in ("high", "critical")), "normal"),
        channels=(*others, channel) if "default" in said else others,
        requested=(*others, channel) if "named" in said else others if "unnamed" in said else None,
        required=(channel,) if "required" in said else (),
        not_allowed=(channel,) if "not_allowed" in said else (),
    )
    return (
        channel,
        facts,
        Choices(
            person=switches("person", said, channel),
            template=switches("template", said, channel),
            quiet=tuple(WINDOWS[word] for word in about & WINDOWS.keys()),
            digests={channel: often} if often else {},
            muted_until=next((MUTES[word] for word in about & MUTES.keys()), None),
        ),
    )


def switches(whose: str, said: list[str], channel: str) -> Switches:
    """`person topic off` and the like."""
    spoken = [phrase.split()[1:] for phrase in said if phrase.startswith(whose) and len(phrase.split()) == 3]
    scoped = {(SCOPES[level], channel): Value(value) for level, value in spoken if level in SCOPES}
    if ["elsewhere", "off"] in spoken:
        other = "chat" if channel == "push" else "push"
        scopes = ("topic:task-43", "topic:tasks", "type:task.completed", "category:task.assigned")
        scoped |= {(scope, channel): Value.OFF for scope in scopes} | {(SCOPES["topic"], other): Value.OFF}
        return Switches(channels={other: False}, settings=scoped)
    return Switches({channel: ["channel", "on"] in spoken} if "channel" in dict(spoken) else {}, scoped)


@pytest.mark.parametrize(
    ("row", "topics"),
    [
        ({"topic": "project-7", "object": "task-42"}, ("task-42", "project-7")),
        ({"topic": None, "object": "task-42"}, ("task-42",)),
        ({"topic": "project-7", "object": ""}, ("project-7",)),
        ({"topic": "task-42", "object": "task-42"}, ("task-42",)),
        ({"topic": None, "object": ""}, ()),
    ],
)
def test_the_object_of_an_event_goes_before_its_topic(row: dict[str, str | None], topics: tuple[str, ...]) -> None:
    rest = {"type": "a.b", "category": "a", "priority": "high", "type_channels": ["push"], "channels": None}
    source = SimpleNamespace(**row, **rest, required=["email"], not_allowed=["chat"])
    expected = Facts("a.b", "a", topics, "high", ("push",), None, ("email",), ("chat",))
    assert facts_of(source) == expected
    source.channels = []
    assert facts_of(source) == replace(expected, requested=())
