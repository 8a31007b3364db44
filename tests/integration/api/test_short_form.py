"""POST /notifications: one notification for one person, there when the answer comes."""

import pytest

from core.models import User
from notifications.models import Delivery, Event, Notification, Preference, Type
from tests.api import Caller, error
from tests.factories import NOW
from tests.live import Listener

SHORT = {"user": "alice", "type": "task.assigned", "title": "Water the plants", "tags": ["Work"]}


def test_it_is_there_when_the_answer_comes(as_producer: Caller, as_alice: Caller) -> None:
    with Listener() as heard:
        answer = as_producer("POST", "/notifications", SHORT)
        assert answer.status_code == 201, answer.content
        assert len(heard.lines()) == 1
    made = answer.json()
    assert as_alice.get("/notifications")["results"] == [made]
    assert (made["title"], made["tags"], made["rev"]) == ("Water the plants", ["work"], 1)
    assert (Event.objects.get().state, Delivery.objects.count()) == ("processed", 1)


def test_the_same_key_gives_the_same_line(as_producer: Caller, alice: User) -> None:
    answers = [as_producer("POST", "/notifications", SHORT, Idempotency_Key="k") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert Notification.objects.count() == 1
    other = as_producer("POST", "/notifications", SHORT | {"title": "Another"}, Idempotency_Key="k")
    assert error(other) == (409, "idempotency_conflict")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (SHORT | {"user": "nobody"}, "user"),
        (SHORT | {"type": "task.lost"}, "type"),
        (SHORT | {"recipients": {"all": True}}, "recipients"),
        (SHORT | {"priority": "urgent"}, "priority"),
    ],
)
def test_what_is_refused_leaves_nothing(as_producer: Caller, alice: User, body: dict[str, object], field: str) -> None:
    answer = as_producer("POST", "/notifications", body)
    assert error(answer) == (400, "invalid")
    assert field in str(answer.json()["details"])
    assert Event.objects.count() == 0


def test_who_does_not_want_it_has_no_line(as_producer: Caller, alice: User) -> None:
    Preference.objects.create(user=alice, channels={"in_app": False}, updated_at=NOW)
    answer = as_producer("POST", "/notifications", SHORT)
    assert error(answer) == (409, "not_in_inbox")
    event = answer.json()["details"]["event"]
    explained = as_producer.get(f"/events/{event}/explain?user=alice")
    assert "no in_app (muted, by person:channel)" in explained["answer"]


def test_only_producers_and_the_type_decides_the_rest(as_producer: Caller, as_bob: Caller, alice: User) -> None:
    assert error(as_bob("POST", "/notifications", SHORT)) == (403, "forbidden")
    Type.objects.filter(key="task.assigned").update(priority="critical")
    try:
        assert as_producer("POST", "/notifications", SHORT).json()["priority"] == "critical"
    finally:
        Type.objects.filter(key="task.assigned").update(priority="normal")
