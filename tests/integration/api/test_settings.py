"""A person's settings over REST, and the answer that follows for every type and channel."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.models import User
from notifications.models import InboxHead, NotificationSetting, PreferenceTemplate, Topic, Type
from tests.api import Caller, error
from tests.integration.test_query_counts import statements

MUTE = {"category": "tasks", "channel": "email", "value": "off"}


def made(who: Caller, **body: Any) -> str:
    answer = who("POST", "/settings", body)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


@pytest.fixture
def garden(committed: None) -> Topic:
    return Topic.objects.create(key="garden")


@pytest.mark.parametrize(("kind", "key"), [("category", "tasks"), ("type", "task.updated"), ("topic", "garden")])
def test_made_shown_changed_deleted(as_alice: Caller, garden: Topic, kind: str, key: str) -> None:
    answer = as_alice("POST", "/settings", {kind: key, "channel": "email", "value": "digest"})
    shown = answer.json()
    assert answer.status_code == 201
    assert shown == {
        "id": shown["id"],
        kind: key,
        "channel": "email",
        "value": "digest",
        "updated_at": shown["updated_at"],
    }
    path = f"/settings/{shown['id']}"
    assert as_alice.get(path) == shown
    assert as_alice.get("/settings") == {"results": [shown], "next": None, "previous": None}
    changed = as_alice("PATCH", path, {"value": "off"}).json()
    assert changed == shown | {"value": "off", "updated_at": changed["updated_at"]}
    assert as_alice.get(path) == changed
    assert as_alice("DELETE", path).status_code == 204
    assert error(as_alice("GET", path)) == error(as_alice("DELETE", path)) == (404, "not_found")
    assert as_alice.get("/settings")["results"] == []


def test_each_change_is_a_version_and_what_changes_nothing_is_none(as_alice: Caller, alice: User) -> None:
    def counted() -> tuple[int, int, int]:
        head = InboxHead.objects.get(user=alice)
        return as_alice.get("/preferences")["version"], head.head_seq, head.choices

    id = made(as_alice, **MUTE)
    assert counted() == (1, 1, 1)
    as_alice("PATCH", f"/settings/{id}", {"value": "off"})
    assert error(as_alice("POST", "/settings", MUTE)) == (409, "already_there")
    assert error(as_alice("DELETE", "/settings/999")) == (404, "not_found")
    assert counted() == (1, 1, 1)
    as_alice("PATCH", f"/settings/{id}", {"value": "on"})
    assert counted() == (2, 2, 2)
    as_alice("DELETE", f"/settings/{id}")
    assert counted() == (3, 3, 3)


def test_there_is_one_for_each_thing_and_channel(as_alice: Caller, as_bob: Caller) -> None:
    id = made(as_alice, **MUTE)
    answer = as_alice("POST", "/settings", MUTE | {"value": "on"})
    assert (error(answer), answer.json()["details"]) == ((409, "already_there"), {"id": id})
    made(as_alice, **MUTE | {"channel": "in_app"})
    made(as_alice, type="task.updated", channel="email", value="off")
    made(as_bob, **MUTE)
    assert NotificationSetting.objects.count() == 4


def test_somebody_elses_looks_like_one_that_never_was(as_alice: Caller, as_bob: Caller) -> None:
    id = made(as_alice, **MUTE)
    for method, body in (("GET", None), ("PATCH", {"value": "on"}), ("DELETE", None)):
        for wrong in (id, "999999", "x", "1" * 30):
            assert error(as_bob(method, f"/settings/{wrong}", body)) == (404, "not_found")
    assert as_bob.get("/settings")["results"] == []
    assert as_alice.get(f"/settings/{id}")["value"] == "off"


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (MUTE | {"category": "pets"}, "category", "'pets' does not exist. Known: tasks."),
        (
            {"type": "task.eaten", "channel": "email", "value": "on"},
            "type",
            "'task.eaten' does not exist. Known: task.assigned, task.completed, task.updated.",
        ),
        ({"topic": "attic", "channel": "email", "value": "on"}, "topic", "'attic' does not exist."),
        (MUTE | {"channel": "pigeon"}, "channel", "Unknown: pigeon. Known: email, in_app."),
        (MUTE | {"channel": "in_app", "value": "digest"}, "value", "The inbox gathers nothing: on or off."),
        (MUTE | {"value": "loud"}, "value", "Invalid enum value 'loud'"),
        (MUTE | {"value": None}, "value", "Expected `str`, got `null`"),
        (MUTE | {"type": "task.updated"}, "body", "Give exactly one of `category`, `type` and `topic`"),
        ({"channel": "email", "value": "on"}, "body", "Give exactly one of `category`, `type` and `topic`"),
        (MUTE | {"user": "bob"}, "body", "Object contains unknown field `user`"),
    ],
)
def test_what_is_not_valid_is_named(as_alice: Caller, body: dict[str, Any], field: str, said: str) -> None:
    answer = as_alice("POST", "/settings", body)
    assert error(answer) == (400, "invalid")
    assert answer.json()["details"] == {field: [said]}
    assert not NotificationSetting.objects.exists()
    assert not InboxHead.objects.exists()


def test_an_inbox_cannot_be_changed_to_gather(as_alice: Caller) -> None:
    id = made(as_alice, **MUTE | {"channel": "in_app"})
    answer = as_alice("PATCH", f"/settings/{id}", {"value": "digest"})
    assert (error(answer), list(answer.json()["details"])) == ((400, "invalid"), ["value"])
    for body in ({}, {"value": "on", "channel": "email"}):
        assert error(as_alice("PATCH", f"/settings/{id}", body)) == (400, "invalid")
    assert as_alice.get(f"/settings/{id}")["value"] == "off"


def test_the_list_is_paged(as_alice: Caller) -> None:
    keys = ["task.assigned", "task.completed", "task.updated"]
    ids = [made(as_alice, type=key, channel=channel, value="off") for key in keys for channel in ("email", "in_app")]
    seen, path = [], "/settings?limit=4"
    while path:
        page = as_alice.get(path)
        seen += [setting["id"] for setting in page["results"]]
        path = page["next"] and page["next"].split("/api/v1")[1]
    assert seen == ids[::-1]
    assert error(as_alice("GET", "/settings?cursor=bx")) == (400, "invalid")


# --- What follows ---------------------------------------------------------------------------------------------

DEFAULT = {"value": "on", "rule": "type", "reason": None}
NOT_ASKED = {"value": "off", "rule": "type", "reason": "not_requested"}


@pytest.fixture
def types(committed: None) -> Iterator[None]:
    """`task.assigned` by mail too, `task.completed` always by mail, `task.updated` never."""
    before = list(Type.objects.values())
    Type.objects.filter(key="task.assigned").update(channels=["in_app", "email"])
    Type.objects.filter(key="task.completed").update(channels=["in_app"], required=["email"])
    Type.objects.filter(key="task.updated").update(channels=["in_app", "email"], not_allowed=["email"])
    yield
    for row in before:
        Type.objects.filter(key=row["key"]).update(**row)
    PreferenceTemplate.objects.update(channels={}, settings={}, digests={})


def mail(who: Caller, type: str = "task.assigned") -> dict[str, Any]:
    """The answer for a type on e-mail."""
    (found,) = [row for row in who.get("/settings/effective")["types"] if row["type"] == type]
    cell: dict[str, Any] = found["channels"]["email"]
    return cell


@pytest.mark.usefixtures("types")
class TestEffective:
    def test_without_any_choice_the_types_decide(self, as_alice: Caller) -> None:
        assert as_alice.get("/settings/effective") == {
            "types": [
                {"type": "task.assigned", "category": "tasks", "channels": {"in_app": DEFAULT, "email": DEFAULT}},
                {
                    "type": "task.completed",
                    "category": "tasks",
                    "channels": {"in_app": DEFAULT, "email": {"value": "on", "rule": "required", "reason": None}},
                },
                {
                    "type": "task.updated",
                    "category": "tasks",
                    "channels": {
                        "in_app": DEFAULT,
                        "email": {"value": "off", "rule": "not_allowed", "reason": "not_allowed"},
                    },
                },
            ],
            "topics": [],
        }

    def test_each_rule_of_the_chain_by_name(self, as_alice: Caller, as_bob: Caller, alice: User) -> None:
        template = PreferenceTemplate.objects.filter(is_default=True)
        Type.objects.filter(key="task.assigned").update(channels=["in_app"])
        assert mail(as_alice) == NOT_ASKED
        template.update(channels={"email": False})
        assert mail(as_alice) == {"value": "off", "rule": "template:channel", "reason": "muted"}
        template.update(settings={"category:tasks": {"email": "on"}})
        assert mail(as_alice) == {"value": "on", "rule": "template:category:tasks", "reason": None}
        template.update(settings={"type:task.assigned": {"email": "digest"}})
        assert mail(as_alice) == {"value": "digest", "rule": "template:type:task.assigned", "reason": "digest"}
        as_alice("PATCH", "/preferences", {"version": 0, "channels": {"email": False}})
        assert mail(as_alice) == {"value": "off", "rule": "person:channel", "reason": "muted"}
        made(as_alice, **MUTE | {"value": "digest"})
        assert mail(as_alice) == {"value": "digest", "rule": "person:category:tasks", "reason": "digest"}
        id = made(as_alice, type="task.assigned", channel="email", value="on")
        assert mail(as_alice) == {"value": "on", "rule": "person:type:task.assigned", "reason": None}
        later = (timezone.now() + timedelta(hours=1)).isoformat()
        as_alice("PATCH", "/preferences", {"version": 3, "muted_until": later})
        assert mail(as_alice) == {"value": "off", "rule": "person:muted_until", "reason": "muted"}
        assert mail(as_alice, "task.completed") == {"value": "on", "rule": "required", "reason": None}
        as_alice("PATCH", "/preferences", {"version": 4, "muted_until": "2020-01-01T00:00:00Z"})
        as_alice("DELETE", f"/settings/{id}")
        assert mail(as_alice)["rule"] == "person:category:tasks", "what was deleted falls back to the chain"
        assert mail(as_bob)["rule"] == "template:type:task.assigned", "nobody else's choices"

    def test_how_often_decides_between_on_and_digest(self, as_alice: Caller) -> None:
        as_alice("PATCH", "/preferences", {"version": 0, "digests": {"email": {"every": "day"}}})
        assert mail(as_alice) == {"value": "digest", "rule": "type", "reason": "digest"}
        as_alice("PATCH", "/preferences", {"version": 1, "channels": {"email": True}})
        assert mail(as_alice) == {"value": "digest", "rule": "person:channel", "reason": "digest"}

    def test_topics_with_settings_of_their_own(self, as_alice: Caller, garden: Topic) -> None:
        Topic.objects.create(key="attic")
        made(as_alice, topic="garden", channel="email", value="off")
        made(as_alice, topic="attic", channel="in_app", value="on")
        made(as_alice, topic="attic", channel="email", value="digest")
        assert as_alice.get("/settings/effective")["topics"] == [
            {
                "topic": "attic",
                "channels": {
                    "email": {"value": "digest", "rule": "person:topic:attic", "reason": "digest"},
                    "in_app": {"value": "on", "rule": "person:topic:attic", "reason": None},
                },
            },
            {
                "topic": "garden",
                "channels": {"email": {"value": "off", "rule": "person:topic:garden", "reason": "muted"}},
            },
        ]
        assert mail(as_alice) == DEFAULT

    @pytest.mark.parametrize("size", [1, 40])
    def test_the_number_of_queries_does_not_grow(self, as_alice: Caller, size: int) -> None:
        for number in range(size):
            Topic.objects.create(key=f"topic-{number}")
            made(as_alice, topic=f"topic-{number}", channel="email", value="off")
            Type.objects.create(key=f"test.{number}", category_id="tasks", title="T")
        try:
            asked = statements(lambda: as_alice.get("/settings/effective"))
            assert len(asked) == 3, asked  # who is it, what they chose, the types
        finally:
            Type.objects.filter(key__startswith="test.").delete()
