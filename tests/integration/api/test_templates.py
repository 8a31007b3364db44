"""Templates and layouts over REST."""

from collections.abc import Iterator
from typing import Any

import pytest

from core.models import User
from notifications.models import Layout, Template, Type
from tests import factories
from tests.api import Caller, error

WORDS = "Hello {{ recipient.username }}: {{ vars.due | date }}"
PART = f"<mj-section><mj-column><mj-text>{WORDS}</mj-text></mj-column></mj-section>"
NEW = {"type": "task.assigned", "channel": "email", "locale": "en", "subject": "{{ title }}", "source": PART}
LINE = {"type": "task.assigned", "channel": "in_app", "locale": "en", "subject": "{{ actor }}", "source": "{{ body }}"}
FRAME = {"key": "main", "source": "<mjml><mj-body>{{ content }}</mj-body></mjml>"}


@pytest.fixture
def staff(committed: None) -> Iterator[Caller]:
    Type.objects.filter(pk="task.assigned").update(sample={"due": "2026-03-02"})
    yield Caller(factories.user("staff", is_staff=True))
    Template.objects.all().delete()
    Layout.objects.all().delete()
    Type.objects.update(sample={})


def made(staff: Caller, body: dict[str, Any], **fields: Any) -> Any:
    answer = staff("POST", "/templates", body | fields)
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_made_changed_listed_used_again_deleted(staff: Caller) -> None:
    first = made(staff, NEW, locale="pt_br")
    assert first == NEW | {
        "id": first["id"],
        "locale": "pt-BR",
        "version": 1,
        "current": True,
        "layout": None,
        "created_by": "staff",
        "created_at": first["created_at"],
    }
    second = staff("PATCH", f"/templates/{first['id']}", {"subject": "New: {{ title }}"}).json()
    assert (second["version"], second["subject"], second["source"], second["current"]) == (
        2,
        "New: {{ title }}",
        PART,
        True,
    )
    late = staff("PATCH", f"/templates/{first['id']}", {"subject": "Late"})
    assert error(late) == (409, "outdated")
    assert [(one["version"], one["current"]) for one in staff.get("/templates")["results"]] == [(2, True), (1, False)]
    again = staff("PATCH", f"/templates/{first['id']}", {"current": True})
    assert again.json() == first
    assert [one["version"] for one in staff.get("/templates?current=true")["results"]] == [1]
    assert staff("DELETE", f"/templates/{first['id']}").status_code == 204
    assert error(staff("GET", f"/templates/{first['id']}")) == (404, "not_found")
    assert staff.get(f"/templates/{second['id']}")["current"] is False


def test_a_list_can_be_narrowed(staff: Caller) -> None:
    made(staff, NEW)
    made(staff, LINE)
    made(staff, LINE, locale="pt-BR")
    made(staff, LINE, type="task.updated")

    def found(query: str) -> list[tuple[str, str, str]]:
        return [(one["type"], one["channel"], one["locale"]) for one in staff.get(f"/templates?{query}")["results"]]

    assert found("type=task.updated") == [("task.updated", "in_app", "en")]
    assert found("channel=email&current=true") == [("task.assigned", "email", "en")]
    assert found("locale=pt_br") == [("task.assigned", "in_app", "pt-BR")]
    assert found("current=false") == []
    assert len(found("limit=3")) == 3
    for bad in ("current=yes", "colour=red", "type=a%00b", "cursor=bx"):
        assert error(staff("GET", f"/templates?{bad}")) == (400, "invalid")


@pytest.mark.parametrize(
    ("body", "field", "why"),
    [
        (NEW | {"source": "{{ vars.deu }}"}, "source", "Unknown: vars.deu."),
        (NEW | {"source": "<mj-nothing>"}, "source", "not MJML"),
        (NEW | {"channel": "pigeon"}, "channel", "Unknown: pigeon. Known: email, in_app."),
        (NEW | {"locale": "xx-Klingon"}, "locale", "not a language tag"),
        (NEW | {"subject": ""}, "subject", "length >= 1"),
        (NEW | {"subject": "a\nb"}, "subject", "matching regex"),
        (NEW | {"layout": "none"}, "layout", "does not exist"),
        (NEW | {"type": "none"}, "type", "does not exist"),
        (NEW | {"colour": "red"}, "body", "colour"),
        (LINE | {"source": "{{ recipient.username }}"}, "source", "Unknown: recipient.username."),
    ],
)
def test_what_cannot_be_used_is_refused(staff: Caller, body: dict[str, Any], field: str, why: str) -> None:
    answer = staff("POST", "/templates", body)
    assert error(answer) == (400, "invalid")
    assert why in answer.json()["details"][field][0]
    assert not Template.objects.exists()


