"""Retracting while other things are under way: expansions, deliveries, people, open sockets."""

import random
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.test import override_settings

from core.models import User
from notifications import audit, changes, events, inbox, ledger, retraction
from notifications.models import Delivery, Event, InboxHead, Notification
from notifications.retraction import Retracted
from notifications.values import Outcome, Result
from notifications.words import DeliveryState, Lane
from tests import factories
from tests.factories import NOW, accept, submission
from tests.live import Listener
from tests.processes import Bellhop
from tests.retraction import AFTER, BEFORE, LATER, claim, head, retract, tell, withdraw
from tests.sockets import Client
from tests.threads import at_once
from tests.waiting import wait_until
from workers import pipeline

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def one_chunk(producer: User, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """A broadcast to four people; each call writes two lines of it and gives it back."""
    factories.users(3)
    accept(producer, submission(recipients={"all": True}, object="task:1"))
    monkeypatch.setattr(pipeline, "TIME_BOX", -1.0)
    return lambda: pipeline.process_events(lane=Lane.BULK, clock=lambda: NOW)


@override_settings(CHUNK=2)
def test_an_expansion_that_is_half_done_adds_no_more_lines(producer: User, one_chunk: Callable[[], int]) -> None:
    assert one_chunk() == 2
    (held,) = claim(NOW)
    assert retract(producer) == Retracted(1, 2)
    step = events.Step(event=held, cursor=held.cursor + 1, done=True, unknown_users=[])
    assert events.advance([step], now=AFTER) == set()
    assert retraction.work(held, now=AFTER) is True
    assert not Notification.objects.filter(deleted_at__isnull=False).exists()
    assert withdraw() == 2  # the second finds nothing, and ends it
    assert pipeline.process_events(lane=Lane.BULK, clock=lambda: LATER) == 0
    assert list(Event.objects.values_list("state", "due_at")) == [("retracted", None)]
    assert list(InboxHead.objects.values_list("head_seq", "unread", "unseen")) == [(2, 0, 0)] * 2
    assert list(Notification.objects.values_list("deleted_at", flat=True)) == [AFTER] * 2
    assert list(Delivery.objects.values_list("state", "reason")) == [("cancelled", "retracted")] * 2


@override_settings(CHUNK=2)
def test_a_chunk_about_to_be_committed_is_waited_for(producer: User, one_chunk: Callable[[], int]) -> None:
    found: list[Retracted] = []

    def run() -> None:
        found.append(retract(producer))
        connection.close()

    thread = threading.Thread(target=run)
    with transaction.atomic():
        assert one_chunk() == 2
        thread.start()
        wait_until(waiting_for_a_lock, what="the retraction waiting for the event")
    thread.join()
    assert found == [Retracted(1, 2)]
    withdraw()
    assert list(Notification.objects.values_list("deleted_at", flat=True)) == [AFTER] * 2


def test_what_is_in_a_providers_hands_goes_on(producer: User, alice: User, bob: User) -> None:
    tell(producer, "alice", "bob")
    flying, held = ledger.claim(channel="email", lane=Lane.NORMAL, limit=9, now=NOW)
    assert ledger.begin([flying]) == {flying.id}
    assert retract(producer) == Retracted(1, 1)
    assert ledger.begin([held]) == set()
    sent = ledger.Verdict(DeliveryState.SENT, outcome=Outcome(Result.SENT), started_at=NOW)
    assert ledger.record([(flying, sent), (held, sent)], now=AFTER) == {flying.id}
    rows = list(Delivery.objects.order_by("pk").values_list("pk", "state", "reason"))
    assert rows == [(flying.id, "sent", ""), (held.id, "cancelled", "retracted")]


@override_settings(CHUNK=2)
def test_people_act_and_new_lines_come_while_lines_are_withdrawn(producer: User) -> None:
    people = factories.users(5)
    names = [person.username for person in people]
    numbers: dict[int, list[int]] = {person.pk: [] for person in people}

    def act(chance: random.Random) -> None:
        for person in chance.choices(people, k=8):
            action = chance.choice([*inbox.ACTIONS, "read_all"])
            if action == "read_all":
                seq = inbox.read_all(person.pk, now=AFTER)
                numbers[person.pk] += [seq] if seq else []
            else:
                changed = inbox.change(person.pk, action=action, ids=None, now=AFTER)
                numbers[person.pk] += [one.rev for one in changed]

    def expand(chance: random.Random) -> None:
        mixed = [submission(*chance.sample(names, 5), object="task:2", priority="high") for _ in range(3)]
        accept(producer, *mixed, now=AFTER)
        pipeline.process_events(lane=Lane.URGENT, clock=lambda: AFTER)

    def work() -> None:
        for event in events.claim(lane=Lane.NORMAL, limit=2, now=AFTER):
            while not retraction.work(event, now=AFTER):
                pass

    with Listener() as heard:
        for seed in range(50):
            accept(producer, *[submission(*names, object="task:1") for _ in range(4)])
            factories.process()
            act(random.Random(seed))
            assert retract(producer).events == 4
            one, two, three = (random.Random(seed * 3 + n) for n in range(3))
            at_once(work, work, partial(act, one), partial(act, two), partial(expand, three))
            assert audit.find() == []
        told = heard.lines()
    assert Notification.objects.filter(event__object="task:1", deleted_at=None).count() == 0
    assert Event.objects.filter(object="task:1").exclude(state="retracted").count() == 0
    for user_id, seq, *_ in told:
        numbers[user_id].append(seq)
    # Each number was given once, and none is missing.
    assert {id: sorted(given) for id, given in numbers.items()} == {
        person.pk: list(range(1, head(person)[0] + 1)) for person in people
    }


@override_settings(CHUNK=2)
def test_expanding_sending_and_retracting_at_once_leaves_no_line(producer: User) -> None:
    names = [person.username for person in factories.users(5)]
    begun: set[int] = set()

    def expand() -> None:
        pipeline.process_events(lane=Lane.NORMAL, clock=lambda: AFTER)

    def lines(count: int) -> bool:
        return Notification.objects.filter(deleted_at=None).count() >= count

    def send() -> None:
        wait_until(partial(lines, 1), what="the first line")
        for _ in range(4):
            begun.update(ledger.begin(ledger.claim(channel="email", lane=Lane.NORMAL, limit=2, now=AFTER)))

    def retract_after(count: int) -> None:
        wait_until(partial(lines, count), what=f"{count} lines")
        assert retract(producer).events == 6

    for count in range(1, 31, 2):
        accept(producer, *[submission(*names, object="task:1") for _ in range(6)])
        at_once(expand, expand, send, partial(retract_after, count))
        factories.process(now=AFTER)
        assert audit.find() == []
    assert set(Event.objects.values_list("state", "due_at")) == {("retracted", None)}
    assert not Notification.objects.filter(deleted_at=None).exists()
    assert {one.pk for one in Delivery.objects.filter(in_flight=True, state="pending")} == begun
    ended = Delivery.objects.exclude(pk__in=begun).values_list("state", "reason").distinct()
    assert set(ended) <= {("cancelled", "retracted")}


async def test_both_devices_see_the_lines_go_in_order(producer: User, alice: User, tmp_path: Path) -> None:
    connection.close()  # async tests share one of their own, and a chaos test may have ended it
    bellhop = Bellhop(tmp_path)
    try:
        bellhop.start("ws")
        token = bellhop.token("alice")
        async with Client(bellhop, token) as phone, Client(bellhop, token) as desk:
            for about in ("task:1", "task:2", "task:1"):
                tell(producer, "alice", object=about)
            first, last = (
                Notification.objects.filter(event__object="task:1").order_by("event").values_list("pk", flat=True)
            )
            changes.apply(alice.pk, action="seen", ids=[first], now=BEFORE)
            assert retract(producer).events == 2
            assert withdraw() == 2
            for device in (phone, desk):
                await device.until(lambda device=device: device.seq == 6)
                assert device.live == [1, 2, 3, 4, 5, 6]
                assert [(item["object"], item["rev"]) for item in device.items.values()] == [("task:2", 2)]
                told = [one for frame in device.frames for one in frame.get("events", [frame])]
                gone = [
                    (one["seq"], one["counts"], one["notification"]) for one in told if one.get("change") == "deleted"
                ]
                assert gone == [
                    (5, {"unread": 2, "unseen": 2}, {"id": str(first), "rev": 5, "deleted": True}),
                    (6, {"unread": 1, "unseen": 1}, {"id": str(last), "rev": 6, "deleted": True}),
                ]
    finally:
        bellhop.stop()


def waiting_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])
