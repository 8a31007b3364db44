"""Default preference templates over REST."""

from collections.abc import Iterator
from typing import Any

import pytest

from core.models import User
from notifications.models import InboxHead, NotificationSetting, Preference, PreferenceTemplate, Topic
from tests import factories
from tests.api import Caller, error
from tests.integration.test_query_counts import statements

NIGHT = {"days": [5, 6], "start": "20:00", "end": "10:00"}
BLANK: dict[str, Any] = {
    "is_default": False,
    "locale": None,
    "timezone": None,
    "channels": {},
    "quiet_hours": None,
    "digests": {},
    "settings": {},
}
CALM = {
    "name": "calm",
    "locale": "de",
    "timezone": "Europe/Berlin",
    "channels": {"email": True},
    "quiet_hours": [NIGHT],
    "digests": {"email": {"every": "day", "at": "17:00"}},
    "settings": {"category:tasks": {"email": "digest"}, "type:task.assigned": {"email": "on", "in_app": "on"}},
}
PATH = "/preference-templates"


@pytest.fixture
def staff(committed: None) -> Iterator[Caller]:
    yield Caller(factories.user("staff", is_staff=True))
    Preference.objects.all().delete()
    PreferenceTemplate.objects.exclude(name="standard").delete()
    PreferenceTemplate.objects.update(is_default=True)


def made(staff: Caller, **body: Any) -> dict[str, Any]:
    answer = staff("POST", PATH, body)
    assert answer.status_code == 201, answer.content
    shown: dict[str, Any] = answer.json()
    return shown


def defaults() -> list[str]:
    return list(PreferenceTemplate.objects.filter(is_default=True).values_list("name", flat=True))


def test_made_shown_changed_deleted(staff: Caller) -> None:
    shown = made(staff, **CALM)
    path = f"{PATH}/{shown['id']}"
    expected = BLANK | CALM | {"id": shown["id"], "version": 1, "updated_at": shown["updated_at"]}
    assert shown == expected
    assert staff.get(path) == expected
    assert [row["name"] for row in staff.get(PATH)["results"]] == ["calm", "standard"]
    change = {
        "name": "calmer",
        "settings": {"type:task.assigned": {"email": None}, "category:tasks": {"email": "off", "in_app": "off"}},
        "digests": {"email": {"every": "week", "weekday": 1}},
        "quiet_hours": [],
    }
    changed = staff("PATCH", path, change | {"version": 1}).json()
    assert changed == expected | {
        "name": "calmer",
        "settings": {"type:task.assigned": {"in_app": "on"}, "category:tasks": {"email": "off", "in_app": "off"}},
        "digests": {"email": {"every": "week", "at": "09:00", "weekday": 1}},
        "quiet_hours": [],
        "version": 2,
        "updated_at": changed["updated_at"],
    }
    assert staff("PATCH", path, {"version": 2, "name": "calmer"}).json() == changed, "nothing changed"
    emptied = staff("PATCH", path, {"settings": {"type:task.assigned": {"in_app": None}}}, If_Match='"2"').json()
    assert emptied["settings"] == {"category:tasks": {"email": "off", "in_app": "off"}}
    assert staff("PATCH", path, {"version": 3, "settings": {"category:tasks": None}}).json()["settings"] == {}
    assert staff("DELETE", path).status_code == 204
    assert error(staff("GET", path)) == error(staff("DELETE", path)) == (404, "not_found")
    assert error(staff("PATCH", path, {"version": 4})) == (404, "not_found")


def test_a_stale_change_is_refused(staff: Caller) -> None:
    shown = made(staff, name="calm")
    path = f"{PATH}/{shown['id']}"
    assert error(staff("PATCH", path, {"locale": "de"})) == (400, "invalid")
    answer = staff("PATCH", path, {"locale": "de", "version": 2})
    assert error(answer) == (409, "stale")
    assert answer.json()["details"] == {"present": shown}
    assert staff.get(path) == shown


def test_one_is_the_default(staff: Caller) -> None:
    assert defaults() == ["standard"]
    calm = made(staff, name="calm", is_default=True)
    assert defaults() == ["calm"]
    loud = made(staff, name="loud")
    staff("PATCH", f"{PATH}/{loud['id']}", {"version": 1, "is_default": True})
    assert defaults() == ["loud"]
    assert not staff.get(f"{PATH}/{calm['id']}")["is_default"]
    # There is always one.
    answer = staff("PATCH", f"{PATH}/{loud['id']}", {"version": 2, "is_default": False})
    assert (error(answer), list(answer.json()["details"])) == ((400, "invalid"), ["is_default"])
    assert defaults() == ["loud"]


