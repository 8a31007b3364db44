"""Accepting events: a promise, kept once, and every refusal with a reason."""

from datetime import timedelta
from typing import Any

import pytest

from core import redis
from core.errors import Invalid
from core.models import User
from notifications import events
from notifications.events import Accepted, IdempotencyConflict
from notifications.models import Category, Event, Topic
from tests import factories
from tests.factories import NOW, accept, submission
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")


def hinted() -> set[str]:
    """The hints that are outstanding."""
    keys: Any = redis.attempt(lambda r: r.keys("bellhop:hint:*"))
    assert keys is not None
    return {str(key, "ascii").removeprefix("bellhop:hint:") for key in keys}


def test_an_event_takes_from_its_type_what_it_does_not_say(producer: User) -> None:
    (answer,) = accept(producer, submission("alice", title=""))
    event = Event.objects.get()
    assert answer == Accepted(id=event.id, status="accepted")
    assert (event.title, event.category_id, event.priority, event.channels, event.lane) == (
        "A task was assigned to you",
        "tasks",
        "normal",
        None,
        "normal",
    )
    assert (event.state, event.due_at, event.accepted_at, event.token, event.attempts) == ("accepted", NOW, NOW, 0, 0)
    assert (event.usernames, event.topic, event.everyone) == (["alice"], None, False)
    assert hinted() == {"workers.process_events:normal"}


def test_an_event_keeps_all_it_says(producer: User) -> None:
    Category.objects.get_or_create(key="alarms", defaults={"name": "Alarms"})
    said = {
        "title": 'Ünï "quoted" \\ 🛎',
        "body": "line\nline",
        "data": {"n": 1.5, "deep": [None, True, {"ü": "\\u0041"}], "big": 2**63},
        "action_url": "/tasks/1",
        "actor": "bob",
        "object": "task:1",
        "category": "alarms",
        "tags": ["Work", "work ", "home"],
        "priority": "critical",
        "channels": ["email"],
        "email_if_unread_after": 60,
        "expires_at": "2026-03-03T12:00:00+01:00",
    }
    accept(producer, submission("bob", "alice", "bob", **said))
    event = Event.objects.get()
    same = ("title", "body", "data", "action_url", "actor", "object", "priority", "channels", "email_if_unread_after")
    assert {name: getattr(event, name) for name in same} == {name: said[name] for name in same}
    assert (event.category_id, event.tags, event.lane) == ("alarms", ["work", "home"], "urgent")
    assert event.usernames == ["bob", "alice"]
    assert event.expires_at == NOW + timedelta(hours=23)
    Event.objects.all().delete()
    Category.objects.get(key="alarms").delete()


@pytest.mark.parametrize(
    ("to", "priority", "lane"),
    [
        ({"users": ["alice"]}, None, "normal"),
        ({"users": ["alice"]}, "high", "urgent"),
        ({"users": ["alice"]}, "low", "bulk"),
        ({"all": True}, None, "bulk"),
        ({"all": True}, "high", "bulk"),
        ({"all": True}, "critical", "urgent"),
        ({"topic": "garden"}, "normal", "bulk"),
    ],
)
def test_the_lane_comes_from_priority_and_audience(
    producer: User, to: dict[str, Any], priority: str | None, lane: str
) -> None:
    Topic.objects.create(key="garden")
    accept(producer, submission(recipients=to, priority=priority))
    assert Event.objects.get().lane == lane
    assert hinted() == {f"workers.process_events:{lane}"}


def test_what_comes_later_is_not_hinted(producer: User) -> None:
    accept(producer, submission("alice", send_at="2026-03-02T12:00:01Z"))
    assert Event.objects.get().due_at == NOW + timedelta(seconds=1)
    assert hinted() == set()
    assert events.due_lanes(now=NOW) == []
    assert events.due_lanes(now=NOW + timedelta(seconds=1)) == ["normal"]
    assert factories.process(now=NOW) == 0


