"""Withdrawing everything about an object: what goes, what stays, and what people's counts and sockets say."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from core import redis
from core.models import User
from notifications import audit, inbox, retraction, shapes
from notifications.models import Delivery, Event, InboxHead, Notification
from notifications.retraction import Retracted
from notifications.words import EventState
from tests import factories
from tests.factories import accept, submission
from tests.live import Listener
from tests.retraction import AFTER, BEFORE, LATER, claim, head, retract, states, tell, withdraw
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")


class TestWhatIsFound:
    def test_all_of_the_object_and_nothing_else(self, producer: User, alice: User, bob: User) -> None:
        other = factories.user("other", is_producer=True)
        first, second = tell(producer, "alice", "bob"), tell(producer, "alice", "nobody")
        scheduled = tell(producer, "alice", send_at=LATER.isoformat())
        stays = [tell(producer, "alice", object="task:2"), tell(producer, "alice", object=""), tell(other, "alice")]
        assert retract(producer) == Retracted(events=3, deliveries=3)
        assert states(first, second, scheduled, *stays) == ["retracting"] * 2 + ["retracted"] + ["processed"] * 3
        rows = Event.objects.filter(retracted_at=AFTER).values_list("pk", "due_at", "attempts", "cursor")
        assert set(rows) == {(first.pk, AFTER, 0, 0), (second.pk, AFTER, 0, 0), (scheduled.pk, None, 0, 0)}
        assert withdraw() == 2
        assert states(first, second, scheduled, *stays) == ["retracted"] * 3 + ["processed"] * 3
        assert [line.event_id for line in inbox.visible(alice.pk).order_by("pk")] == [event.pk for event in stays]
        assert list(inbox.visible(bob.pk)) == []
        assert (head(alice), head(bob)) == ((7, 3, 3), (2, 0, 0))
        ended = Delivery.objects.exclude(state="pending").values_list("state", "reason", "due_at", "ended_at")
        assert list(ended) == [("cancelled", "retracted", None, AFTER)] * 3
        assert Delivery.objects.filter(state="pending", notification__event__in=stays).count() == 3

    def test_of_one_type(self, producer: User, alice: User) -> None:
        assigned, updated = tell(producer, "alice"), tell(producer, "alice", type="task.updated")
        assert retract(producer, type="task.unheard") == Retracted(0, 0)
        assert retract(producer, type="task.updated") == Retracted(1, 1)
        assert states(assigned, updated) == ["processed", "retracting"]

    def test_of_every_producer(self, producer: User, alice: User) -> None:
        other = factories.user("other", is_producer=True)
        told = [tell(producer, "alice"), tell(other, "alice")]
        assert retract(None) == Retracted(2, 2)
        assert states(*told) == ["retracting"] * 2

    def test_a_second_time_there_is_nothing(self, producer: User, alice: User) -> None:
        tell(producer, "alice")
        assert [retract(producer), retract(producer)] == [Retracted(1, 1), Retracted(0, 0)]
        withdraw()
        before = (list(Event.objects.values()), list(Notification.objects.values()), head(alice))
        assert retract(producer) == Retracted(0, 0)
        assert withdraw() == 0
        assert (list(Event.objects.values()), list(Notification.objects.values()), head(alice)) == before
        tell(producer, "alice")  # what is told later is not withdrawn
        assert head(alice) == (3, 1, 1)

    def test_the_workers_are_told_if_there_are_lines(self, producer: User, alice: User) -> None:
        tell(producer, "alice", send_at=LATER.isoformat(), priority="high")
        tell(producer, "alice")
        redis.attempt(lambda r: r.flushdb())
        retract(producer)
        assert redis.attempt(lambda r: r.keys("bellhop:hint:*")) == [b"bellhop:hint:workers.process_events:normal"]

    def test_at_once_each_event_is_found_by_one(self, producer: User, alice: User) -> None:
        accept(producer, *[submission("alice", object="task:1") for _ in range(20)])
        factories.process()
        found: list[Retracted] = []
        at_once(*[lambda: found.append(retract(producer))] * 4)
        assert sorted(found) == [(0, 0)] * 3 + [(20, 20)]

    @pytest.mark.parametrize("state", [EventState.CANCELLED, EventState.FAILED])
    def test_what_ended_early_is_withdrawn_if_it_left_lines(self, producer: User, alice: User, state: str) -> None:
        left, never = tell(producer, "alice"), tell(producer, "nobody")
        Event.objects.update(state=state)
        assert retract(producer) == Retracted(1, 1)
        assert states(left, never) == ["retracting", state]
        withdraw()
        assert (states(left, never), head(alice)) == (["retracted", state], (2, 0, 0))


class TestLines:
    # What was done to the line before, and what stays of it: was it seen, was it read.
    WAYS: dict[str, tuple[tuple[str, ...], bool, bool]] = {
        "new": ((), False, False),
        "seen": (("seen",), True, False),
        "read": (("read",), True, True),
        "unread again": (("read", "unread"), True, False),
        "archived new": (("archive",), False, False),
        "archived read": (("read", "archive"), True, True),
        "archived and back": (("archive", "unarchive"), False, False),
        "read by all": (("read_all",), True, True),
        "archived, then read by all": (("archive", "read_all"), True, True),
        "read by all, then unread": (("read_all", "unread"), True, False),
    }

    @pytest.mark.parametrize("way", WAYS)
    def test_counts_are_exact_whatever_was_done_before(self, producer: User, alice: User, way: str) -> None:
        steps, seen, read = self.WAYS[way]
        tell(producer, "alice")
        tell(producer, "alice", object="task:2")
        gone, stays = Notification.objects.order_by("pk")
        for step in steps:
            if step == "read_all":
                inbox.read_all(alice.pk, now=BEFORE)
            else:
                inbox.change(alice.pk, action=step, ids=[gone.pk], now=BEFORE)
        archived = Notification.objects.get(pk=gone.pk).archived_at
        (seq, *_), left = head(alice), int("read_all" not in steps)
        with Listener() as heard:
            retract(producer)
            withdraw()
            tombstone = {"id": str(gone.pk), "rev": seq + 1, "deleted": True}
            assert heard.lines() == [(alice.pk, seq + 1, "deleted", left, left, tombstone)]
        assert head(alice) == (seq + 1, left, left)
        assert audit.find() == []
        row = Notification.objects.get(pk=gone.pk)
        assert (row.rev, row.deleted_at, row.archived_at) == (seq + 1, AFTER, archived)
        assert (row.seen_at, row.read_at) == (BEFORE if seen else None, BEFORE if read else None)
        assert [shapes.as_json(one) for one in inbox.since(alice.pk, seq=seq, limit=9)] == [tombstone]
        assert [one.pk for one in inbox.visible(alice.pk)] == [stays.pk]

    def test_what_the_person_deleted_stays_as_it_is(self, producer: User, alice: User) -> None:
        event = tell(producer, "alice")
        inbox.change(alice.pk, action="delete", ids=None, now=BEFORE)
        before = list(Notification.objects.values())
        with Listener() as heard:
            retract(producer)
            assert withdraw() == 1
            assert heard.messages() == []
        assert (list(Notification.objects.values()), head(alice), states(event)) == (before, (2, 0, 0), ["retracted"])

    def test_what_is_not_in_the_inbox_takes_no_number(self, producer: User, alice: User, bob: User) -> None:
        stays = tell(producer, "alice", object="task:2")
        tell(producer, "alice", "bob", channels=["email"])
        with Listener() as heard:
            assert retract(producer) == Retracted(1, 2)
            withdraw()
            assert heard.messages() == []
        gone = Notification.objects.exclude(event=stays)
        assert list(gone.values_list("rev", "deleted_at")) == [(None, AFTER)] * 2
        assert (head(alice), InboxHead.objects.filter(user=bob).exists()) == ((1, 1, 1), False)

    @override_settings(CHUNK=2)
    def test_a_chunk_at_a_time_each_in_one_message(self, producer: User) -> None:
        people = factories.users(5)
        event = tell(producer, *[person.username for person in people])
        retract(producer)
        (held,) = claim()
        with Listener() as heard:
            assert [retraction.work(held, now=AFTER) for _ in range(3)] == [False, False, True]
            told = [[line.user_id for line in message.batch.lines] for message in heard.messages() if message.batch]
        assert told == [[people[0].pk, people[1].pk], [people[2].pk, people[3].pk], [people[4].pk]]
        assert states(event) == ["retracted"]


class TestWorkers:
    @override_settings(CHUNK=2)
    def test_a_dead_worker_is_replaced_and_can_write_no_more(self, producer: User) -> None:
        people = factories.users(5)
        event = tell(producer, *[person.username for person in people])
        retract(producer)
        (dead,) = claim()
        assert retraction.work(dead, now=AFTER) is False
        row = Event.objects.get()
        assert (row.state, row.due_at, row.attempts) == ("retracting", LATER, 1)
        assert claim(LATER - timedelta(seconds=1)) == []
        (held,) = claim(LATER)
        assert (held.id, held.token, held.attempts) == (event.pk, dead.token + 1, 2)
        before = list(Notification.objects.order_by("pk").values())
        assert retraction.work(dead, now=LATER) is True
        assert list(Notification.objects.order_by("pk").values()) == before
        assert [retraction.work(held, now=LATER) for _ in range(3)] == [False, True, True]
        assert (states(event), Event.objects.get().due_at) == (["retracted"], None)
        assert [head(person) for person in people] == [(2, 0, 0)] * 5

    def test_both_believing_they_hold_it_withdraw_each_line_once(self, producer: User) -> None:
        people = factories.users(6)
        tell(producer, *[person.username for person in people])
        retract(producer)
        (held,) = claim()
        with override_settings(CHUNK=2), Listener() as heard:
            at_once(*[lambda: [retraction.work(held, now=AFTER) for _ in range(4)]] * 2)
            told = sorted(heard.lines())
        assert [(user, seq, unread) for user, seq, _, unread, *_ in told] == [(p.pk, 2, 0) for p in people]
        assert [head(person) for person in people] == [(2, 0, 0)] * 6

    def test_a_chunk_that_is_rolled_back_is_neither_written_nor_told(self, producer: User, alice: User) -> None:
        tell(producer, "alice")
        retract(producer)
        (held,) = claim()
        before = (list(Event.objects.values()), list(Notification.objects.values()), head(alice))
        with Listener() as heard:
            with transaction.atomic():
                assert retraction.work(held, now=AFTER) is True
                transaction.set_rollback(True)
            assert heard.messages() == []
        assert (list(Event.objects.values()), list(Notification.objects.values()), head(alice)) == before
        assert retraction.work(held, now=AFTER) is True
        assert head(alice) == (2, 0, 0)

    @pytest.mark.parametrize("size", [1, 500])
    def test_a_chunk_costs_two_statements(self, producer: User, size: int) -> None:
        tell(producer, *[person.username for person in factories.users(size)])
        retract(producer)
        (held,) = claim()
        assert len(statements(lambda: retraction.work(held, now=AFTER))) == 2
        assert Notification.objects.filter(deleted_at=AFTER).count() == size

    @pytest.mark.parametrize("size", [1, 100])
    def test_retracting_costs_three_statements(self, producer: User, alice: User, size: int) -> None:
        accept(producer, *[submission("alice", object="task:1") for _ in range(size)])
        factories.process()
        assert len(statements(lambda: retract(producer))) == 3
        assert Event.objects.filter(state="retracting").count() == size


def statements(work: Callable[[], Any]) -> list[str]:
    """What `work` asked the database, without the frames of transactions."""
    with CaptureQueriesContext(connection) as captured:
        work()
    frames = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
    return [query["sql"] for query in captured.captured_queries if not query["sql"].startswith(frames)]
