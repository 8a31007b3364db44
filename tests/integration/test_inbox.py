"""What a person does to their lines: exactly which rows change, how they are numbered, what is counted."""

from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from core.models import User
from notifications import inbox, shapes
from notifications.models import InboxHead, Notification
from tests import factories
from tests.factories import NOW, accept, submission

pytestmark = pytest.mark.usefixtures("committed")

BEFORE, AFTER = NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)


class Row(NamedTuple):
    seen_at: Any = None
    read_at: Any = None
    archived_at: Any = None
    deleted_at: Any = None


def row(id: int) -> Row:
    found = Notification.objects.get(pk=id)
    return Row(found.seen_at, found.read_at, found.archived_at, found.deleted_at)


def head(user: User) -> tuple[int, int, int]:
    own = InboxHead.objects.get(user=user)
    return own.head_seq, own.unread, own.unseen


def lines(producer: User, user: User, count: int) -> list[int]:
    accept(producer, *[submission(user.username) for _ in range(count)])
    factories.process()
    return list(Notification.objects.filter(user=user).order_by("id").values_list("pk", flat=True))


def do(user: User, action: str, ids: list[int] | None, *, now: Any = AFTER) -> list[inbox.Changed]:
    return inbox.change(user.pk, action=action, ids=ids, now=now)


NEW, SEEN, READ = Row(), Row(seen_at=BEFORE), Row(seen_at=BEFORE, read_at=BEFORE)
# How a line came to be as it is, in one word: what was done to it before.
WAYS = {
    "new": (),
    "seen": ("seen",),
    "read": ("read",),
    "unread again": ("read", "unread"),
    "archived new": ("archive",),
    "archived read": ("read", "archive"),
    "deleted": ("delete",),
    "read by all": ("read_all",),
    "archived, then read by all": ("archive", "read_all"),
}
# For each way and action: the row afterwards and the counts (unread, unseen); None: nothing changes.
EXPECTED: dict[str, dict[str, tuple[Row, tuple[int, int]] | None]] = {
    "new": {
        "read": (Row(AFTER, AFTER), (0, 0)),
        "unread": None,
        "seen": (Row(AFTER), (1, 0)),
        "archive": (Row(archived_at=AFTER), (0, 0)),
        "unarchive": None,
        "delete": (Row(deleted_at=AFTER), (0, 0)),
    },
    "seen": {
        "read": (Row(BEFORE, AFTER), (0, 0)),
        "unread": None,
        "seen": None,
        "archive": (Row(BEFORE, None, AFTER), (0, 0)),
        "unarchive": None,
        "delete": (Row(BEFORE, deleted_at=AFTER), (0, 0)),
    },
    "read": {
        "read": None,
        "unread": (Row(BEFORE), (1, 0)),
        "seen": None,
        "archive": (Row(BEFORE, BEFORE, AFTER), (0, 0)),
        "unarchive": None,
        "delete": (Row(BEFORE, BEFORE, None, AFTER), (0, 0)),
    },
    "unread again": {
        "read": (Row(BEFORE, AFTER), (0, 0)),
        "unread": None,
        "seen": None,
        "archive": (Row(BEFORE, None, AFTER), (0, 0)),
        "unarchive": None,
        "delete": (Row(BEFORE, None, None, AFTER), (0, 0)),
    },
    "archived new": {
        "read": (Row(AFTER, AFTER, BEFORE), (0, 0)),
        "unread": None,
        "seen": (Row(AFTER, None, BEFORE), (0, 0)),
        "archive": None,
        "unarchive": (Row(), (1, 1)),
        "delete": (Row(None, None, BEFORE, AFTER), (0, 0)),
    },
    "archived read": {
        "read": None,
        "unread": (Row(BEFORE, None, BEFORE), (0, 0)),
        "seen": None,
        "archive": None,
        "unarchive": (Row(BEFORE, BEFORE), (0, 0)),
        "delete": (Row(BEFORE, BEFORE, BEFORE, AFTER), (0, 0)),
    },
    "deleted": dict.fromkeys(inbox.ACTIONS),
    # The read stands only in the watermark; the first change of the line writes it into the row.
    "read by all": {
        "read": None,
        "unread": (Row(BEFORE), (1, 0)),
        "seen": None,
        "archive": (Row(BEFORE, BEFORE, AFTER), (0, 0)),
        "unarchive": None,
        "delete": (Row(BEFORE, BEFORE, None, AFTER), (0, 0)),
    },
    "archived, then read by all": {
        "read": None,
        "unread": (Row(BEFORE, None, BEFORE), (0, 0)),
        "seen": None,
        "archive": None,
        "unarchive": (Row(BEFORE, BEFORE), (0, 0)),
        "delete": (Row(BEFORE, BEFORE, BEFORE, AFTER), (0, 0)),
    },
}


