"""The delivery log and replays over REST: every filter, what is shown, and that only staff may."""

from datetime import timedelta
from typing import Any

import pytest

from core.models import User
from notifications.models import Attempt, Delivery, Notification, Replay
from tests import factories, mail
from tests.api import Caller, error
from tests.deciding import HOURLY, choose, deliver, tell
from tests.factories import NOW
from tests.integration.test_query_counts import statements

pytestmark = pytest.mark.usefixtures("committed")

HOUR = timedelta(hours=1)
SECRET = "550 5.3.4 <refused@example.com>: no, Bearer abc.def-1234567 and https://us:pa55@relay.example/ are wrong"
PEOPLE = ["sent", "refused", "later", "hangup", "waiting"]


@pytest.fixture
def staff(committed: None) -> Caller:
    return Caller(factories.user("staff", is_staff=True))


@pytest.fixture
def log(producer: User, staff: Caller, server: mail.MailServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Delivery]:
    """One delivery for each of PEOPLE, a minute apart, and two digests: of bob, sent, and of alice, waiting."""
    monkeypatch.setitem(mail.RCPT_REPLIES, "refused", SECRET)
    for name in ("bob", "alice"):
        choose(factories.user(name), digests=HOURLY)
        tell(producer, name)
        deliver(now=NOW + HOUR if name == "bob" else NOW)
    for minute, name in enumerate(PEOPLE):
        factories.user(name)
        now = NOW + timedelta(minutes=minute)
        tell(producer, name, now=now, **({"type": "task.updated", "priority": "high"} if name == "later" else {}))
        if name != "waiting":
            deliver(now=now)
    found = {one.address.partition("@")[0]: one for one in Delivery.objects.exclude(state="digested").order_by("pk")}
    assert set(found) == {*PEOPLE, "alice", "bob"}
    return found


def shown(call: Caller, query: str) -> list[str]:
    """The people of a page, oldest first."""
    return [one["user"] for one in call.get(f"/deliveries?{query}")["results"]][::-1]


@pytest.mark.parametrize(
    ("query", "people"),
    [
        ("", ["bob", "bob", "alice", "alice", *PEOPLE]),
        ("state=failed", ["refused"]),
        ("state=failed&state=sent", ["bob", "sent", "refused"]),
        ("state=digested", ["bob", "alice"]),
        ("channel=email&state=pending", ["alice", "later", "hangup", "waiting"]),
        ("channel=push", []),
        ("lane=urgent", ["later"]),
        ("lane=digest", ["bob", "alice"]),
        ("reason=retrying", ["later", "hangup"]),
        ("reason=digest&state=pending", ["alice"]),
        ("user=refused", ["refused"]),
        ("user=bob", ["bob", "bob"]),
        ("user=nobody", []),
        ("type=task.updated", ["later"]),
        ("category=tasks", ["bob", "bob", "alice", "alice", *PEOPLE]),
        ("category=cats", []),
        ("code=5.3.4", ["refused"]),
        ("result=failed", ["refused"]),
        ("result=unknown", ["hangup"]),
        ("result=sent", ["bob", "sent"]),
        ("result=gone", []),
        ("since=2026-03-02T12:04:00Z&lane=normal", ["waiting"]),
        ("since=2026-03-02T12:03:00Z&until=2026-03-02T12:04:00Z&lane=normal", ["hangup"]),
        ("until=2026-03-02T12:01:00Z&state=sent", ["sent"]),
        ("since=2026-03-02T14:00:00%2B01:00", ["bob"]),
        ("min_attempts=1", ["bob", *PEOPLE[:-1]]),
        ("min_attempts=2", ["later"]),
        ("min_attempts=3", []),
        ("state=sent&user=bob&lane=digest&result=sent", ["bob"]),
    ],
)
def test_each_filter(log: dict[str, Delivery], staff: Caller, query: str, people: list[str]) -> None:
    assert sorted(shown(staff, query)) == sorted(people)


def test_by_event_and_by_provider(log: dict[str, Delivery], staff: Caller) -> None:
    line = Notification.objects.get(user__username="sent")
    Delivery.objects.filter(address="refused@example.com").update(provider="relay")
    assert shown(staff, f"event={line.event_id}") == ["sent"]
    assert shown(staff, "event=0194d2a0-0000-7000-8000-000000000000") == []
    assert (shown(staff, "provider=relay"), shown(staff, "provider=other")) == (["refused"], [])


