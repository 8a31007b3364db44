"""Who gets what, on which channel, when, and why not."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.words import IN_APP, Lane, Priority, Reason, lane_of
from workers.routing import Leg, Plan, Situation, plan

NOT_ASKED, NO_ADDRESS = Reason.NOT_REQUESTED, Reason.NO_ADDRESS
NEITHER = (("email", NOT_ASKED), ("push", NOT_ASKED))
LATER = Leg("email", timedelta(seconds=300), Reason.WAITING_FOR_READ)


@pytest.mark.parametrize(
    ("requested", "reachable", "unread_after", "visible", "legs", "skipped"),
    [
        (("in_app", "email"), {"email"}, None, True, (Leg("email"),), (("push", NOT_ASKED),)),
        (("in_app", "email"), set(), None, True, (), (("email", NO_ADDRESS), ("push", NOT_ASKED))),
        (("in_app",), {"email"}, None, True, (), (("email", NOT_ASKED), ("push", NOT_ASKED))),
        (("email",), {"email"}, None, False, (Leg("email"),), (("in_app", NOT_ASKED), ("push", NOT_ASKED))),
        (("in_app", "email"), {"email"}, 300, True, (LATER,), (("push", NOT_ASKED),)),
        # Nothing is in the inbox that could be read first, so there is nothing to wait for.
        (("email",), {"email"}, 300, False, (Leg("email"),), (("in_app", NOT_ASKED), ("push", NOT_ASKED))),
        # Only the mail waits.
        (("in_app", "email", "push"), {"email", "push"}, 300, True, (LATER, Leg("push")), ()),
        (("in_app", "push"), {"email"}, None, True, (), (("email", NOT_ASKED), ("push", NO_ADDRESS))),
        (("in_app", "pigeon"), {"pigeon"}, None, True, (), (*NEITHER, ("pigeon", Reason.NOT_INSTALLED))),
        ((), {"email"}, None, False, (), (("in_app", NOT_ASKED), ("email", NOT_ASKED), ("push", NOT_ASKED))),
    ],
)
def test_a_plan_for_each_situation(
    requested: tuple[str, ...],
    reachable: set[str],
    unread_after: int | None,
    visible: bool,
    legs: tuple[Leg, ...],
    skipped: tuple[tuple[str, Reason], ...],
) -> None:
    situation = Situation(requested, ("email", "push"), frozenset(reachable), unread_after)
    assert plan(situation) == Plan(visible=visible, legs=legs, skipped=skipped)


CHANNELS = ["email", "push", "chat"]


@given(
    requested=st.lists(st.sampled_from([IN_APP, *CHANNELS]), unique=True),
    available=st.lists(st.sampled_from(CHANNELS), unique=True),
    reachable=st.frozensets(st.sampled_from(CHANNELS)),
    unread_after=st.none() | st.integers(1, 2_592_000),
)
def test_every_channel_is_planned_or_skipped_and_never_both(
    requested: list[str], available: list[str], reachable: frozenset[str], unread_after: int | None
) -> None:
    made = plan(Situation(tuple(requested), tuple(available), reachable, unread_after))
    planned = [leg.channel for leg in made.legs] + ([IN_APP] if made.visible else [])
    left_out = [channel for channel, _ in made.skipped]
    assert sorted(planned + left_out) == sorted({IN_APP, *available, *requested})
    assert all(leg.channel in requested and leg.channel in reachable for leg in made.legs)


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