def test_the_table_is_complete() -> None:
    assert set(EXPECTED) == set(WAYS)
    assert {frozenset(by_action) for by_action in EXPECTED.values()} == {frozenset(inbox.ACTIONS)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("action", inbox.ACTIONS)
def test_each_action_on_each_state(producer: User, alice: User, way: str, action: str) -> None:
    # The second line is there so that "all" has something to read when the first is archived.
    first, second = lines(producer, alice, 2)
    for step in WAYS[way]:
        if step == "read_all":
            assert inbox.read_all(alice.pk, now=BEFORE) is not None
        else:
            do(alice, step, [first], now=BEFORE)
    if "read_all" not in WAYS[way]:
        do(alice, "read", [second], now=BEFORE)
    before, (seq, *_) = row(first), head(alice)
    expected = EXPECTED[way][action]
    changed = do(alice, action, [first])
    if expected is None:
        assert changed == []
        assert (row(first), head(alice)[0]) == (before, seq)
    else:
        after, (unread, unseen) = expected
        assert changed == [inbox.Changed(first, seq + 1, unread, unseen)]
        assert row(first) == after
        assert head(alice) == (seq + 1, unread, unseen)
        assert Notification.objects.get(pk=first).rev == seq + 1
    # Doing it again changes nothing, whatever it was.
    again = head(alice)
    assert do(alice, action, [first], now=AFTER + timedelta(minutes=1)) == []
    assert head(alice) == again


@pytest.mark.parametrize("ids", ["all", "named", "named and strange"])
def test_many_at_once_are_numbered_one_after_the_other(producer: User, alice: User, ids: str) -> None:
    mine = lines(producer, alice, 5)
    given = {"all": None, "named": mine[::-1], "named and strange": [*mine, mine[0], 0, -1, 10**17]}[ids]
    changed = do(alice, "read", given)
    assert changed == [inbox.Changed(id, 6 + n, 4 - n, 4 - n) for n, id in enumerate(mine)]
    assert head(alice) == (10, 0, 0)


def test_only_what_changes_takes_a_number(producer: User, alice: User) -> None:
    mine = lines(producer, alice, 4)
    do(alice, "read", [mine[0], mine[2]])
    assert [(c.id, c.rev) for c in do(alice, "read", mine)] == [(mine[1], 7), (mine[3], 8)]
    assert head(alice) == (8, 0, 0)


@pytest.mark.parametrize("action", inbox.ACTIONS)
def test_other_peoples_lines_cannot_be_touched(producer: User, alice: User, bob: User, action: str) -> None:
    lines(producer, alice, 1)
    (theirs,) = lines(producer, bob, 1)
    before = list(Notification.objects.filter(pk=theirs).values()), head(bob)
    do(alice, action, [theirs])
    do(alice, action, None)
    assert (list(Notification.objects.filter(pk=theirs).values()), head(bob)) == before


def test_somebody_without_an_inbox_changes_nothing(alice: User) -> None:
    assert do(alice, "read", None) == []
    assert inbox.read_all(alice.pk, now=NOW) is None
    assert (InboxHead.objects.count(), inbox.head(alice.pk).head_seq) == (0, 0)


class TestReadAll:
    def test_it_takes_one_number_and_touches_no_line(self, producer: User, alice: User, bob: User) -> None:
        mine = lines(producer, alice, 3)
        lines(producer, bob, 1)
        before = list(Notification.objects.order_by("pk").values())
        assert inbox.read_all(alice.pk, now=AFTER) == 4
        assert head(alice) == (4, 0, 0)
        assert list(Notification.objects.order_by("pk").values()) == before
        shown = [shapes.as_json(one) for one in inbox.visible(alice.pk)]
        assert [(one["read_at"], one["seen_at"]) for one in shown] == [(AFTER, AFTER)] * 3
        assert (inbox.read(inbox.visible(alice.pk), False).count(), len(mine)) == (0, 3)
        assert head(bob) == (1, 1, 1)

    def test_again_there_is_nothing_to_do(self, producer: User, alice: User) -> None:
        lines(producer, alice, 1)
        assert [inbox.read_all(alice.pk, now=AFTER) for _ in range(2)] == [2, None]
        assert head(alice) == (2, 0, 0)

    def test_what_was_read_but_not_seen_counts_as_something_to_do(self, producer: User, alice: User) -> None:
        mine = lines(producer, alice, 2)
        do(alice, "seen", mine)
        assert head(alice)[1:] == (2, 0)
        assert inbox.read_all(alice.pk, now=AFTER) == 5

    def test_what_comes_later_is_unread(self, producer: User, alice: User) -> None:
        lines(producer, alice, 1)
        inbox.read_all(alice.pk, now=BEFORE)
        _, new = lines(producer, alice, 1)
        assert head(alice) == (3, 1, 1)
        assert [one.pk for one in inbox.read(inbox.visible(alice.pk), False)] == [new]

    def test_a_line_keeps_the_time_of_its_own_read(self, producer: User, alice: User) -> None:
        first, second = lines(producer, alice, 2)
        do(alice, "read", [first], now=BEFORE)
        inbox.read_all(alice.pk, now=AFTER)
        third = lines(producer, alice, 1)[-1]
        inbox.read_all(alice.pk, now=AFTER + timedelta(hours=1))
        shown = {one.pk: shapes.as_json(one)["read_at"] for one in inbox.visible(alice.pk)}
        assert shown == {first: BEFORE, second: AFTER, third: AFTER + timedelta(hours=1)}
        do(alice, "archive", None)
        assert {one.pk: one.read_at for one in inbox.visible(alice.pk)} == shown


def test_what_was_missed_comes_as_it_is_now_and_in_order_of_change(producer: User, alice: User) -> None:
    first, second, third = lines(producer, alice, 3)
    do(alice, "read", [first])
    do(alice, "delete", [second])
    found = [shapes.as_json(one) for one in inbox.since(alice.pk, seq=2, limit=10)]
    assert [(one["id"], one["rev"]) for one in found] == [(str(third), 3), (str(first), 4), (str(second), 5)]
    assert found[1]["read_at"] == AFTER
    assert found[2] == {"id": str(second), "rev": 5, "deleted": True}
    assert [one.pk for one in inbox.since(alice.pk, seq=2, limit=1)] == [third]
    assert inbox.since(alice.pk, seq=5, limit=10) == []


def test_counts_by_category(producer: User, alice: User) -> None:
    mine = lines(producer, alice, 4)
    do(alice, "read", mine[:1])
    do(alice, "archive", mine[1:2])
    do(alice, "delete", mine[2:3])
    assert inbox.counts(alice.pk) == {"unread": 1, "unseen": 1, "by_category": {"tasks": 1}}
    inbox.read_all(alice.pk, now=AFTER)
    assert inbox.counts(alice.pk) == {"unread": 0, "unseen": 0, "by_category": {}}
