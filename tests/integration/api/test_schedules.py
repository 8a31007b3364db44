"""Schedules over REST."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from core.models import User
from notifications import schedules
from notifications.models import Event, Schedule
from tests import factories
from tests.api import Caller, error
from tests.threads import at_once

EVENT = {"type": "task.assigned", "recipients": {"users": ["alice"]}, "title": "Stand up", "expires_after": 3600}
BODY: dict[str, Any] = {"name": "Standup", "event": EVENT, "cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}


def made(call: Caller, **changes: Any) -> dict[str, Any]:
    answer = call("POST", "/schedules", {n: v for n, v in (BODY | changes).items() if v is not None})
    assert answer.status_code == 201, answer.content
    body: dict[str, Any] = answer.json()
    return body


def moment(text: str) -> datetime:
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


def test_made_shown_changed_deleted(as_producer: Caller) -> None:
    body = made(as_producer)
    path = f"/schedules/{body['id']}"
    next_at = moment(body["next_at"])
    assert body == {
        "id": str(Schedule.objects.get().pk),
        "name": "Standup",
        "event": EVENT,
        "cron": "0 9 * * 1-5",
        "every": None,
        "timezone": "Europe/Berlin",
        "enabled": True,
        "next_at": body["next_at"],
        "last_at": None,
        "error": "",
    }
    assert (next_at.minute, next_at.hour in (7, 8), next_at.isoweekday() < 6) == (0, True, True)
    assert timedelta(0) < next_at - Schedule.objects.get().created_at <= timedelta(days=3)
    assert as_producer.get(path) == body
    assert as_producer.get("/schedules")["results"] == [body]
    assert as_producer("PATCH", path, {}).json() == body
    assert as_producer("PATCH", path, {"name": "New"}).json() == body | {"name": "New"}
    paused = as_producer("PATCH", path, {"enabled": False}).json()
    assert paused == body | {"name": "New", "enabled": False, "next_at": None}
    every = as_producer("PATCH", path, {"every": {"n": 90, "unit": "minutes"}, "enabled": True}).json()
    assert (every["cron"], every["timezone"], every["every"]) == (None, None, {"n": 90, "unit": "minutes"})
    assert moment(every["next_at"]) == Schedule.objects.get().created_at + timedelta(minutes=90)
    assert as_producer("DELETE", path).status_code == 204
    assert error(as_producer("GET", path)) == error(as_producer("DELETE", path)) == (404, "not_found")
    assert not Event.objects.exists()


def test_each_recipients_own_time(as_producer: Caller) -> None:
    body = made(as_producer, timezone="recipient")
    assert (body["cron"], body["timezone"]) == ("0 9 * * 1-5", "recipient")
    assert made(as_producer, timezone=None)["timezone"] == "UTC"
    changed = as_producer("PATCH", f"/schedules/{body['id']}", {"cron": "0 8 * * *"}).json()
    assert (changed["cron"], changed["timezone"]) == ("0 8 * * *", "recipient")


def test_what_happened_is_shown(as_producer: Caller) -> None:
    body = made(as_producer)
    due = moment(body["next_at"])
    assert schedules.run_due(now=due) == 1
    shown = as_producer.get(f"/schedules/{body['id']}")
    assert (shown["last_at"], moment(shown["next_at"]) > due, shown["error"]) == (body["next_at"], True, "")
    User.objects.update(is_active=False)
    schedules.run_due(now=moment(shown["next_at"]))
    User.objects.update(is_active=True)
    shown = as_producer.get(f"/schedules/{body['id']}")
    assert (shown["enabled"], shown["next_at"]) == (False, None)
    assert shown["error"] == "Its producer may not send events any more."


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"name": ""}, "name", "length >= 1"),
        ({"colour": "red"}, "body", "colour"),
        ({"cron": None}, "cron", "Say when"),
        ({"cron": None, "timezone": None}, "cron", "Say when"),
        ({"cron": "0 9 * * 7"}, "cron", "'7' is no day of the week"),
        ({"cron": "0 0 31 2 *"}, "cron", "never comes"),
        ({"cron": "0 9 * *"}, "cron", "five fields"),
        ({"timezone": "Mars/Olympus"}, "timezone", "'Mars/Olympus' is no time zone"),
        ({"timezone": "../../etc/passwd"}, "timezone", "is no time zone"),
        ({"every": {"n": 1, "unit": "hours"}}, "every", "not both"),
        ({"every": {"n": 1, "unit": "hours"}, "cron": None}, "timezone", "leave it out"),
        ({"every": {"n": 59, "unit": "seconds"}, "cron": None, "timezone": None}, "every", "from one minute"),
        ({"every": {"n": 367, "unit": "days"}, "cron": None, "timezone": None}, "every", "366 days"),
        ({"every": {"n": 0, "unit": "days"}, "cron": None, "timezone": None}, "every.n", ">= 1"),
        ({"every": {"n": 1, "unit": "weeks"}, "cron": None, "timezone": None}, "every.unit", "weeks"),
        ({"event": EVENT | {"send_at": "2030-01-01T00:00:00Z"}}, "event", "the schedule says when"),
        ({"event": EVENT | {"expires_at": "2030-01-01T00:00:00Z"}}, "event", "`expires_after`"),
        ({"event": EVENT | {"expires_after": 0}}, "event.expires_after", ">= 1"),
        ({"event": EVENT | {"action_url": "javascript:x"}}, "event", "`action_url`"),
        ({"event": EVENT | {"recipients": {}}}, "event.recipients", "exactly one"),
        ({"event": EVENT | {"type": "task.gone"}}, "event.type", "Known: task.assigned, task.completed, task.updated"),
        ({"event": EVENT | {"category": "none"}}, "event.category", "Known: tasks"),
        ({"event": EVENT | {"recipients": {"topic": "none"}}}, "event.topic", "'none' does not exist"),
        ({"event": EVENT | {"channels": ["pigeon"]}}, "event.channels", "Unknown: pigeon. Known: email, in_app"),
        ({"event": EVENT | {"zone": "UTC"}}, "event", "zone"),
    ],
)
def test_what_is_not_valid_is_named(as_producer: Caller, changes: dict[str, Any], field: str, said: str) -> None:
    answer = as_producer("POST", "/schedules", {n: v for n, v in (BODY | changes).items() if v is not None})
    assert error(answer) == (400, "invalid")
    ((name, (sentence, *_)),) = answer.json()["details"].items()
    assert name == field
    assert said in sentence
    assert (Schedule.objects.count(), Event.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"timezone": "UTC"}, "timezone"),
        ({"cron": "* * * * *", "every": {"n": 1, "unit": "days"}}, "every"),
        ({"event": EVENT | {"type": "task.gone"}}, "event.type"),
    ],
)
def test_a_change_that_is_not_valid_changes_nothing(as_producer: Caller, changes: dict[str, Any], field: str) -> None:
    body = made(as_producer, cron=None, timezone=None, every={"n": 1, "unit": "days"})
    answer = as_producer("PATCH", f"/schedules/{body['id']}", {"name": "New"} | changes)
    assert (error(answer), list(answer.json()["details"])) == ((400, "invalid"), [field])
    assert as_producer.get(f"/schedules/{body['id']}") == body


def test_each_producer_has_their_own_and_staff_all(as_producer: Caller, as_alice: Caller, stranger: Caller) -> None:
    body = made(as_producer)
    path = f"/schedules/{body['id']}"
    other = Caller(factories.user("other", is_producer=True))
    for method, sent in (("GET", None), ("PATCH", {"name": "Mine"}), ("DELETE", None)):
        assert error(other(method, path, sent)) == (404, "not_found")
        assert as_alice(method, path, sent).status_code == 403
        assert stranger(method, path, sent).status_code == 401
        assert error(as_producer(method, "/schedules/x1", sent)) == (404, "not_found")
    assert other.get("/schedules")["results"] == []
    staff = Caller(factories.user("staff", is_staff=True))
    mine = made(staff)
    assert staff.get("/schedules")["results"] == [mine, body]
    assert staff("PATCH", path, {"name": "Ours"}).json() == body | {"name": "Ours"}
    assert as_producer.get("/schedules")["results"] == [body | {"name": "Ours"}]
    assert staff("DELETE", path).status_code == 204


def test_pages_newest_first(as_producer: Caller) -> None:
    for number in range(5):
        made(as_producer, name=f"{number}")
    page = as_producer.get("/schedules?limit=2")
    assert [row["name"] for row in page["results"]] == ["4", "3"]
    page = as_producer.get(page["next"].partition("/api/v1")[2])
    assert [row["name"] for row in page["results"]] == ["2", "1"]
    assert error(as_producer("GET", "/schedules?cursor=bx")) == (400, "invalid")


def test_one_producer_may_have_so_many(as_producer: Caller, producer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when several ask for the last place at once."""
    monkeypatch.setattr(schedules, "MOST", 2)
    made(as_producer)
    codes = at_once(*[lambda: as_producer("POST", "/schedules", BODY).status_code] * 4)
    assert (sorted(codes), Schedule.objects.count()) == ([201, 409, 409, 409], 2)
    answer = as_producer("POST", "/schedules", BODY)
    assert (error(answer), answer.json()["details"]) == ((409, "too_many_schedules"), {"most": 2})
    assert made(Caller(factories.user("other", is_producer=True)))["enabled"] is True