@pytest.mark.parametrize(
    "query",
    [
        "colour=red",
        "state=lost",
        "state=",
        "state=sent&state=lost",
        "lane=slow",
        "reason=whim",
        "result=perhaps",
        "event=1",
        "channel=",
        "channel=%00",
        "user=a%00",
        "since=yesterday",
        "since=2026-03-02T12:00:00",
        "until=0001-01-01T00:00:00Z",
        "min_attempts=x",
        "min_attempts=0",
        "min_attempts=-1",
        "min_attempts=" + "9" * 5000,
        "limit=0",
        "cursor=x",
    ],
)
def test_what_is_no_filter_is_400(staff: Caller, query: str) -> None:
    assert error(staff("GET", f"/deliveries?{query}")) == (400, "invalid")


def test_one_delivery_whole_and_without_a_secret(log: dict[str, Delivery], staff: Caller) -> None:
    row = log["refused"]
    assert row.notification is not None
    provider = Delivery.objects.get(pk=row.pk).provider
    whole = {
        "id": str(row.pk),
        "event": str(row.notification.event_id),
        "user": "refused",
        "type": "task.assigned",
        "channel": "email",
        "address": "r***@example.com",
        "lane": "normal",
        "state": "failed",
        "reason": "",
        "rule": "type",
        "due_at": None,
        "attempts": 1,
        "lost_claims": 0,
        "code": "5.3.4",
        "provider": provider,
        "provider_id": "",
        "digest": None,
        "created_at": "2026-03-02T12:01:00Z",
        "ended_at": "2026-03-02T12:01:00Z",
    }
    assert staff.get("/deliveries?user=refused")["results"] == [whole]
    detail = "5.3.4 <r***@example.com>: no, Bearer *** and https://***@relay.example/ are wrong"
    tried = {
        "number": 1,
        "result": "failed",
        "code": "5.3.4",
        "detail": detail,
        "started_at": "2026-03-02T12:01:00Z",
        "ended_at": "2026-03-02T12:01:00Z",
    }
    assert staff.get(f"/deliveries/{row.pk}") == whole | {"history": [tried]}
    # It is not in the row either.
    assert Attempt.objects.get(delivery=row).detail == detail.replace("r***", "refused")


def test_a_digest_has_no_event(log: dict[str, Delivery], staff: Caller) -> None:
    row = log["bob"]
    found = staff.get(f"/deliveries/{row.pk}")
    told = {name: found[name] for name in ("event", "type", "user", "digest", "state", "lane")}
    assert told == {
        "event": None,
        "type": None,
        "user": "bob",
        "digest": str(row.digest_id),
        "state": "sent",
        "lane": "digest",
    }
    assert [one["result"] for one in found["history"]] == ["sent"]


def test_every_attempt_is_there_also_those_before_a_replay(
    log: dict[str, Delivery], staff: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"filter": {"since": "2026-03-02T12:00:00Z", "until": "2126-03-02T12:00:00Z"}, "max_age": 366 * 86400}
    assert staff("POST", "/deliveries/replay", body | {"dry_run": False}).json()["replayed"] == 1
    monkeypatch.delitem(mail.RCPT_REPLIES, "refused")
    due = Delivery.objects.get(pk=log["refused"].pk).due_at
    assert due is not None
    deliver(now=due)
    found = staff.get(f"/deliveries/{log['refused'].pk}")
    assert [(one["number"], one["result"]) for one in found["history"]] == [(1, "failed"), (2, "sent")]
    assert (found["state"], found["attempts"], found["rule"]) == ("sent", 1, f"replay:{Replay.objects.get().pk}")


@pytest.mark.parametrize("id", ["0", "9" * 30, "x", "-1"])
def test_what_is_not_there(staff: Caller, id: str) -> None:
    assert error(staff("GET", f"/deliveries/{id}")) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/deliveries"), ("GET", "/deliveries/1"), ("POST", "/deliveries/replay")]
)
def test_only_staff(as_alice: Caller, as_producer: Caller, method: str, path: str) -> None:
    for call in (as_alice, as_producer):
        assert error(call(method, path, {})) == (403, "forbidden")


