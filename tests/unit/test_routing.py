"""Who gets what, on which channel, when, and why not; what the resolver says stands in test_resolver.py."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.hours import Every, Frequency, Window
from notifications.resolver import Choices, Decision, Facts, Switches
from notifications.words import IN_APP, Lane, Priority, Reason, Value, lane_of
from workers.routing import Leg, Plan, Situation, plan

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EVENING = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
TOMORROW = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)
DAYS = frozenset(range(7))

BY_TYPE, BY_EVENT = Decision(Value.ON, "type"), Decision(Value.ON, "event")
NOT_OF_TYPE = Decision(Value.OFF, "type", Reason.NOT_REQUESTED)
NOT_OF_EVENT = Decision(Value.OFF, "event", Reason.NOT_REQUESTED)
NO_ADDRESS = Decision(Value.OFF, "address", Reason.NO_ADDRESS)
NOT_INSTALLED = Decision(Value.OFF, "installation", Reason.NOT_INSTALLED)

FACTS = Facts(type="task.assigned", category="tasks", channels=("in_app", "email"))
NOBODY = Choices()
QUIET = Choices(quiet=(Window(days=DAYS, start=time(8), end=time(18)),))
LATER_QUIET = Choices(quiet=(Window(days=DAYS, start=time(13), end=time(18)),))
DAILY = Choices(digests={"email": Frequency(every=Every.DAY, at=time(9))})
MUTED = Choices(person=Switches(channels={"email": False}))

NOW_BY_TYPE = Leg("email", "type", NOW)
LATER = Leg("email", "type", NOW + timedelta(seconds=300), Reason.WAITING_FOR_READ)
HELD = Leg("email", "type", EVENING, Reason.QUIET_HOURS)
GATHERED = Leg("email", "type", TOMORROW, Reason.DIGEST, gathered=True)


@pytest.mark.parametrize(
    ("facts", "choices", "reachable", "unread_after", "visible", "legs", "decisions"),
    [
        (FACTS, NOBODY, {"email"}, None, True, [NOW_BY_TYPE], [BY_TYPE, BY_TYPE, NOT_OF_TYPE]),
        (FACTS, NOBODY, set(), None, True, [], [BY_TYPE, NO_ADDRESS, NOT_OF_TYPE]),
        (
            replace(FACTS, requested=("in_app",)),
            NOBODY,
            {"email"},
            None,
            True,
            [],
            [BY_EVENT, NOT_OF_EVENT, NOT_OF_EVENT],
        ),
        (
            replace(FACTS, requested=("email",)),
            NOBODY,
            {"email"},
            None,
            False,
            [Leg("email", "event", NOW)],
            [NOT_OF_EVENT, BY_EVENT, NOT_OF_EVENT],
        ),
        (FACTS, NOBODY, {"email"}, 300, True, [LATER], [BY_TYPE, BY_TYPE, NOT_OF_TYPE]),
        # Nothing is in the inbox that could be read first, so there is nothing to wait for.
        (
            replace(FACTS, requested=("email",)),
            NOBODY,
            {"email"},
            300,
            False,
            [Leg("email", "event", NOW)],
            [NOT_OF_EVENT, BY_EVENT, NOT_OF_EVENT],
        ),
        # Only the mail waits.
        (
            replace(FACTS, channels=("in_app", "email", "push")),
            NOBODY,
            {"email", "push"},
            300,
            True,
            [LATER, Leg("push", "type", NOW)],
            [BY_TYPE, BY_TYPE, BY_TYPE],
        ),
        (
            replace(FACTS, channels=("in_app", "pigeon")),
            NOBODY,
            {"pigeon"},
            None,
            True,
            [],
            [BY_TYPE, NOT_OF_TYPE, NOT_OF_TYPE, NOT_INSTALLED],
        ),
        (replace(FACTS, channels=()), NOBODY, {"email"}, None, False, [], [NOT_OF_TYPE] * 3),
        (
            FACTS,
            MUTED,
            {"email"},
            None,
            True,
            [],
            [BY_TYPE, Decision(Value.OFF, "person:channel", Reason.MUTED), NOT_OF_TYPE],
        ),
        (
            FACTS,
            QUIET,
            {"email"},
            None,
            True,
            [HELD],
            [BY_TYPE, Decision(Value.ON, "type", Reason.QUIET_HOURS, EVENING), NOT_OF_TYPE],
        ),
        # The later of the two: the night is over before the line counts as unread, and the other way round.
        (
            FACTS,
            QUIET,
            {"email"},
            300,
            True,
            [HELD],
            [BY_TYPE, Decision(Value.ON, "type", Reason.QUIET_HOURS, EVENING), NOT_OF_TYPE],
        ),
        (
            FACTS,
            QUIET,
            {"email"},
            86_400,
            True,
            [Leg("email", "type", EVENING + timedelta(days=1), Reason.WAITING_FOR_READ)],
            [BY_TYPE, Decision(Value.ON, "type", Reason.QUIET_HOURS, EVENING), NOT_OF_TYPE],
        ),
        # It would count as unread in the middle of the quiet hours.
        (
            FACTS,
            LATER_QUIET,
            {"email"},
            7200,
            True,
            [Leg("email", "type", EVENING, Reason.WAITING_FOR_READ)],
            [BY_TYPE, BY_TYPE, NOT_OF_TYPE],
        ),
        # A digest leaves out what was read: it is all the waiting there is.
        (
            FACTS,
            DAILY,
            {"email"},
            300,
            True,
            [GATHERED],
            [BY_TYPE, Decision(Value.DIGEST, "type", Reason.DIGEST, TOMORROW), NOT_OF_TYPE],
        ),
        (FACTS, DAILY, set(), None, True, [], [BY_TYPE, NO_ADDRESS, NOT_OF_TYPE]),
    ],
)
def test_a_plan_for_each_situation(
    facts: Facts,
    choices: Choices,
    reachable: set[str],
    unread_after: int | None,
    visible: bool,
    legs: list[Leg],
    decisions: list[Decision],
) -> None:
    channels = dict.fromkeys(("in_app", "email", "push", *(facts.requested or ()), *facts.channels))
    situation = Situation(facts, choices, ("email", "push"), frozenset(reachable), unread_after)
    assert plan(situation, now=NOW) == Plan(
        visible=visible, legs=tuple(legs), decisions=tuple(zip(channels, decisions, strict=True))
    )


@pytest.mark.parametrize(
    ("choices", "unread_after", "left", "ends"),
    [
        (NOBODY, None, timedelta(seconds=1), None),
        (QUIET, None, timedelta(hours=6), Reason.EXPIRED),
        (QUIET, None, timedelta(hours=6, microseconds=1), None),
        (DAILY, None, timedelta(hours=20), Reason.EXPIRED),
        (DAILY, None, timedelta(days=1), None),
        (NOBODY, 300, timedelta(seconds=300), Reason.EXPIRED),
        (NOBODY, 300, timedelta(seconds=301), None),
    ],
)
def test_what_would_wait_past_its_end_is_not_planned(
    choices: Choices, unread_after: int | None, left: timedelta, ends: Reason | None
) -> None:
    situation = Situation(FACTS, choices, ("email",), frozenset({"email"}), unread_after, NOW + left)
    made = plan(situation, now=NOW)
    assert (made.visible, len(made.legs)) == (True, 0 if ends else 1)
    if ends:
        assert dict(made.decisions)["email"] == Decision(Value.OFF, "type", Reason.EXPIRED)


CHANNELS = ["email", "push", "chat"]


@given(
    channels=st.lists(st.sampled_from([IN_APP, *CHANNELS]), unique=True),
    requested=st.none() | st.lists(st.sampled_from([IN_APP, *CHANNELS]), unique=True),
    required=st.lists(st.sampled_from(CHANNELS), unique=True),
    off=st.lists(st.sampled_from([IN_APP, *CHANNELS]), unique=True),
    choices=st.sampled_from([NOBODY, QUIET, DAILY]),
    available=st.lists(st.sampled_from(CHANNELS), unique=True),
    reachable=st.frozensets(st.sampled_from(CHANNELS)),
    unread_after=st.none() | st.integers(1, 2_592_000),
)
def test_every_channel_is_planned_or_decided_against_and_never_both(
    channels: list[str],
    requested: list[str] | None,
    required: list[str],
    off: list[str],
    choices: Choices,
    available: list[str],
    reachable: frozenset[str],
    unread_after: int | None,
) -> None:
    facts = replace(
        FACTS,
        channels=tuple(channels),
        requested=None if requested is None else tuple(requested),
        required=tuple(required),
    )
    chosen = replace(choices, person=Switches(channels=dict.fromkeys(off, False)))
    made = plan(Situation(facts, chosen, tuple(available), reachable, unread_after), now=NOW)
    planned = {leg.channel for leg in made.legs} | ({IN_APP} if made.visible else set())
    against = {channel for channel, decision in made.decisions if decision.value == Value.OFF}
    assert planned | against == {channel for channel, _ in made.decisions}
    assert planned & against == set()
    assert {IN_APP, *available} <= planned | against
    assert all(decision.reason for channel, decision in made.decisions if channel in against)
    assert all(leg.channel in available and leg.channel in reachable and leg.due_at >= NOW for leg in made.legs)
    assert all((leg.due_at > NOW) == (leg.reason is not None) for leg in made.legs)
    assert planned & set(off) <= set(required)


@pytest.mark.parametrize(
    ("priority", "broadcast", "lane"),
    [
        (Priority.CRITICAL, False, Lane.URGENT),
        (Priority.CRITICAL, True, Lane.URGENT),
        (Priority.HIGH, False, Lane.URGENT),
        (Priority.HIGH, True, Lane.BULK),
        (Priority.NORMAL, False, Lane.NORMAL),
        (Priority.NORMAL, True, Lane.BULK),
        (Priority.LOW, False, Lane.BULK),
        (Priority.LOW, True, Lane.BULK),
    ],
)
def test_the_lane_of_an_event(priority: Priority, broadcast: bool, lane: Lane) -> None:
    assert lane_of(priority=priority, broadcast=broadcast) == lane
