"""Deliveries: one holder at a time, and only the holder of the newest token writes."""

from datetime import timedelta

import pytest
from django.conf import settings

from core.models import User
from notifications import inbox, ledger
from notifications.choices import Raw
from notifications.ledger import Claimed, Item, Verdict
from notifications.models import Attempt, Delivery, Event, Type
from notifications.values import Outcome, Result
from notifications.words import DeliveryState, Lane, Reason
from tests import factories
from tests.factories import NOW, accept, submission
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")

SENT = Verdict(DeliveryState.SENT, outcome=Outcome(Result.SENT, code="250", provider_id="42"), started_at=NOW)
LATER = NOW + settings.LEASE


def deliveries(producer: User, count: int = 1) -> None:
    factories.users(count)
    accept(producer, submission(*[f"user{n}" for n in range(count)], title="Title"))
    factories.process()


def claim(*, now: object = NOW, limit: int = 50) -> list[Claimed]:
    return ledger.claim(channel="email", lane=Lane.NORMAL, limit=limit, now=now)  # type: ignore[arg-type]


def test_a_claim_counts_leases_and_tells_what_the_message_needs(producer: User) -> None:
    deliveries(producer)
    event, before, person = Event.objects.get(), Delivery.objects.get(), User.objects.get(username="user0")
    assert claim() == [
        Claimed(
            id=before.pk,
            token=1,
            attempts=1,
            lost=False,
            channel="email",
            address="user0@example.com",
            digest_id=None,
            digest_category=None,
            user_id=person.pk,
            username="user0",
            first_name="",
            last_name="",
            stamp=0,
            suppressed=False,
            raw=Raw(timezone="UTC", digests="{}"),
            item=Item(
                notification_id=before.notification_id or 0,
                event_id=event.id,
                trace_id="trace-of-the-test",
                type="task.assigned",
                category="tasks",
                priority="normal",
                title="Title",
                body="",
                data="{}",
                template_data="{}",
                action_url="",
                actor="",
                object="",
                tags=[],
                created_at=NOW,
                expires_at=None,
                cancelled=False,
                retracted=False,
                read=False,
                only_unread=False,
                digest_key="",
                topic=None,
                type_channels=["in_app", "email"],
                channels=None,
                required=[],
                not_allowed=[],
                resend_unknown=True,
            ),
        )
    ]
    held = Delivery.objects.get()
    assert (held.state, held.token, held.attempts, held.in_flight, held.due_at) == ("pending", 1, 1, False, LATER)
    assert claim() == []
    assert claim(now=LATER - timedelta(microseconds=1)) == []


def test_what_is_recorded_and_the_attempt_with_it(producer: User) -> None:
    deliveries(producer)
    (held,) = claim()
    ended = NOW + timedelta(seconds=3)
    assert ledger.record([(held, SENT)], now=ended) == {held.id}
    row = Delivery.objects.get()
    assert (row.state, row.reason, row.due_at, row.in_flight, row.attempts) == ("sent", "", None, False, 1)
    assert (row.code, row.provider_id, row.ended_at, row.lost_claims) == ("250", "42", ended, 0)
    assert list(Attempt.objects.values_list("delivery", "token", "result", "code", "started_at", "ended_at")) == [
        (held.id, 1, "sent", "250", NOW, ended)
    ]


def test_a_verdict_without_a_call_writes_no_attempt_and_gives_the_count_back(producer: User) -> None:
    deliveries(producer)
    (held,) = claim()
    waits = Verdict(DeliveryState.PENDING, Reason.RETRYING, due_at=NOW + timedelta(seconds=9), uncounted=True)
    assert ledger.record([(held, waits)], now=NOW) == {held.id}
    row = Delivery.objects.get()
    assert (row.state, row.reason, row.due_at) == ("pending", "retrying", NOW + timedelta(seconds=9))
    assert (row.attempts, row.token, row.in_flight, row.ended_at) == (0, 1, False, None)
    assert Attempt.objects.count() == 0


def test_a_stale_token_writes_nothing(producer: User) -> None:
    deliveries(producer)
    (slow,) = claim()
    assert ledger.begin([slow]) == {slow.id}
    (quick,) = claim(now=LATER)
    assert (quick.token, quick.attempts, quick.lost) == (2, 2, True)
    before = Delivery.objects.values().get()
    assert ledger.record([(slow, SENT)], now=LATER) == set()
    assert (Delivery.objects.values().get(), Attempt.objects.count()) == (before, 0)
    assert ledger.record([(quick, SENT)], now=LATER) == {quick.id}
    assert Delivery.objects.get().lost_claims == 1


def test_what_has_ended_is_not_written_again(producer: User) -> None:
    deliveries(producer)
    (held,) = claim()
    assert ledger.record([(held, SENT)], now=NOW) == {held.id}
    assert ledger.record([(held, Verdict(DeliveryState.FAILED))], now=NOW) == set()
    assert (Delivery.objects.get().state, Attempt.objects.count()) == ("sent", 1)


def test_of_several_only_the_lost_one_is_left_out(producer: User) -> None:
    deliveries(producer, 3)
    first, second, third = claim()
    Delivery.objects.filter(pk=second.id).update(token=9)
    assert ledger.record([(one, SENT) for one in (first, second, third)], now=NOW) == {first.id, third.id}
    assert sorted(Attempt.objects.values_list("delivery", flat=True)) == [first.id, third.id]


def test_every_claim_that_ended_without_a_record_is_counted(producer: User) -> None:
    deliveries(producer)
    for n in range(4):
        (held,) = claim(now=NOW + n * settings.LEASE)
        assert (held.lost, held.attempts) == (n > 0, n + 1)
        assert ledger.begin([held]) == {held.id}
    assert Delivery.objects.get().lost_claims == 3


