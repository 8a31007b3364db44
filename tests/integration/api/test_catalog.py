"""Categories, types and topics over REST, and following a topic."""

from collections.abc import Iterator
from typing import Any

import pytest

from core.models import User
from notifications.models import Category, Subscription, Topic, Type
from tests import factories
from tests.api import Caller, error

CATEGORY = {"key": "billing", "name": "Billing"}
TYPE = {"key": "invoice.sent", "category": "tasks", "title": "An invoice was sent"}
TOPIC = {"key": "project-7", "name": "Project 7"}
KINDS = [
    ("categories", CATEGORY, {"name": "Money"}),
    ("types", TYPE, {"title": "New"}),
    ("topics", TOPIC, {"name": "P"}),
]


@pytest.fixture
def staff(committed: None) -> Iterator[Caller]:
    yield Caller(factories.user("staff", is_staff=True))
    Type.objects.exclude(key__startswith="task.").delete()
    Category.objects.exclude(key="tasks").delete()


def shown(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    if kind != "types":
        return body
    rules: dict[str, Any] = {"channels": ["in_app"], "required": [], "not_allowed": [], "sample": {}}
    return body | {"priority": "normal", "resend_unknown": True} | rules


@pytest.mark.parametrize(("kind", "body", "patch"), KINDS)
def test_made_shown_changed_deleted(staff: Caller, kind: str, body: dict[str, Any], patch: dict[str, Any]) -> None:
    path = f"/{kind}/{body['key']}"
    made = staff("POST", f"/{kind}", body)
    assert (made.status_code, made.json()) == (201, shown(kind, body))
    assert staff.get(path) == shown(kind, body)
    assert shown(kind, body) in staff.get(f"/{kind}")["results"]
    assert staff("PATCH", path, patch).json() == shown(kind, body) | patch
    assert staff("PATCH", path, {}).json() == shown(kind, body) | patch
    assert error(staff("POST", f"/{kind}", body)) == (409, "already_there")
    assert staff("DELETE", path).status_code == 204
    assert error(staff("GET", path)) == error(staff("DELETE", path)) == (404, "not_found")


@pytest.mark.parametrize(("kind", "body", "patch"), KINDS)
def test_for_staff_only(staff: Caller, alice: User, kind: str, body: dict[str, Any], patch: dict[str, Any]) -> None:
    for caller, status in ((Caller(alice), 403), (Caller(factories.user("p", is_producer=True)), 403), (Caller(), 401)):
        for method, path in (("GET", f"/{kind}"), ("POST", f"/{kind}"), ("DELETE", f"/{kind}/tasks")):
            assert caller(method, path, body if method == "POST" else None).status_code == status
    assert not Topic.objects.exists()


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        ("categories", CATEGORY | {"key": "Billing"}, "key"),
        ("categories", CATEGORY | {"key": ""}, "key"),
        ("categories", {"key": "billing"}, "body"),
        ("types", TYPE | {"category": "none"}, "category"),
        ("types", TYPE | {"channels": ["pigeon"]}, "channels"),
        ("types", TYPE | {"priority": "huge"}, "priority"),
        ("types", TYPE | {"required": ["pigeon"]}, "required"),
        ("types", TYPE | {"not_allowed": ["pigeon"]}, "not_allowed"),
        ("types", TYPE | {"required": ["email"], "not_allowed": ["in_app", "email"]}, "not_allowed"),
        ("types", TYPE | {"sample": {"long": "x" * 9000}}, "body"),
        ("types", TYPE | {"sample": []}, "sample"),
        ("topics", TOPIC | {"key": "a/b"}, "key"),
        ("topics", TOPIC | {"colour": "red"}, "body"),
    ],
)
def test_what_is_not_valid_is_named(staff: Caller, kind: str, body: dict[str, Any], field: str) -> None:
    answer = staff("POST", f"/{kind}", body)
    assert error(answer) == (400, "invalid")
    assert list(answer.json()["details"]) == [field]


def test_a_rule_and_its_contrary_exclude_each_other(staff: Caller) -> None:
    staff("POST", "/types", TYPE | {"required": ["email"]})
    answer = staff("PATCH", "/types/invoice.sent", {"not_allowed": ["email"]})
    assert error(answer) == (400, "invalid")
    assert answer.json()["details"] == {
        "not_allowed": ["email: also in `required`; take it out of one of the two."],
    }
    swapped = {"required": ["in_app"], "not_allowed": ["email"], "sample": {"total": 3}}
    assert staff("PATCH", "/types/invoice.sent", swapped).json() == shown("types", TYPE) | swapped
    assert staff.get("/types/invoice.sent") == shown("types", TYPE) | swapped


