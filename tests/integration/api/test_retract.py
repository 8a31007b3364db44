"""Retracting over REST: who may, what of, and what it answers."""

from typing import Any

import pytest

from core.models import User
from notifications.models import Event
from tests import factories
from tests.api import Caller, error
from tests.factories import accept, submission

PATH = "/events/retract"


def states(producer: User) -> list[str]:
    return list(Event.objects.filter(producer=producer).order_by("title").values_list("state", flat=True))


def test_everything_of_the_object_or_only_of_one_type(as_producer: Caller, producer: User, alice: User) -> None:
    about = {"object": "task:1"}
    accept(
        producer,
        submission("alice", "nobody", title="1", **about),
        submission("alice", title="2", type="task.updated", **about),
        submission("alice", title="3", object="task:2"),
    )
    factories.process()
    answer = as_producer("POST", PATH, about | {"type": "task.updated"})
    assert (answer.status_code, answer.json()) == (200, {"events": 1, "deliveries": 1})
    assert states(producer) == ["processed", "retracting", "processed"]
    assert as_producer("POST", PATH, about).json() == {"events": 1, "deliveries": 1}
    assert as_producer("POST", PATH, about).json() == {"events": 0, "deliveries": 0}
    assert states(producer) == ["retracting", "retracting", "processed"]


def test_your_own_events_and_for_staff_anybodys(as_producer: Caller, producer: User) -> None:
    other = factories.user("other", is_producer=True)
    for sender in (producer, other):
        accept(sender, submission("alice", object="task:1"))
    assert as_producer("POST", PATH, {"object": "task:1"}).json() == {"events": 1, "deliveries": 0}
    assert (states(producer), states(other)) == (["retracted"], ["accepted"])
    staff = factories.user("staff", is_staff=True)
    assert Caller(staff)("POST", PATH, {"object": "task:1"}).json() == {"events": 1, "deliveries": 0}
    assert states(other) == ["retracted"]


def test_who_may_not(stranger: Caller, as_alice: Caller, producer: User) -> None:
    accept(producer, submission("alice", object="task:1"))
    assert error(stranger("POST", PATH, {"object": "task:1"})) == (401, "not_authenticated")
    assert error(as_alice("POST", PATH, {"object": "task:1"})) == (403, "forbidden")
    assert states(producer) == ["accepted"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"object": ""}, "object"),
        ({"object": "x" * 201}, "object"),
        ({"object": None}, "object"),
        ({"object": "task:1", "type": ""}, "type"),
        ({"object": "task:1", "producer": "other"}, "body"),
    ],
)
def test_what_is_not_a_retraction_is_400_and_withdraws_nothing(
    as_producer: Caller, producer: User, body: Any, field: str
) -> None:
    accept(producer, submission("alice", object="task:1"), submission("alice"))
    answer = as_producer("POST", PATH, body)
    assert error(answer) == (400, "invalid")
    assert list(answer.json()["details"]) == [field]
    assert states(producer) == ["accepted", "accepted"]
