"""Events over REST: accepted, refused, repeated, reported."""

import uuid
from typing import Any

import pytest

from core.models import User
from notifications.models import Event
from tests import factories
from tests.api import Caller, error

BODY = {"type": "task.assigned", "recipients": {"users": ["alice"]}, "title": "Water the plants"}


def details(answer: Any) -> dict[str, Any]:
    assert error(answer) == (400, "invalid")
    found: dict[str, Any] = answer.json()["details"]
    return found


def test_accepted_means_stored(as_producer: Caller, producer: User) -> None:
    answer = as_producer("POST", "/events", BODY, X_Request_ID="trace-0123456789")
    event = Event.objects.get()
    assert (answer.status_code, answer.json()) == (202, {"id": str(event.id), "status": "accepted"})
    assert (event.producer, event.trace_id, event.idempotency_key) == (producer, "trace-0123456789", None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ([], "body"),
        ("[" * 100_000, None),
        ("{", None),
        ("nonsense", None),
        (b"\xff\xfe", None),
        ('{"type": "task.assigned", "type"', None),
        (BODY | {"title": "a\nb"}, "title"),
        (BODY | {"colour": "red"}, "body"),
        (BODY | {"type": "task.lost"}, "type"),
        (BODY | {"channels": ["pigeon"]}, "channels"),
        (BODY | {"recipients": {"users": []}}, "recipients.users"),
        (BODY | {"recipients": {"topic": "none"}}, "topic"),
        (BODY | {"send_at": "9999-12-31T23:59:59-12:00"}, "body"),
        (BODY | {"body": "a\x00b"}, None),
        (BODY | {"data": {"a\x00": 1}}, None),
        ('{"type": "\\ud800", "recipients": {"all": true}}', None),
        ('{"type": "task.assigned", "recipients": {"all": true}, "data": {"n": 1e999}}', None),
        ('{"type": "task.assigned", "recipients": {"all": true}, "data": {"n": NaN}}', None),
        ('{"type": "task.assigned", "recipients": {"all": true}, "data": {"n": ' + "9" * 5000 + "}}", None),
    ],
)
def test_what_is_not_an_event_is_400_and_names_the_field(as_producer: Caller, body: Any, field: str | None) -> None:
    named = details(as_producer("POST", "/events", body))
    assert list(named) == ([field] if field else [])
    assert Event.objects.count() == 0


