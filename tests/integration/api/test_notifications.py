"""A person's own lines: one by one, many at once, and nobody else's."""

from typing import Any

import pytest

from core.models import User
from notifications.models import InboxHead, Notification
from tests import factories
from tests.api import Caller, error
from tests.factories import accept, submission


@pytest.fixture
def lines(committed: None, producer: User, alice: User) -> list[str]:
    """Three lines of alice's, oldest first."""
    accept(producer, *[submission("alice", title=str(n), tags=[f"t{n}"], data={"n": n}) for n in range(3)])
    factories.process()
    return [str(id) for id in Notification.objects.order_by("pk").values_list("pk", flat=True)]


def counts(call: Caller) -> tuple[int, int, dict[str, int]]:
    body = call.get("/notifications/counts")
    assert set(body) == {"unread", "unseen", "by_category"}
    return body["unread"], body["unseen"], body["by_category"]


def test_a_line_has_the_contracts_fields(lines: list[str], as_alice: Caller) -> None:
    body = as_alice.get(f"/notifications/{lines[1]}")
    assert body == {
        "id": lines[1],
        "rev": 2,
        "event": str(Notification.objects.get(pk=lines[1]).event_id),
        "type": "task.assigned",
        "category": "tasks",
        "tags": ["t1"],
        "priority": "normal",
        "title": "1",
        "body": "",
        "data": {"n": 1},
        "action_url": "",
        "actor": "",
        "object": "",
        "created_at": "2026-03-02T12:00:00Z",
        "seen_at": None,
        "read_at": None,
        "archived_at": None,
        "snoozed_until": None,
        "expires_at": None,
    }
    assert as_alice.get("/notifications")["results"][1] == body


@pytest.mark.parametrize(
    ("patch", "times", "counted", "numbers"),
    [
        ({}, (False, False, False), (3, 3), 0),
        ({"read": True}, (True, True, False), (2, 2), 1),
        ({"seen": True}, (True, False, False), (3, 2), 1),
        ({"archived": True}, (False, False, True), (2, 2), 1),
        ({"read": False}, (False, False, False), (3, 3), 0),
        ({"archived": False}, (False, False, False), (3, 3), 0),
        ({"read": None, "seen": None, "archived": None}, (False, False, False), (3, 3), 0),
        ({"read": True, "archived": True}, (True, True, True), (2, 2), 2),
        ({"seen": True, "read": False}, (True, False, False), (3, 2), 1),
        ({"seen": True, "read": True, "archived": True}, (True, True, True), (2, 2), 3),
    ],
)
def test_patch(
    lines: list[str],
    as_alice: Caller,
    patch: dict[str, Any],
    times: tuple[bool, bool, bool],
    counted: tuple[int, int],
    numbers: int,
) -> None:
    answer = as_alice("PATCH", f"/notifications/{lines[1]}", patch)
    assert answer.status_code == 200
    body = answer.json()
    assert tuple(body[name] is not None for name in ("seen_at", "read_at", "archived_at")) == times
    assert body["rev"] == (3 + numbers if numbers else 2)
    assert counts(as_alice)[:2] == counted
    assert as_alice.get(f"/notifications/{lines[1]}") == body
    again = as_alice("PATCH", f"/notifications/{lines[1]}", patch).json()
    assert again == body


def test_patch_and_back(lines: list[str], as_alice: Caller) -> None:
    path = f"/notifications/{lines[0]}"
    as_alice("PATCH", path, {"read": True, "archived": True})
    body = as_alice("PATCH", path, {"read": False, "archived": False}).json()
    assert (body["read_at"], body["archived_at"]) == (None, None)
    assert body["seen_at"] is not None
    assert counts(as_alice) == (3, 2, {"tasks": 3})


@pytest.mark.parametrize(
    "patch", [{"read": "yes"}, {"read": 1}, {"seen": False}, {"title": "x"}, [], "x", {"user": "bob"}]
)
def test_what_cannot_be_patched_is_400(lines: list[str], as_alice: Caller, patch: Any) -> None:
    before = Notification.objects.values().get(pk=lines[0])
    assert error(as_alice("PATCH", f"/notifications/{lines[0]}", patch)) == (400, "invalid")
    assert Notification.objects.values().get(pk=lines[0]) == before


def test_delete(lines: list[str], as_alice: Caller) -> None:
    answer = as_alice("DELETE", f"/notifications/{lines[1]}")
    assert (answer.status_code, answer.content) == (204, b"")
    for method in ("GET", "PATCH", "DELETE"):
        assert error(as_alice(method, f"/notifications/{lines[1]}", {})) == (404, "not_found")
    assert [one["id"] for one in as_alice.get("/notifications")["results"]] == [lines[2], lines[0]]
    assert counts(as_alice) == (2, 2, {"tasks": 2})