def test_names_are_not_given_twice(staff: Caller) -> None:
    made(staff, name="calm")
    other = made(staff, name="loud")
    assert error(staff("POST", PATH, {"name": "calm", "is_default": True})) == (409, "already_there")
    assert error(staff("PATCH", f"{PATH}/{other['id']}", {"version": 1, "name": "calm"})) == (409, "already_there")
    assert defaults() == ["standard"]


def test_what_is_used_is_not_deleted(staff: Caller, alice: User, bob: User) -> None:
    calm = made(staff, name="calm", is_default=True)
    answer = staff("DELETE", f"{PATH}/{calm['id']}")
    assert (error(answer), answer.json()["details"]) == ((409, "in_use"), {"people": 0, "is_default": True})
    loud = made(staff, name="loud")
    staff("POST", f"{PATH}/{loud['id']}/apply", {"users": ["alice", "bob"]})
    answer = staff("DELETE", f"{PATH}/{loud['id']}")
    assert (error(answer), answer.json()["details"]) == ((409, "in_use"), {"people": 2, "is_default": False})
    assert PreferenceTemplate.objects.count() == 3


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"timezone": "Mars"}, "timezone"),
        ({"channels": {"pigeon": True}}, "channels"),
        ({"digests": {"in_app": {"every": "day"}}}, "digests"),
        ({"settings": {"category:pets": {"email": "on"}}}, "settings"),
        ({"settings": {"type:tasks": {"email": "on"}}}, "settings"),
        ({"settings": {"topic:attic": {"email": "on"}}}, "settings"),
        ({"settings": {"tasks": {"email": "on"}}}, "settings"),
        ({"settings": {"category:tasks": {"pigeon": "on"}}}, "settings"),
        ({"settings": {"category:tasks": {"in_app": "digest"}}}, "settings"),
        ({"settings": {"category:tasks": {"email": "loud"}}}, "settings[...][...]"),
        ({"settings": {f"topic:{n}": {"email": "on"} for n in range(1001)}}, "settings"),
        ({"muted_until": None}, "body"),
    ],
)
def test_what_is_not_valid_is_named(staff: Caller, change: dict[str, Any], field: str) -> None:
    standard = PreferenceTemplate.objects.get()
    for answer in (
        staff("POST", PATH, {"name": "calm"} | change),
        staff("PATCH", f"{PATH}/{standard.pk}", {"version": standard.version} | change),
    ):
        assert error(answer) == (400, "invalid")
        assert list(answer.json()["details"]) == [field]
    assert list(PreferenceTemplate.objects.values_list("name", "version")) == [("standard", standard.version)]
    answer = staff("POST", PATH, {"locale": "de"})
    assert (error(answer), list(answer.json()["details"])) == ((400, "invalid"), ["name"])


def test_for_staff_only(staff: Caller, as_alice: Caller, as_producer: Caller, stranger: Caller) -> None:
    for path, methods in (
        (PATH, ("GET", "POST")),
        (f"{PATH}/1", ("GET", "PATCH", "DELETE")),
        (f"{PATH}/1/apply", ("POST",)),
    ):
        for method in methods:
            for caller, status in ((as_alice, 403), (as_producer, 403), (stranger, 401)):
                assert caller(method, path, {"name": "calm"}).status_code == status
    assert PreferenceTemplate.objects.count() == 1


def test_a_new_person_has_the_default_one(staff: Caller) -> None:
    made(staff, **CALM, is_default=True)
    effective = {name: CALM[name] for name in ("locale", "timezone", "quiet_hours", "digests")}
    shown = Caller(factories.user("newcomer")).get("/preferences")
    assert (shown["effective"], shown["version"], shown["locale"]) == (effective, 0, None)
    assert not Preference.objects.exists()


