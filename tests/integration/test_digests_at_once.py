"""Digests under concurrency: whoever adds, whoever closes, every item is in exactly one."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import transaction

from core.models import User
from delivery import dispatch, letters
from notifications import digests, ledger
from notifications.models import Delivery, Digest
from notifications.values import Outcome, Result
from notifications.words import DeliveryState, Lane
from tests import factories, mail
from tests.deciding import HOURLY, carried, carriers, choose, rows, tell
from tests.factories import NOW
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")

ROUNDS = 1000
SENT = ledger.Verdict(DeliveryState.SENT, outcome=Outcome(Result.SENT), started_at=NOW)


def gather(delivery_id: int, user: User) -> None:
    """As a worker does with what it has just planned. The window ends at once."""
    one = digests.Gathered(delivery_id, 0, user.pk, "email", user.email, "tasks", "", "digest", "test", NOW)
    assert digests.gather([one], now=NOW) == {delivery_id}


def close(closed: list[int]) -> None:
    """Claim the digests that are due, read what is in them and record them as sent."""
    held = ledger.claim(channel="email", lane=Lane.DIGEST, limit=10, now=NOW)
    entries = digests.items([one.digest_id for one in held if one.digest_id])
    assert ledger.record([(one, SENT) for one in held], now=NOW) == {one.id for one in held}
    closed.extend(entry.delivery_id for entry in entries)


def test_two_close_a_digest_while_items_are_added(producer: User) -> None:
    """In each round one window is open and due. Two workers claim it while two more items come."""
    people = factories.users(ROUNDS)
    names = [user.username for user in people]
    for title in "abc":
        tell(producer, *names, title=title)
    own: dict[int, list[int]] = {user.pk: [] for user in people}
    waiting = Delivery.objects.order_by("pk").values_list("notification__user_id", "pk")
    for user_id, delivery_id in waiting:
        own[user_id].append(delivery_id)
    Delivery.objects.update(due_at=NOW + timedelta(days=1))
    start = threading.Barrier(3)
    closed: list[list[int]] = [[], []]

    def add() -> None:
        for user in people:
            first, second, third = own[user.pk]
            gather(first, user)
            start.wait(timeout=60)
            gather(second, user)
            with transaction.atomic():  # as at the end of a chunk: the window is held until the commit
                gather(third, user)

    def closer(into: list[int]) -> Callable[[], None]:
        def run() -> None:
            for _ in people:
                start.wait(timeout=60)
                close(into)

        return run

    at_once(add, closer(closed[0]), closer(closed[1]))
    while ledger.due(now=NOW):
        close(closed[0])
    everything = {delivery_id for ids in own.values() for delivery_id in ids}
    assert Counter(closed[0] + closed[1]) == Counter(everything)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"digested", "sent"}
    assert not Digest.objects.filter(open=True).exists()
    # Each worker closed some, and some items came too late for the first window of their person.
    assert all(closed)
    assert ROUNDS < Digest.objects.count() <= 3 * ROUNDS


def test_whole_workers_at_once(
    producer: User, alice: User, server: mail.MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with everything round it: events are processed while two workers send what is due."""
    monkeypatch.setattr(letters, "LISTED", 1000)
    choose(alice, digests=HOURLY)
    titles = [f"t{n}" for n in range(40)]
    over = threading.Event()

    def tell_all() -> None:
        for title in titles:
            tell(producer, "alice", title=title)
        over.set()

    def send() -> None:
        while not over.is_set():
            dispatch.deliver(channel="email", lane=Lane.DIGEST, clock=lambda: NOW + timedelta(hours=1))

    at_once(tell_all, send, send)
    dispatch.deliver(channel="email", lane=Lane.DIGEST, clock=lambda: NOW + timedelta(hours=1))
    got = [title for sent in server.received for title in carried(sent) or [str(sent["Subject"])]]
    assert sorted(got) == sorted(titles)
    assert set(carriers()) == {("sent", "", None)}
    assert len(server.received) == len(carriers())


def test_two_that_gather_crosswise_do_not_wait_for_each_other(producer: User) -> None:
    """Windows are found in one order, whatever the order of the items."""
    people = factories.users(30)
    for _ in range(20):
        tell(producer, *[user.username for user in people])
    by_event: dict[UUID, list[digests.Gathered]] = {}
    waiting = Delivery.objects.order_by("pk").values_list("notification__event", "pk", "notification__user", "address")
    for event_id, delivery_id, user_id, address in waiting:
        one = digests.Gathered(delivery_id, 0, user_id, "email", address, "tasks", "", "digest", "test", NOW)
        by_event.setdefault(event_id, []).append(one)
    events = list(by_event.values())
    start = threading.Barrier(2)

    def gather_all(chunks: list[list[digests.Gathered]]) -> Callable[[], None]:
        def run() -> None:
            for chunk in chunks:
                start.wait(timeout=60)
                digests.gather(chunk, now=NOW)

        return run

    at_once(gather_all(events[:10]), gather_all([chunk[::-1] for chunk in events[10:]]))
    assert rows() == [("digested", "digest", None)] * 600
    assert Digest.objects.count() == len(carriers()) == 30