def test_a_claim_that_ended_before_its_call_began_is_no_loss(producer: User) -> None:
    deliveries(producer)
    claim()
    (again,) = claim(now=LATER)
    assert (again.lost, Delivery.objects.get().lost_claims) == (False, 0)


def test_only_the_holder_may_begin(producer: User) -> None:
    deliveries(producer, 3)
    slow = claim()
    quick = claim(now=LATER, limit=1)
    taken = {held.id for held in quick}
    assert ledger.begin(slow) == {held.id for held in slow} - taken
    assert Delivery.objects.filter(in_flight=True).count() == 2
    assert ledger.begin(quick) == taken
    ledger.record([(quick[0], SENT)], now=LATER)
    assert ledger.begin(quick) == set()
    assert ledger.begin([]) == set()


def test_nothing_to_record_asks_nothing() -> None:
    assert ledger.record([], now=NOW) == set()
    ledger.add([], now=NOW)


def test_what_is_too_long_for_its_column_is_cut(producer: User) -> None:
    deliveries(producer)
    (held,) = claim()
    long = Outcome(Result.FAILED, code="c" * 999, detail="\0no " * 333, provider_id="p" * 999)
    ledger.record([(held, Verdict(DeliveryState.FAILED, outcome=long))], now=NOW)
    row, attempt = Delivery.objects.get(), Attempt.objects.get()
    assert (len(row.code), len(row.provider_id), len(attempt.detail)) == (100, 255, 500)


def test_claimers_at_once_share_nothing_and_leave_nothing(producer: User) -> None:
    deliveries(producer, 200)

    def work() -> list[Claimed]:
        return [held for _ in range(8) for held in claim(limit=10)]

    ids = [held.id for claimed in at_once(*[work] * 4) for held in claimed]
    assert len(ids) == len(set(ids)) == 200
    assert Delivery.objects.filter(token=1, attempts=1, due_at=LATER).count() == 200


def test_the_oldest_of_its_lane_and_channel_come_first(producer: User) -> None:
    deliveries(producer, 3)
    first, second, third = Delivery.objects.order_by("pk")
    Delivery.objects.filter(pk=third.pk).update(due_at=NOW - timedelta(seconds=1))
    Delivery.objects.filter(pk=first.pk).update(lane="urgent")
    Delivery.objects.filter(pk=second.pk).update(due_at=NOW - timedelta(seconds=2))
    assert [held.id for held in claim(limit=1)] == [second.pk]
    assert [held.id for held in claim()] == [third.pk]
    assert ledger.claim(channel="push", lane=Lane.URGENT, limit=9, now=NOW) == []
    assert [d.lane for d in ledger.due(now=NOW)] == [Lane.URGENT]
    assert [h.id for h in ledger.claim(channel="email", lane=Lane.URGENT, limit=9, now=NOW)] == [first.pk]


def test_what_is_due_by_channel_and_lane(producer: User) -> None:
    deliveries(producer, 3)
    Delivery.objects.filter(address="user0@example.com").update(due_at=NOW - timedelta(seconds=5))
    Delivery.objects.filter(address="user1@example.com").update(due_at=NOW + timedelta(seconds=5))
    assert ledger.due(now=NOW) == [ledger.Due("email", Lane.NORMAL)]
    assert ledger.due(now=NOW - timedelta(seconds=6)) == []


def test_what_is_due_on_a_channel_that_is_gone_comes_to_an_end(producer: User) -> None:
    deliveries(producer, 3)
    first, second, _ = Delivery.objects.order_by("pk")
    Delivery.objects.filter(pk__in=[first.pk, second.pk]).update(channel="pigeon")
    Delivery.objects.filter(pk=second.pk).update(due_at=LATER)
    assert [ledger.end_switched_off(channels=["email"], now=NOW) for _ in range(2)] == [1, 0]
    rows = list(Delivery.objects.order_by("pk").values_list("state", "reason", "due_at", "ended_at"))
    assert rows == [
        ("suppressed", "not_installed", None, NOW),
        ("pending", "", LATER, None),
        ("pending", "", NOW, None),
    ]


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("way", ["read", "read_all", "delete", "seen", "archive"])
def test_a_claim_knows_whether_it_was_only_wanted_while_unread(producer: User, way: str, waits: bool) -> None:
    factories.user("alice")
    accept(producer, submission("alice", email_if_unread_after=60 if waits else None))
    factories.process()
    user_id = User.objects.get(username="alice").pk
    if way == "read_all":
        inbox.read_all(user_id, now=NOW)
    else:
        inbox.change(user_id, action=way, ids=None, now=NOW)
    (held,) = claim(now=NOW + timedelta(seconds=60))
    assert held.item
    assert held.item.only_unread == waits
    assert held.item.read == (way in ("read", "read_all", "delete"))


def test_a_claim_knows_the_type_and_the_events_end(producer: User) -> None:
    deliveries(producer)
    Event.objects.update(state="cancelled")
    try:
        Type.objects.filter(key="task.assigned").update(resend_unknown=False)
        assert [(held.item and held.item.cancelled, held.resend_unknown) for held in claim()] == [(True, False)]
    finally:
        Type.objects.update(resend_unknown=True)


def test_adding_again_changes_nothing(producer: User) -> None:
    deliveries(producer)
    before = Delivery.objects.values().get()
    again = ledger.Planned(before["notification_id"], "email", "user0@example.com", "urgent", "", "type", LATER)
    ledger.add([again], now=LATER)
    assert Delivery.objects.values().get() == before