class TestIdempotency:
    def test_the_same_key_and_body_give_the_same_id(self, producer: User) -> None:
        (first,) = accept(producer, submission("alice"), keys=["k"])
        (again,) = accept(producer, submission("alice"), keys=["k"], now=NOW + timedelta(days=1))
        assert again == Accepted(id=first.id, status="accepted", repeated=True)
        assert Event.objects.count() == 1

    def test_a_repeat_says_where_the_event_stands_by_now(self, producer: User, alice: User) -> None:
        accept(producer, submission("alice"), keys=["k"])
        factories.process()
        (again,) = accept(producer, submission("alice"), keys=["k"])
        assert again.status == "processed"

    @pytest.mark.parametrize(
        "other",
        [{"title": "Other"}, {"data": {"a": 1}}, {"recipients": {"all": True}}, {"send_at": "2026-03-02T13:00:00Z"}],
    )
    def test_another_body_is_refused(self, producer: User, other: dict[str, Any]) -> None:
        (first,) = accept(producer, submission("alice"), keys=["k"])
        (refused,) = accept(producer, submission(**{"recipients": {"users": ["alice"]}} | other), keys=["k"])
        assert isinstance(refused, IdempotencyConflict)
        assert refused.details == {"id": str(first.id)}
        assert Event.objects.count() == 1

    def test_the_order_of_the_keys_in_a_body_does_not_matter(self, producer: User) -> None:
        (first,) = accept(producer, submission("alice", data={"a": 1, "b": 2}), keys=["k"])
        (again,) = accept(producer, submission("alice", data={"b": 2, "a": 1}), keys=["k"])
        assert again.id == first.id

    def test_a_key_belongs_to_its_producer(self, producer: User) -> None:
        other = factories.user("other", is_producer=True)
        (first,) = accept(producer, submission("alice"), keys=["k"])
        (second,) = accept(other, submission("alice"), keys=["k"])
        assert (second.repeated, second.id == first.id) == (False, False)

    def test_without_a_key_every_event_is_new(self, producer: User) -> None:
        answers = accept(producer, submission("alice"), submission("alice"))
        assert len({answer.id for answer in answers}) == Event.objects.count() == 2

    def test_one_key_twice_in_one_batch(self, producer: User) -> None:
        same, again, other = accept(producer, submission("a"), submission("a"), submission("b"), keys=["k", "k", "k"])
        assert (same.id == again.id, again.repeated) == (True, True)
        assert isinstance(other, IdempotencyConflict)

    def test_ten_at_once_are_one_event(self, producer: User) -> None:
        answers = [answer for (answer,) in at_once(*[lambda: accept(producer, submission("alice"), keys=["k"])] * 10)]
        assert len(answers) == 10
        assert {answer.id for answer in answers} == {Event.objects.get().id}
        assert sorted(answer.repeated for answer in answers) == [False] + [True] * 9


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        ({"type": "task.lost"}, {"type": "'task.lost' does not exist. Known: task.assigned, task.completed, task."}),
        ({"category": "cats"}, {"category": "'cats' does not exist. Known: tasks."}),
        ({"recipients": {"topic": "cats"}}, {"topic": "'cats' does not exist."}),
        ({"channels": ["pigeon", "email", "owl"]}, {"channels": "Unknown: owl, pigeon. Known: email, in_app"}),
        (
            {"type": "task.lost", "category": "cats", "recipients": {"topic": "dogs"}},
            {"type": "'task.lost'", "category": "'cats'", "topic": "'dogs' does not exist."},
        ),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(
    producer: User, fields: dict[str, Any], details: dict[str, str]
) -> None:
    (refused,) = accept(producer, submission(**{"recipients": {"users": ["alice"]}} | fields))
    assert isinstance(refused, Invalid)
    assert {name: said[: len(details[name])] for name, (said,) in refused.details.items()} == details
    assert Event.objects.count() == 0
    assert hinted() == set()


def test_in_a_batch_each_stands_alone_and_answers_keep_their_order(producer: User) -> None:
    accept(producer, submission("alice", title="old"), keys=["used"])
    answers = accept(
        producer,
        submission("alice", title="1"),
        submission("alice", type="task.lost"),
        submission("alice", title="3"),
        submission("alice", title="4"),
        submission("alice", channels=["pigeon"]),
        submission("alice", title="old"),
        submission("alice", title="7", priority="high"),
        keys=[None, None, "new", "used", None, "used", None],
    )
    kinds = [Accepted, Invalid, Accepted, IdempotencyConflict, Invalid, Accepted, Accepted]
    assert [type(answer) for answer in answers] == kinds
    titles = dict(Event.objects.values_list("id", "title"))
    assert [titles[answer.id] if isinstance(answer, Accepted) else None for answer in answers] == [
        "1",
        None,
        "3",
        None,
        None,
        "old",
        "7",
    ]
    assert len(titles) == 4
    assert hinted() == {"workers.process_events:normal", "workers.process_events:urgent"}


def test_ids_rise_with_time(producer: User) -> None:
    ids = [accept(producer, submission("alice"), now=NOW + timedelta(milliseconds=n))[0].id for n in range(5)]
    assert ids == sorted(ids)
    assert {id.version for id in ids} == {7}


def test_nothing_is_hinted_before_the_callers_transaction_commits(producer: User) -> None:
    from django.db import transaction

    with transaction.atomic():
        accept(producer, submission("alice"))
        assert hinted() == set()
    assert hinted() == {"workers.process_events:normal"}


def test_an_expired_event_reaches_nobody_and_says_so(producer: User, alice: User) -> None:
    accept(producer, submission("alice", expires_at="2026-03-02T12:00:00Z"), submission("alice"))
    assert factories.process() == 1
    assert list(Event.objects.order_by("id").values_list("state", "error", "due_at", "processed_at")) == [
        ("cancelled", "expired", None, NOW),
        ("processed", "", None, NOW),
    ]