@pytest.mark.parametrize("depth", [100, 400, 900, 990, 3000])
def test_deep_data_is_stored_or_refused_but_never_breaks(as_producer: Caller, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    raw = '{"type": "task.assigned", "recipients": {"all": true}, "data": {"d": ' + nested + "}}"
    status = as_producer("POST", "/events", raw).status_code
    assert status in (202, 400)
    assert Event.objects.count() == (status == 202)


def test_an_odd_title_comes_back_as_it_went_in(as_producer: Caller, as_alice: Caller) -> None:
    odd = BODY | {"title": '"\\u0041" \\ 🛎\u2028', "data": {"k": '\\"'}}
    assert as_producer("POST", "/events", odd).status_code == 202
    factories.process(now=Event.objects.get().accepted_at)
    (shown,) = as_alice.get("/notifications")["results"]
    assert (shown["title"], shown["data"]) == (odd["title"], odd["data"])


@pytest.mark.parametrize("path", ["/events", "/events/batch"])
def test_who_may_send(stranger: Caller, as_alice: Caller, path: str) -> None:
    assert error(stranger("POST", path, BODY)) == (401, "not_authenticated")
    assert error(as_alice("POST", path, BODY)) == (403, "forbidden")
    staff = factories.user("staff", is_staff=True)
    assert Caller(staff)("POST", "/events", BODY).status_code == 202


def test_other_media_types_are_415_and_other_methods_405(as_producer: Caller) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = as_producer("POST", "/events", "x", **{"Content-Type": kind})
        assert error(answer) == (415, "unsupported_media_type")
    answer = as_producer("DELETE", "/events")
    assert error(answer) == (405, "method_not_allowed")
    assert answer["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_a_body_that_is_too_large_is_413(as_producer: Caller) -> None:
    limit = 5 * 1024 * 1024
    fits = b'{"type": "task.assigned", "recipients": {"users": ["alice"]}}'
    assert as_producer("POST", "/events", fits + b" " * (limit - len(fits))).status_code == 202
    assert error(as_producer("POST", "/events", fits + b" " * (limit - len(fits) + 1))) == (413, "too_large")


class TestIdempotencyKey:
    def test_the_same_key_and_body_give_the_same_answer(self, as_producer: Caller) -> None:
        answers = [as_producer("POST", "/events", BODY, Idempotency_Key="k") for _ in range(3)]
        assert {(answer.status_code, answer.content) for answer in answers} == {(202, answers[0].content)}
        assert Event.objects.count() == 1

    def test_another_body_is_409_and_names_the_first(self, as_producer: Caller) -> None:
        first = as_producer("POST", "/events", BODY, Idempotency_Key="k").json()
        answer = as_producer("POST", "/events", BODY | {"title": "Other"}, Idempotency_Key="k")
        assert error(answer) == (409, "idempotency_conflict")
        assert answer.json()["details"] == {"id": first["id"]}

    def test_a_refused_event_uses_no_key_up(self, as_producer: Caller) -> None:
        assert as_producer("POST", "/events", BODY | {"type": "task.lost"}, Idempotency_Key="k").status_code == 400
        assert as_producer("POST", "/events", BODY, Idempotency_Key="k").status_code == 202

    @pytest.mark.parametrize(("key", "status"), [("k" * 200, 202), ("k" * 201, 400), ("a\tb", 400), ("", 202)])
    def test_its_limits(self, as_producer: Caller, key: str, status: int) -> None:
        assert as_producer("POST", "/events", BODY, Idempotency_Key=key).status_code == status

    def test_a_batch_that_is_sent_again_is_the_same_batch(self, as_producer: Caller) -> None:
        batch = {"events": [BODY, {"type": "nonsense"}, BODY]}
        first, again = [as_producer("POST", "/events/batch", batch, Idempotency_Key="k").json() for _ in range(2)]
        assert first == again
        assert Event.objects.count() == 2


class TestBatch:
    def test_answers_are_in_order_and_each_stands_alone(self, as_producer: Caller) -> None:
        batch = [BODY | {"title": "0"}, {"type": "x"}, BODY | {"type": "task.lost"}, BODY | {"title": "3"}]
        answer = as_producer("POST", "/events/batch", {"events": batch})
        results = answer.json()["results"]
        assert (answer.status_code, [list(r) for r in results]) == (202, [["id"], ["error"], ["error"], ["id"]])
        titles = {str(id): title for id, title in Event.objects.values_list("id", "title")}
        assert titles == {results[0]["id"]: "0", results[3]["id"]: "3"}
        assert [r["error"]["code"] for r in results[1:3]] == ["invalid"] * 2
        assert list(results[2]["error"]["details"]) == ["type"]

    @pytest.mark.parametrize(
        "body", [{}, {"events": []}, {"events": {}}, {"events": ["x"]}, {"events": [None]}, [BODY], {"event": [BODY]}]
    )
    def test_what_is_no_batch_is_400(self, as_producer: Caller, body: Any) -> None:
        assert error(as_producer("POST", "/events/batch", body)) == (400, "invalid")

    def test_a_thousand_and_not_one_more(self, as_producer: Caller) -> None:
        assert error(as_producer("POST", "/events/batch", {"events": [BODY] * 1001})) == (400, "invalid")
        assert Event.objects.count() == 0
        assert as_producer("POST", "/events/batch", {"events": [BODY] * 1000}).status_code == 202
        assert Event.objects.count() == 1000


class TestReport:
    def test_what_became_of_an_event(self, as_producer: Caller, alice: User) -> None:
        id = as_producer("POST", "/events", BODY | {"recipients": {"users": ["alice", "nobody"]}}).json()["id"]
        accepted = as_producer.get(f"/events/{id}")
        assert (accepted["status"], accepted["recipients"], accepted["channels"]) == ("accepted", 0, {})
        assert accepted["due_at"] == accepted["accepted_at"]
        factories.process(now=Event.objects.get().accepted_at)
        done = as_producer.get(f"/events/{id}")
        assert (done["status"], done["recipients"], done["unknown_users"]) == ("processed", 1, ["nobody"])
        assert done["channels"] == {"in_app": {"created": 1}, "email": {"pending": 1}}
        assert (done["due_at"], done["error"], done["id"]) == (None, "", id)

    def test_anothers_event_is_not_there(self, as_producer: Caller) -> None:
        id = as_producer("POST", "/events", BODY).json()["id"]
        other = Caller(factories.user("other", is_producer=True))
        assert error(other("GET", f"/events/{id}")) == (404, "not_found")
        assert error(other("GET", f"/events/{uuid.uuid4()}")) == (404, "not_found")
        assert other.get("/events")["results"] == []

    def test_who_may_look(self, stranger: Caller, as_alice: Caller) -> None:
        for path in ("/events", f"/events/{uuid.uuid4()}"):
            assert error(stranger("GET", path)) == (401, "not_authenticated")
            assert error(as_alice("GET", path)) == (403, "forbidden")

    def test_own_events_newest_first_page_by_page(self, as_producer: Caller) -> None:
        ids = [r["id"] for r in as_producer("POST", "/events/batch", {"events": [BODY] * 7}).json()["results"]]
        first = as_producer.get("/events?limit=3")
        second = as_producer.get(first["next"].partition("/api/v1")[2])
        third = as_producer.get(second["next"].partition("/api/v1")[2])
        pages = [[event["id"] for event in page["results"]] for page in (first, second, third)]
        newest_first = sorted(ids, reverse=True)
        assert pages == [newest_first[:3], newest_first[3:6], newest_first[6:]]
        assert (first["previous"], third["next"]) == (None, None)
        back = as_producer.get(third["previous"].partition("/api/v1")[2])
        assert [event["id"] for event in back["results"]] == pages[1]

    @pytest.mark.parametrize("cursor", ["x", "b", "bx", "c" + "0" * 32, "b" + "0" * 31, "b%00"])
    def test_a_cursor_that_is_not_ours_is_400(self, as_producer: Caller, cursor: str) -> None:
        assert error(as_producer("GET", f"/events?cursor={cursor}")) == (400, "invalid")