def test_pages_stay_put_while_deliveries_are_added(producer: User, alice: User, staff: Caller) -> None:
    def add(count: int) -> None:
        for _ in range(count):
            tell(producer, "alice")

    def page(path: str) -> tuple[list[int], str | None]:
        body = staff.get(path)
        return [int(one["id"]) for one in body["results"]], body["next"] and body["next"].partition("/api/v1")[2]

    add(5)
    ids = list(Delivery.objects.order_by("-pk").values_list("pk", flat=True))
    first, onward = page("/deliveries?limit=2&state=pending")
    add(2)
    assert onward is not None
    second, onward = page(onward)
    assert onward is not None
    third, end = page(onward)
    assert ([first, second, third], end) == ([ids[:2], ids[2:4], ids[4:]], None)


@pytest.mark.parametrize("size", [1, 60])
def test_the_number_of_queries_does_not_grow(producer: User, alice: User, staff: Caller, size: int) -> None:
    for _ in range(size):
        tell(producer, "alice")
    row = Delivery.objects.all()[0]
    Attempt.objects.bulk_create(
        Attempt(delivery=row, token=n, result="retry", started_at=NOW, ended_at=NOW) for n in range(size)
    )
    # Who is it, and the rows; of one, its attempts.
    assert len(statements(lambda: staff.get("/deliveries?limit=100&user=alice&result=retry&category=tasks"))) == 2
    assert len(statements(lambda: staff.get("/deliveries?limit=100"))) == 2
    assert len(statements(lambda: staff.get(f"/deliveries/{row.pk}"))) == 3


# --- Replay -------------------------------------------------------------------------------------------

WINDOW = {"since": "2026-03-02T12:00:00Z", "until": "2026-03-02T13:00:00Z"}


def test_a_replay_is_dry_unless_told_otherwise(log: dict[str, Delivery], staff: Caller) -> None:
    body: dict[str, Any] = {"filter": WINDOW | {"user": "refused", "state": ["failed"]}, "max_age": 366 * 86400}
    look = staff("POST", "/deliveries/replay", body)
    assert look.status_code == 200
    listed = staff.get("/deliveries?user=refused")["results"]
    assert look.json() == {
        "dry_run": True,
        "replay": None,
        "would": 1,
        "replayed": 0,
        "stale": {},
        "groups": [{"channel": "email", "type": "task.assigned", "count": 1}],
        "items": listed,
    }
    assert (Delivery.objects.get(pk=log["refused"].pk).state, Replay.objects.count()) == ("failed", 0)
    done = staff("POST", "/deliveries/replay", body | {"dry_run": False}).json()
    kept = Replay.objects.select_related("by").get()
    assert kept.by is not None
    assert (kept.by.username, kept.replayed, kept.stale, done["replay"]) == ("staff", 1, 0, str(kept.pk))
    assert (done["dry_run"], done["replayed"], done["items"][0]["state"]) == (False, 1, "pending")
    again = staff("POST", "/deliveries/replay", body | {"dry_run": False}).json()
    assert (again["replayed"], again["stale"], again["items"]) == (0, {}, [])


def test_what_is_old_is_told(log: dict[str, Delivery], staff: Caller) -> None:
    """The deliveries of this test are of March, and a day is the default."""
    answer = staff("POST", "/deliveries/replay", {"filter": WINDOW}).json()
    assert (answer["would"], answer["stale"], answer["groups"]) == (0, {"too_old": 1}, [])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filter": {}},
        {"filter": {"since": WINDOW["since"]}},
        {"filter": {"until": WINDOW["until"]}},
        {"filter": {"since": WINDOW["until"], "until": WINDOW["since"]}},
        {"filter": WINDOW | {"state": ["sent"]}},
        {"filter": WINDOW | {"state": ["failed", "pending"]}},
        {"filter": WINDOW | {"state": "failed"}},
        {"filter": WINDOW | {"colour": "red"}},
        {"filter": WINDOW, "rate": 0},
        {"filter": WINDOW, "rate": 60_001},
        {"filter": WINDOW, "max_age": 0},
        {"filter": WINDOW, "dry_run": None},
        {"filter": WINDOW, "apply": True},
        [],
    ],
)
def test_what_is_no_replay_is_400(producer: User, alice: User, staff: Caller, body: Any) -> None:
    tell(producer, "alice")
    Delivery.objects.update(state="failed", due_at=None, ended_at=NOW)
    assert error(staff("POST", "/deliveries/replay", body)) == (400, "invalid")
    assert (Delivery.objects.get().state, Replay.objects.count()) == ("failed", 0)
