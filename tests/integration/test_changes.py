"""What the sockets are told of what a person does: exactly the right lines, after the commit."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from core.models import User
from notifications import changes, inbox
from notifications.changes import Applied
from notifications.models import Notification
from tests import factories
from tests.api import Caller
from tests.factories import NOW, accept, submission
from tests.live import Listener

pytestmark = pytest.mark.usefixtures("committed")

AFTER = NOW + timedelta(minutes=2)


@pytest.fixture
def heard(django_db_setup: None) -> Iterator[Listener]:
    with Listener() as listener:
        yield listener


def lines(producer: User, user: User, count: int) -> list[int]:
    accept(producer, *[submission(user.username) for _ in range(count)])
    factories.process()
    return list(Notification.objects.filter(user=user).order_by("id").values_list("pk", flat=True))


def apply(user: User, action: str, ids: list[int] | None, **more: Any) -> Applied:
    return changes.apply(user.pk, action=action, ids=ids, now=AFTER, **more)


@pytest.mark.parametrize("action", ["read", "seen", "archive"])
def test_each_changed_line_is_told_as_it_is_now(
    producer: User, alice: User, bob: User, heard: Listener, action: str
) -> None:
    mine, theirs = lines(producer, alice, 3), lines(producer, bob, 1)
    heard.messages()
    assert apply(alice, action, [*mine[:2], *theirs], origin="cmd") == Applied(changed=2, seq=5)
    (message,) = heard.messages()
    assert message.batch is not None
    assert message.batch.origin == "cmd"
    apply(alice, action, mine)  # the third; the two others were done before
    shown = {one["id"]: one for one in Caller(alice).get("/notifications")["results"]}
    unread, unseen = inbox.head(alice.pk).unread, inbox.head(alice.pk).unseen
    assert heard.lines() == [(alice.pk, 6, "updated", unread, unseen, shown[str(mine[2])])]


def test_the_counts_of_each_line_are_those_right_after_it(producer: User, alice: User, heard: Listener) -> None:
    mine = lines(producer, alice, 3)
    heard.messages()
    apply(alice, "read", mine)
    shown = {one["id"]: one for one in Caller(alice).get("/notifications")["results"]}
    assert heard.lines() == [(alice.pk, 4 + n, "updated", 2 - n, 2 - n, shown[str(id)]) for n, id in enumerate(mine)]


def test_a_deleted_line_is_told_as_a_tombstone(producer: User, alice: User, heard: Listener) -> None:
    (id,) = lines(producer, alice, 1)
    heard.messages()
    assert apply(alice, "delete", [id]) == Applied(changed=1, seq=2)
    assert heard.lines() == [(alice.pk, 2, "deleted", 0, 0, {"id": str(id), "rev": 2, "deleted": True})]


def test_read_all_is_one_line_without_a_notification(producer: User, alice: User, heard: Listener) -> None:
    lines(producer, alice, 3)
    heard.messages()
    assert apply(alice, "read", None, origin="cmd") == Applied(changed=3, seq=4)
    assert heard.lines() == [(alice.pk, 4, "read_all", 0, 0, None)]


@pytest.mark.parametrize(
    ("action", "ids"),
    [("read", None), ("read", [0]), ("seen", None), ("unarchive", None), ("delete", []), ("delete", [0])],
)
def test_nothing_changed_is_nothing_told(
    producer: User, alice: User, heard: Listener, action: str, ids: list[int] | None
) -> None:
    apply(alice, "read", lines(producer, alice, 1))
    heard.messages()
    assert apply(alice, action, ids) == Applied(changed=0, seq=None)
    assert heard.messages() == []


@pytest.mark.parametrize(("size", "told"), [(100, 100), (101, 1)])
def test_of_very_many_only_the_last_is_told_and_shows_the_gap(
    producer: User, alice: User, heard: Listener, size: int, told: int
) -> None:
    lines(producer, alice, size)
    heard.messages()
    assert apply(alice, "archive", None) == Applied(changed=size, seq=2 * size)
    said = heard.lines()
    assert [seq for _, seq, *_ in said] == list(range(2 * size - told + 1, 2 * size + 1))
    assert said[-1][3:5] == (0, 0)


def test_nothing_is_told_before_the_commit_nor_after_a_rollback(producer: User, alice: User, heard: Listener) -> None:
    mine = lines(producer, alice, 2)
    heard.messages()
    with transaction.atomic():
        apply(alice, "read", mine[:1])
        assert heard.messages() == []
    assert len(heard.lines()) == 1
    with transaction.atomic():
        apply(alice, "read", mine[1:])
        transaction.set_rollback(True)
    assert heard.messages() == []
    assert inbox.head(alice.pk).head_seq == 3