def test_what_is_used_is_not_deleted(staff: Caller, producer: User, alice: User) -> None:
    staff("POST", "/topics", TOPIC)
    factories.accept(producer, factories.submission(recipients={"topic": "project-7"}))
    for path, uses in (
        ("/types/task.assigned", {"events": 1}),
        ("/categories/tasks", {"types": 3, "events": 1}),
        ("/topics/project-7", {"events": 1}),
    ):
        answer = staff("DELETE", path)
        assert error(answer) == (409, "in_use")
        assert answer.json()["details"] == uses
    assert Type.objects.filter(key="task.assigned").exists()


def test_what_somebody_chose_about_cannot_be_deleted(staff: Caller, alice: User) -> None:
    staff("POST", "/types", TYPE)
    staff("POST", "/topics", {"key": "project-7"})
    for scope in ({"type": TYPE["key"]}, {"topic": "project-7"}):
        assert Caller(alice)("POST", "/settings", {**scope, "channel": "email", "value": "off"}).status_code == 201
    for path in (f"/types/{TYPE['key']}", "/topics/project-7"):
        answer = staff("DELETE", path)
        assert error(answer) == (409, "in_use")
        assert answer.json()["details"] == {"settings": 1}


def test_a_type_is_used_by_the_next_event(staff: Caller, producer: User, alice: User) -> None:
    staff("POST", "/types", TYPE | {"priority": "low"})
    (accepted,) = factories.accept(producer, factories.submission("alice", type="invoice.sent", title=""))
    factories.process()
    (line,) = Caller(alice).get("/notifications")["results"]
    assert (line["type"], line["title"], line["priority"]) == ("invoice.sent", "An invoice was sent", "low")
    assert line["event"] == str(accepted.id)
    line_producer = factories.accept(producer, factories.submission("alice", type="invoice.lost"))[0]
    assert line_producer.details == {
        "type": ["'invoice.lost' does not exist. Known: invoice.sent, task.assigned, task.completed, task.updated."]
    }
    # The fixture deletes the type, and an event would hold on to it.
    factories.forget_events()


def test_lists_are_paged_by_key(staff: Caller) -> None:
    for number in range(5):
        staff("POST", "/topics", {"key": f"topic-{number}"})
    first = staff.get("/topics?limit=2")
    assert [topic["key"] for topic in first["results"]] == ["topic-0", "topic-1"]
    second = staff.get("/topics?limit=2&cursor=btopic-1")
    assert first["next"].endswith("cursor=btopic-1")
    assert [topic["key"] for topic in second["results"]] == ["topic-2", "topic-3"]
    back = staff.get("/topics?limit=2&cursor=atopic-2")
    assert [topic["key"] for topic in back["results"]] == ["topic-0", "topic-1"]


class TestFollowing:
    PATH = "/topics/project-7/subscriptions"

    @pytest.fixture(autouse=True)
    def topic(self, staff: Caller) -> None:
        staff("POST", "/topics", TOPIC)

    def test_for_oneself(self, alice: User, bob: User) -> None:
        me = Caller(alice)
        assert me("POST", self.PATH, {}).json() == {"added": 1, "unknown_users": []}
        assert me("POST", self.PATH).json() == {"added": 0, "unknown_users": []}
        assert me.get(self.PATH)["results"] == [{"topic": "project-7", "user": "alice"}]
        assert Caller(bob).get(self.PATH)["results"] == []
        assert me("DELETE", self.PATH).json() == {"removed": 1}
        assert me("DELETE", self.PATH).json() == {"removed": 0}

    def test_not_for_others(self, alice: User, bob: User) -> None:
        for method in ("POST", "DELETE"):
            assert error(Caller(alice)(method, self.PATH, {"users": ["bob"]})) == (403, "forbidden")
            assert error(Caller()(method, self.PATH)) == (401, "not_authenticated")
        assert error(Caller(alice)("POST", "/topics/none/subscriptions")) == (404, "not_found")
        assert not Subscription.objects.exists()

    def test_many_at_once_by_staff(self, staff: Caller, alice: User, bob: User) -> None:
        factories.user("gone", is_active=False)
        names = {"users": ["bob", "nobody", "alice", "gone", "bob"]}
        assert staff("POST", self.PATH, names).json() == {"added": 2, "unknown_users": ["nobody", "gone"]}
        assert [s["user"] for s in staff.get(self.PATH)["results"]] == ["alice", "bob"]
        assert staff("DELETE", self.PATH, {"users": ["alice"]}).json() == {"removed": 1}

    def test_who_follows_gets_what_is_told_to_the_topic(self, producer: User, alice: User, bob: User) -> None:
        Caller(alice)("POST", self.PATH)
        factories.accept(producer, factories.submission(recipients={"topic": "project-7"}))
        factories.process()
        assert len(Caller(alice).get("/notifications")["results"]) == 1
        assert Caller(bob).get("/notifications")["results"] == []