class TestApplying:
    @pytest.fixture
    def calm(self, staff: Caller) -> dict[str, Any]:
        return made(staff, **CALM)

    def test_to_some(self, staff: Caller, calm: dict[str, Any], as_alice: Caller, as_bob: Caller, alice: User) -> None:
        factories.user("gone", is_active=False)
        as_alice("PATCH", "/preferences", {"version": 0, "timezone": "Asia/Kathmandu"})
        as_alice("POST", "/settings", {"category": "tasks", "channel": "email", "value": "off"})
        path = f"{PATH}/{calm['id']}/apply"
        answer = staff("POST", path, {"users": ["alice", "nobody", "gone", "alice"]})
        assert (answer.status_code, answer.json()) == (200, {"applied": 1, "unknown_users": ["nobody", "gone"]})
        shown = as_alice.get("/preferences")
        assert (shown["template"], shown["version"], shown["rev"]) == (calm["id"], 3, 3)
        assert (shown["timezone"], shown["effective"]["timezone"]) == ("Asia/Kathmandu", "Asia/Kathmandu")
        assert shown["effective"]["locale"] == "de"
        assert len(as_alice.get("/settings")["results"]) == 1
        assert as_bob.get("/preferences")["version"] == 0
        head = InboxHead.objects.get(user=alice)
        assert (head.head_seq, head.choices) == (3, 3)
        assert staff("POST", path, {"users": ["alice"]}).json() == {"applied": 0, "unknown_users": []}
        assert as_alice.get("/preferences") == shown, "who has it already is passed over"

    def test_with_reset_their_own_choices_are_forgotten(
        self, staff: Caller, calm: dict[str, Any], as_alice: Caller, as_bob: Caller
    ) -> None:
        path = f"{PATH}/{calm['id']}/apply"
        assert staff("POST", path, {"all": True}).json() == {"applied": 3, "unknown_users": []}
        as_alice("PATCH", "/preferences", {"version": 1, "timezone": "Asia/Kathmandu"})
        as_bob("POST", "/settings", {"category": "tasks", "channel": "email", "value": "off"})
        assert staff("POST", path, {"all": True}).json() == {"applied": 0, "unknown_users": []}
        assert staff("POST", path, {"all": True, "reset": True}).json() == {"applied": 2, "unknown_users": []}
        for who in (as_alice, as_bob):
            shown = who.get("/preferences")
            assert (shown["timezone"], shown["template"], shown["version"]) == (None, calm["id"], 3)
            assert shown["effective"]["timezone"] == "Europe/Berlin"
        assert not NotificationSetting.objects.exists()
        assert as_alice("DELETE", "/preferences").status_code == 204
        assert as_alice.get("/preferences")["template"] is None, "and back to the default one"

    def test_it_decides_the_next_time(self, staff: Caller, calm: dict[str, Any], as_alice: Caller) -> None:
        staff("POST", f"{PATH}/{calm['id']}/apply", {"users": ["alice"]})

        def rule() -> str:
            (row,) = [r for r in as_alice.get("/settings/effective")["types"] if r["type"] == "task.updated"]
            return str(row["channels"]["email"]["rule"])

        assert rule() == "template:category:tasks"
        staff("PATCH", f"{PATH}/{calm['id']}", {"version": 1, "settings": {"category:tasks": None}})
        assert rule() == "template:channel"

    @pytest.mark.parametrize(
        "body", [{}, {"users": []}, {"users": ["alice"], "all": True}, {"all": False}, {"all": True, "really": True}]
    )
    def test_whom_must_be_said(self, staff: Caller, calm: dict[str, Any], body: dict[str, Any]) -> None:
        assert error(staff("POST", f"{PATH}/{calm['id']}/apply", body)) == (400, "invalid")
        assert error(staff("POST", f"{PATH}/999/apply", {"all": True})) == (404, "not_found")
        assert not Preference.objects.exists()

    @pytest.mark.parametrize("reset", [False, True])
    def test_the_number_of_statements_does_not_grow_with_the_people(
        self, staff: Caller, calm: dict[str, Any], reset: bool
    ) -> None:
        def asked(count: int, prefix: str) -> list[str]:
            names = [user.username for user in factories.users(count, prefix)]
            body = {"users": names, "reset": reset}
            answers = []
            found = statements(lambda: answers.append(staff("POST", f"{PATH}/{calm['id']}/apply", body)))
            assert answers[0].json() == {"applied": count, "unknown_users": []}
            return found

        # Who is it, the template, the names; then a chunk: whom, heads and rows, the template (and with `reset`
        # the settings), what waits, what to tell.
        assert len(asked(1, "a")) == len(asked(400, "b")) == 8 + reset
        chunk = 5 + reset
        assert len(asked(900, "c")) == 8 + reset + chunk
        assert Preference.objects.filter(template_id=calm["id"]).count() == 1301
        assert set(InboxHead.objects.values_list("head_seq", "choices")) == {(1, 1)}


def test_a_topic_may_have_a_rule_too(staff: Caller) -> None:
    Topic.objects.create(key="garden")
    shown = made(staff, name="calm", settings={"topic:garden": {"email": "off"}})
    assert shown["settings"] == {"topic:garden": {"email": "off"}}