class TestBulk:
    @pytest.mark.parametrize(
        ("action", "changed", "counted"),
        [
            ("read", 2, (1, 1)),
            ("seen", 2, (3, 1)),
            ("archive", 2, (1, 1)),
            ("delete", 2, (1, 1)),
            ("unread", 0, (3, 3)),
            ("unarchive", 0, (3, 3)),
        ],
    )
    def test_by_ids(
        self, lines: list[str], as_alice: Caller, action: str, changed: int, counted: tuple[int, int]
    ) -> None:
        ids = [*lines[:2], lines[0], "0", "x", "-1", "9" * 30, "٣", ""]
        answer = as_alice("POST", "/notifications/bulk", {"action": action, "ids": ids})
        unread, unseen = counted
        by_category = {"tasks": unread} if unread else {}
        assert (answer.status_code, answer.json()) == (
            200,
            {"changed": changed, "counts": {"unread": unread, "unseen": unseen, "by_category": by_category}},
        )
        again = as_alice("POST", "/notifications/bulk", {"action": action, "ids": ids}).json()
        assert (again["changed"], again["counts"]) == (0, answer.json()["counts"])

    @pytest.mark.parametrize(
        ("filter", "changed"),
        [
            ({}, 3),
            ({"tag": "t1"}, 1),
            ({"tag": ["t1"]}, 1),
            ({"tag": ["t1", "t2"]}, 0),
            ({"read": "false"}, 3),
            ({"read": False}, 3),
            ({"read": True}, 0),
            ({"q": "2", "type": "task.assigned"}, 1),
        ],
    )
    def test_by_filter(self, lines: list[str], as_alice: Caller, filter: dict[str, Any], changed: int) -> None:
        answer = as_alice("POST", "/notifications/bulk", {"action": "archive", "filter": filter})
        assert answer.json()["changed"] == changed
        assert len(as_alice.get("/notifications?archived=true")["results"]) == changed

    def test_all(self, lines: list[str], as_alice: Caller) -> None:
        for action, changed, counted in (
            ("seen", 3, (3, 0, {"tasks": 3})),
            ("read", 3, (0, 0, {})),
            ("read", 0, (0, 0, {})),
            ("unread", 3, (3, 0, {"tasks": 3})),
            ("archive", 3, (0, 0, {})),
            ("unarchive", 3, (3, 0, {"tasks": 3})),
            ("delete", 3, (0, 0, {})),
        ):
            body = as_alice("POST", "/notifications/bulk", {"action": action, "all": True}).json()
            assert (action, body["changed"], counts(as_alice)) == (action, changed, counted)
        assert as_alice.get("/notifications")["results"] == []

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"action": "read"},
            {"action": "explode", "all": True},
            {"action": "read", "all": False},
            {"action": "read", "ids": [], "all": True},
            {"action": "read", "ids": [], "filter": {}},
            {"action": "read", "ids": [1]},
            {"action": "read", "ids": "1"},
            {"action": "read", "filter": {"colour": "red"}},
            {"action": "read", "filter": {"limit": 5}},
            {"action": "read", "filter": {"read": "perhaps"}},
            {"action": "read", "filter": {"since": "yesterday"}},
            {"action": "read", "filter": {"tag": []}},
            {"action": "read", "filter": {"type": {"a": 1}}},
            {"action": "read", "filter": {"q": 5}},
            {"action": "read", "filter": {"tag": [{}]}},
            {"action": "read", "filter": {"type": None}},
            {"action": "read", "filter": []},
        ],
    )
    def test_what_is_no_bulk_action_is_400_and_changes_nothing(
        self, lines: list[str], as_alice: Caller, body: Any
    ) -> None:
        before = list(Notification.objects.order_by("pk").values()), InboxHead.objects.values().get()
        assert error(as_alice("POST", "/notifications/bulk", body)) == (400, "invalid")
        assert (list(Notification.objects.order_by("pk").values()), InboxHead.objects.values().get()) == before


class TestIsolation:
    """Bob can neither see nor change what is alice's, and cannot tell it from what never was."""

    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    @pytest.mark.parametrize("body", [{}, {"read": True}])
    def test_one_by_one(self, lines: list[str], as_bob: Caller, method: str, body: dict[str, Any]) -> None:
        before = list(Notification.objects.order_by("pk").values()), list(InboxHead.objects.values())
        theirs = as_bob(method, f"/notifications/{lines[0]}", body)
        nobodys = as_bob(method, "/notifications/999999999", body)
        assert error(theirs) == error(nobodys) == (404, "not_found")
        assert theirs.content == nobodys.content
        assert (list(Notification.objects.order_by("pk").values()), list(InboxHead.objects.values())) == before

    @pytest.mark.parametrize("action", ["read", "unread", "seen", "archive", "unarchive", "delete"])
    def test_in_bulk(self, lines: list[str], as_bob: Caller, action: str) -> None:
        before = list(Notification.objects.order_by("pk").values()), list(InboxHead.objects.values())
        whiches: list[dict[str, Any]] = [{"ids": lines}, {"filter": {"tag": "t1"}}, {"filter": {}}, {"all": True}]
        for which in whiches:
            answer = as_bob("POST", "/notifications/bulk", {"action": action, **which})
            assert answer.json() == {"changed": 0, "counts": {"unread": 0, "unseen": 0, "by_category": {}}}
        assert (list(Notification.objects.order_by("pk").values()), list(InboxHead.objects.values())) == before

    def test_lists_and_counts(self, lines: list[str], as_bob: Caller) -> None:
        assert as_bob.get("/notifications") == {"results": [], "next": None, "previous": None}
        assert as_bob.get(f"/notifications?cursor=a{int(lines[0]) - 1}")["results"] == []
        assert counts(as_bob) == (0, 0, {})

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/notifications"),
            ("GET", "/notifications/counts"),
            ("GET", "/notifications/1"),
            ("PATCH", "/notifications/1"),
            ("DELETE", "/notifications/1"),
            ("POST", "/notifications/bulk"),
        ],
    )
    def test_a_stranger_gets_nowhere(self, lines: list[str], stranger: Caller, method: str, path: str) -> None:
        assert error(stranger(method, path, {})) == (401, "not_authenticated")

    @pytest.mark.parametrize("id", ["0", "x", "-1", "1.0", "9" * 18, "9" * 30, "%00", "٣", "1%2F2", "%20"])
    def test_what_cannot_be_an_id_is_not_there(self, as_alice: Caller, id: str) -> None:
        assert error(as_alice("GET", f"/notifications/{id}")) == (404, "not_found")