def test_a_change_says_words_or_current(staff: Caller) -> None:
    row = made(staff, NEW)
    for body in ({}, {"current": True, "subject": "x"}, {"current": False}, {"locale": "de"}):
        assert error(staff("PATCH", f"/templates/{row['id']}", body)) == (400, "invalid")
    assert Template.objects.count() == 1


class TestPreview:
    def test_with_the_sample_of_the_type(self, staff: Caller) -> None:
        row = made(staff, NEW)
        shown = staff("POST", f"/templates/{row['id']}/render").json()
        assert (shown["subject"], shown["text"], shown["missing"]) == ("An example", "Hello bob: Mar 2, 2026", [])
        assert "Hello bob: Mar 2, 2026</div>" in shown["html"]

    def test_with_another(self, staff: Caller) -> None:
        row = made(staff, LINE, subject="{{ title }} {{ created_at | datetime: 'short' }}", locale="de")
        given = {"title": "<T>", "body": "B", "locale": "de-CH", "timezone": "Asia/Tokyo"}
        shown = staff("POST", f"/templates/{row['id']}/render", given).json()
        assert shown == {"subject": "<T> 02.03.26, 21:00", "text": "B", "html": "", "missing": []}

    def test_what_is_missing_is_named_and_the_rest_is_shown(self, staff: Caller) -> None:
        row = made(staff, LINE, source="A{% if vars.due == 'x' %}{{ vars.due }}{% endif %}B{{ vars.due }}")
        shown = staff("POST", f"/templates/{row['id']}/render", {"sample": {}}).json()
        assert (shown["text"], shown["missing"]) == ("AB", ["vars.due"])

    def test_a_filter_of_what_is_missing_hides_the_words_and_not_the_name(self, staff: Caller) -> None:
        row = made(staff, NEW)
        answer = staff("POST", f"/templates/{row['id']}/render", {"sample": {}})
        assert answer.status_code == 200
        assert answer.json() == {"subject": "", "text": "", "html": "", "missing": ["vars.due"]}

    def test_what_it_cannot_say_is_told(self, staff: Caller) -> None:
        row = made(staff, NEW)
        answer = staff("POST", f"/templates/{row['id']}/render", {"sample": {"due": "soon"}})
        assert error(answer) == (400, "invalid")
        assert "'soon' is not a date" in answer.json()["details"]["source"][0]
        for bad in ({"timezone": "Mars/Crater"}, {"timezone": "../etc"}, {"sample": {"x": "y" * 9000}}):
            assert error(staff("POST", f"/templates/{row['id']}/render", bad)) == (400, "invalid")


def test_a_sample_that_templates_need_stays(staff: Caller) -> None:
    made(staff, NEW)
    answer = staff("PATCH", "/types/task.assigned", {"sample": {"other": 1}})
    assert error(answer) == (400, "invalid")
    assert answer.json()["details"]["sample"][0].startswith("task.assigned email en v1: Unknown: vars.due.")
    assert staff.get("/types/task.assigned")["sample"] == {"due": "2026-03-02"}


def test_layouts(staff: Caller) -> None:
    assert staff("POST", "/layouts", FRAME).json() == FRAME
    assert error(staff("POST", "/layouts", FRAME)) == (409, "already_there")
    assert staff.get("/layouts")["results"] == [FRAME]
    row = made(staff, NEW, layout="main")
    assert row["layout"] == "main"
    assert error(staff("PATCH", "/layouts/main", {"source": "<mjml></mjml>"})) == (400, "invalid")
    answer = staff("DELETE", "/layouts/main")
    assert (error(answer), answer.json()["details"]) == ((409, "in_use"), {"templates": 1})
    changed = FRAME | {"source": FRAME["source"].replace("<mj-body>", "<mj-body width='500px'>")}
    assert staff("PATCH", "/layouts/main", {"source": changed["source"]}).json() == changed
    assert staff("PATCH", f"/templates/{row['id']}", {"layout": None}).json()["layout"] is None
    staff("DELETE", f"/templates/{row['id']}")
    assert staff("DELETE", "/layouts/main").status_code == 204
    assert error(staff("GET", "/layouts/main")) == (404, "not_found")


def test_for_staff_only(staff: Caller, alice: User) -> None:
    id = made(staff, NEW)["id"]
    for caller, status in ((Caller(alice), 403), (Caller(factories.user("p", is_producer=True)), 403), (Caller(), 401)):
        for method, path in (
            ("GET", "/templates"),
            ("POST", "/templates"),
            ("GET", f"/templates/{id}"),
            ("PATCH", f"/templates/{id}"),
            ("DELETE", f"/templates/{id}"),
            ("POST", f"/templates/{id}/render"),
            ("GET", "/layouts"),
            ("POST", "/layouts"),
            ("DELETE", "/layouts/main"),
        ):
            assert caller(method, path).status_code == status, path
    for strange in ("x", "0", "99999999999999999999", "-1", "1.5"):
        assert error(staff("GET", f"/templates/{strange}")) == (404, "not_found")
