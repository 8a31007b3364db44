"""Any sequence of what can happen to two inboxes: the counts stay exact and the numbers dense."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from notifications import inbox
from notifications.models import InboxHead, Notification
from tests import factories
from tests.conftest import empty

# By SQL and from nothing but the rows and the watermark: not one line of the code that keeps the heads.
RECOUNT = """
SELECT count(*) FILTER (WHERE n.read_at IS NULL), count(*) FILTER (WHERE n.seen_at IS NULL)
FROM notifications_notification n JOIN notifications_inboxhead h USING (user_id)
WHERE n.user_id = %s AND n.rev > h.read_watermark AND n.archived_at IS NULL AND n.deleted_at IS NULL
"""
WHO = st.sampled_from(["alice", "bob"])


class Inboxes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        empty()
        self.producer = factories.user("producer")
        self.people = {name: factories.user(name) for name in ("alice", "bob")}
        self.now = factories.NOW
        # Every number that was ever given out, for each person.
        self.numbers: dict[str, list[int]] = {name: [] for name in self.people}

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    @rule(to=st.lists(WHO, min_size=1, max_size=2, unique=True), count=st.integers(1, 3), visible=st.booleans())
    def add(self, to: list[str], count: int, visible: bool) -> None:
        now = self.tick()
        fields: dict[str, Any] = {} if visible else {"channels": ["email"]}
        factories.accept(self.producer, *[factories.submission(*to, **fields) for _ in range(count)], now=now)
        assert factories.process(now=now) == count * len(to)
        if visible:
            for name in to:
                self.numbers[name] += range(len(self.numbers[name]) + 1, len(self.numbers[name]) + count + 1)

    @precondition(lambda self: any(self.numbers.values()))
    @rule(name=WHO, action=st.sampled_from(sorted(inbox.ACTIONS)), data=st.data())
    def change(self, name: str, action: str, data: st.DataObject) -> None:
        # Anybody's lines, deleted ones and such that are not in the inbox among them.
        every = list(Notification.objects.order_by("pk").values_list("pk", flat=True))
        ids = data.draw(st.none() | st.lists(st.sampled_from(every), max_size=4))
        changed = inbox.change(self.people[name].pk, action=action, ids=ids, now=self.tick())
        self.numbers[name] += [one.rev for one in changed]
        if changed:
            head = inbox.head(self.people[name].pk)
            assert (changed[-1].unread, changed[-1].unseen) == (head.unread, head.unseen)
        assert inbox.change(self.people[name].pk, action=action, ids=ids, now=self.now) == []

    @rule(name=WHO)
    def read_all(self, name: str) -> None:
        seq = inbox.read_all(self.people[name].pk, now=self.tick())
        if seq is not None:
            self.numbers[name].append(seq)
        assert inbox.read(inbox.visible(self.people[name].pk), False).filter(archived_at=None).count() == 0

    @invariant()
    def counts_are_those_of_a_recount(self) -> None:
        for user in self.people.values():
            with connection.cursor() as cursor:
                cursor.execute(RECOUNT, [user.pk])
                counted = cursor.fetchone()
            head = inbox.head(user.pk)
            assert (head.unread, head.unseen) == counted
            by_category = inbox.counts(user.pk)["by_category"]
            assert sum(by_category.values()) == head.unread

    @invariant()
    def numbers_are_dense_and_each_given_once(self) -> None:
        for name, numbers in self.numbers.items():
            head = InboxHead.objects.filter(user=self.people[name]).first()
            assert numbers == list(range(1, (head.head_seq if head else 0) + 1))
            kept = list(Notification.objects.filter(user=self.people[name], rev__isnull=False).values_list("rev"))
            assert len(kept) == len(set(kept))


@pytest.mark.usefixtures("committed")
def test_any_sequence_keeps_counts_and_numbers_right() -> None:
    run_state_machine_as_test(
        Inboxes,
        settings=settings(
            max_examples=20,
            stateful_step_count=15,
            deadline=None,
            derandomize=True,
            # Making a failure smaller takes minutes with a real database; fifteen steps can be read.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
