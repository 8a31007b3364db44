"""Lists: every filter, and pages that stay put while lines are added."""

from typing import Any

import pytest
from django.utils import timezone

from core.models import User
from notifications import inbox
from notifications.models import Notification
from tests import factories
from tests.api import Caller, error
from tests.factories import NOW, accept, submission

LINES: dict[str, dict[str, Any]] = {
    "plain": {},
    "work": {"tags": ["work"], "body": "Buy a watering can"},
    "work home": {"tags": ["Home", "work"], "priority": "high"},
    "fire": {"category": "tasks", "type": "task.updated", "priority": "critical"},
    "read": {"priority": "low"},
    "seen": {},
    "archived": {},
}


@pytest.fixture
def lines(committed: None, producer: User, alice: User) -> None:
    """One line for each of LINES, a minute apart; the last three are what their name says."""
    for minute, (title, fields) in enumerate(LINES.items()):
        now = NOW.replace(minute=minute)
        accept(producer, submission("alice", title=title, **fields), now=now)
        factories.process(now=now)
    for action in ("read", "seen", "archive"):
        ids = Notification.objects.filter(event__title__startswith=action).values_list("pk", flat=True)
        assert inbox.change(alice.pk, action=action, ids=list(ids), now=NOW)


EVERY = list(LINES)


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("", EVERY),
        ("read=true", ["read"]),
        ("read=false", [t for t in EVERY if t != "read"]),
        ("read=1", ["read"]),
        ("read=False", [t for t in EVERY if t != "read"]),
        ("seen=true", ["read", "seen"]),
        ("seen=0", [t for t in EVERY if t not in ("read", "seen")]),
        ("archived=true", ["archived"]),
        ("archived=false", [t for t in EVERY if t != "archived"]),
        ("type=task.updated", ["fire"]),
        ("type=task.lost", []),
        ("category=tasks", EVERY),
        ("category=cats", []),
        ("tag=work", ["work", "work home"]),
        ("tag=WORK", ["work", "work home"]),
        ("tag=work&tag=home", ["work home"]),
        ("tag=work&tag=cats", []),
        ("priority=high", ["work home"]),
        ("priority=critical", ["fire"]),
        ("priority=urgent", []),
        ("since=2026-03-02T12:05:00Z", ["seen", "archived"]),
        ("until=2026-03-02T12:02:00Z", ["plain", "work"]),
        ("since=2026-03-02T13:01:00%2B01:00&until=2026-03-02T12:03:00Z", ["work", "work home"]),
        ("q=fire", ["fire"]),
        ("q=FIRE", ["fire"]),
        ("q=watering", ["work"]),
        ("q=work%20home", ["work home"]),
        ("q=cats", []),
        ("q=%27%22%3B--%26%7C!%28", []),
        ("tag=work&priority=high&read=false", ["work home"]),
    ],
)
def test_each_filter(lines: None, as_alice: Caller, query: str, titles: list[str]) -> None:
    page = as_alice.get(f"/notifications?{query}")
    assert [one["title"] for one in page["results"]] == titles[::-1]
    assert (page["next"], page["previous"]) == (None, None)


@pytest.mark.parametrize(
    "query",
    [
        "colour=red",
        "read=perhaps",
        "read=",
        "seen=2",
        "archived=%00",
        "since=yesterday",
        "since=2026-03-02T12:00:00",
        "since=2026-13-45T12:00:00Z",
        "until=",
        "until=2026-03-02",
        "q=%00",
        "type=%00",
        "category=a%00",
        "tag=%00",
        "priority=%00",
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=1.5",
        "limit=" + "9" * 5000,
        "cursor=x",
        "cursor=b",
        "cursor=c1",
    ],
)
def test_what_is_no_filter_is_400(as_alice: Caller, query: str) -> None:
    assert error(as_alice("GET", f"/notifications?{query}")) == (400, "invalid")


@pytest.mark.parametrize("cursor", ["bx", "b%00", "a" + "9" * 30, "b-1"])
def test_a_cursor_that_is_not_ours_is_refused(as_alice: Caller, cursor: str) -> None:
    assert error(as_alice("GET", f"/notifications?cursor={cursor}"))[0] in (400, 404)


def test_read_by_all_counts_as_read(lines: None, as_alice: Caller, alice: User) -> None:
    inbox.read_all(alice.pk, now=NOW)
    assert as_alice.get("/notifications?read=false")["results"] == []
    assert len(as_alice.get("/notifications?seen=true")["results"]) == len(LINES)


def add(producer: User, count: int, *, start: int = 0) -> None:
    accept(producer, *[submission("alice", title=str(start + n)) for n in range(count)])
    factories.process()


def page(call: Caller, path: str) -> tuple[list[int], str | None, str | None]:
    """The titles as numbers, and where `next` and `previous` lead."""
    body = call.get(path)
    assert set(body) == {"results", "next", "previous"}
    links = [link and link.partition("/api/v1")[2] for link in (body["next"], body["previous"])]
    return [int(one["title"]) for one in body["results"]], links[0], links[1]


def test_sixty_lines_forward_and_back_while_lines_are_added(as_alice: Caller, producer: User) -> None:
    add(producer, 60)
    first, onward, back = page(as_alice, "/notifications")
    assert (first, back) == (list(range(59, 34, -1)), None)
    add(producer, 3, start=60)
    assert onward is not None
    second, onward, back = page(as_alice, onward)
    assert second == list(range(34, 9, -1))
    assert onward is not None
    third, end, back = page(as_alice, onward)
    assert (third, end) == (list(range(9, -1, -1)), None)
    # And back: the same pages, then what was added.
    assert back is not None
    again, onward, back = page(as_alice, back)
    assert again == second
    assert back is not None
    again, onward, back = page(as_alice, back)
    assert again == first
    assert back is not None
    newest, onward, back = page(as_alice, back)
    assert (newest, back) == ([62, 61, 60], None)
    assert onward is not None
    assert page(as_alice, onward)[0] == first


def test_links_keep_the_filters(as_alice: Caller, producer: User, alice: User) -> None:
    add(producer, 10)
    odd = [row.pk for row in inbox.visible(alice.pk) if int(row.event.title) % 2]
    inbox.change(alice.pk, action="read", ids=odd, now=timezone.now())
    first, onward, _ = page(as_alice, "/notifications?read=true&limit=3&category=tasks")
    assert onward is not None
    second, end, back = page(as_alice, onward)
    assert (first, second, end) == ([9, 7, 5], [3, 1], None)
    assert back is not None
    assert page(as_alice, back)[0] == [9, 7, 5]


@pytest.mark.parametrize(("limit", "size"), [("1", 1), ("100", 60), ("60", 60), ("59", 59)])
def test_the_limit(as_alice: Caller, producer: User, limit: str, size: int) -> None:
    add(producer, 60)
    titles, onward, back = page(as_alice, f"/notifications?limit={limit}")
    assert titles == list(range(59, 59 - size, -1))
    assert (onward is None, back) == (size == 60, None)
