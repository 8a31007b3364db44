"""Budgets: above so many mails an hour the rest comes as one, and nothing is lost."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.test import override_settings

from core.models import User
from delivery import dispatch
from notifications import ledger, spending
from notifications.models import Delivery, Event, Spending
from notifications.words import Lane
from tests import factories, mail
from tests.deciding import NIGHT, carried, carriers, choose, deliver, explain, rows, tell, tell_many
from tests.factories import NOW, accept, submission
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("committed", "three_an_hour")

ONE = datetime(2026, 3, 2, 13, 0, tzinfo=UTC)
SENT, ABOVE = ("sent", "", None), ("digested", "budget", None)


@pytest.fixture
def three_an_hour() -> Iterator[None]:
    channels = {"email": settings.DELIVERY_CHANNELS["email"] | {"PER_HOUR": 3}}
    with override_settings(DELIVERY_CHANNELS=channels):
        yield


def used() -> list[int]:
    return list(Spending.objects.order_by("user").values_list("used", flat=True))


def test_three_go_and_the_rest_is_one_digest(producer: User, alice: User, bob: User, server: mail.MailServer) -> None:
    tell_many(producer, "alice", "a", "b", "c", "d", "e")
    tell(producer, "bob", title="f")
    assert deliver() == 6
    assert sorted(server.subjects) == ["a", "b", "c", "f"]
    assert rows() == [SENT, SENT, SENT, ABOVE, ABOVE, SENT]
    assert carriers() == [("pending", "digest", ONE)]
    above = Delivery.objects.filter(state="digested")
    assert set(above.values_list("rule", "ended_at", "attempts")) == {("budget:3", NOW, 0)}
    event = Event.objects.get(title="e")
    assert explain(event)["answer"].endswith(
        "email digested (budget); email digest pending (digest), next at 2026-03-02T13:00:00Z."
    )
    # One more in this hour goes the same way, and into the same digest.
    tell(producer, "alice", title="g", now=NOW + timedelta(minutes=50))
    assert deliver(now=NOW + timedelta(minutes=50)) == 1
    # A digest needs no budget.
    Spending.objects.update(used=3, hour=ONE)
    assert deliver(now=ONE) == 1
    assert carried(server.received[-1]) == ["d", "e", "g"]
    assert (len(server.received), carriers()) == (5, [SENT])


def test_the_next_hour_begins_anew(producer: User, alice: User, server: mail.MailServer) -> None:
    tell_many(producer, "alice", "a", "b", "c", "d")
    deliver()
    deliver(now=ONE)
    tell_many(producer, "alice", "e", "f", "g", "h", now=ONE)
    deliver(now=ONE)
    assert server.subjects == ["a", "b", "c", "d", "e", "f", "g"]
    assert rows() == [SENT, SENT, SENT, ABOVE] * 2
    assert carriers() == [SENT, ("pending", "digest", ONE + timedelta(hours=1))]


def test_what_is_critical_always_goes_and_costs_nothing(producer: User, alice: User, server: mail.MailServer) -> None:
    tell_many(producer, "alice", *"abcde", priority="critical")
    tell_many(producer, "alice", *"fgh")
    deliver()
    assert rows() == [SENT] * 8
    assert (len(server.received), used(), carriers()) == (8, [3], [])


def test_a_server_that_is_away_uses_nothing_up(producer: User, alice: User, server: mail.MailServer) -> None:
    server.stop()
    tell_many(producer, "alice", *"abcde")
    deliver()
    assert [(state, reason) for state, reason, _ in rows()] == [
        ("pending", "retrying"),
        ("pending", "provider_away"),
        ("pending", "provider_away"),
        ("digested", "budget"),
        ("digested", "budget"),
    ]
    assert used() == [0]
    server.start()
    deliver(now=NOW + timedelta(minutes=5))
    assert (sorted(server.subjects), used()) == (["a", "b", "c"], [3])
    deliver(now=ONE)
    assert carried(server.received[-1]) == ["d", "e"]
    assert [state for state, *_ in rows()] == ["sent"] * 3 + ["digested"] * 2


def test_what_is_refused_or_cannot_be_written_uses_nothing_up(producer: User, server: mail.MailServer) -> None:
    factories.user("gone")
    tell_many(producer, "gone", "a", "b")
    Event.objects.filter(title="b").update(action_url="http://[")
    deliver()
    assert [state for state, *_ in rows()] == ["failed", "failed"]
    assert used() == [0]


def test_the_digest_of_a_budget_does_not_go_at_night(producer: User, alice: User, server: mail.MailServer) -> None:
    choose(alice, quiet_hours=[NIGHT | {"start": "12:30"}], timezone="Europe/London")
    tell_many(producer, "alice", *"abcd")
    deliver()
    assert carriers() == [("pending", "digest", datetime(2026, 3, 3, 7, 0, tzinfo=UTC))]


def test_what_may_have_been_sent_does_not_come_again_in_a_digest(
    producer: User, alice: User, server: mail.MailServer
) -> None:
    tell_many(producer, "alice", "a")
    (held,) = ledger.claim(channel="email", lane=Lane.NORMAL, limit=1, now=NOW)
    assert ledger.begin([held]) == {held.id}
    tell_many(producer, "alice", "b", "c", "d", "e")
    deliver()
    deliver(now=NOW + settings.LEASE)
    assert rows() == [SENT, SENT, SENT, SENT, ABOVE]
    assert server.received[-1]["Message-ID"] == f"<{held.key}@localhost>"


def test_without_a_limit_nothing_is_counted(producer: User, alice: User, server: mail.MailServer) -> None:
    channels = {"email": settings.DELIVERY_CHANNELS["email"] | {"PER_HOUR": 0}}
    with override_settings(DELIVERY_CHANNELS=channels):
        tell_many(producer, "alice", *"abcde")
        deliver()
    assert (len(server.received), used()) == (5, [])


def test_an_hour_is_neither_given_back_nor_counted_into_another(alice: User) -> None:
    def spend(now: datetime) -> set[int]:
        return spending.spend(
            [spending.Wanted(1, alice.pk), spending.Wanted(2, alice.pk)], channel="email", limit=3, now=now
        )

    late = ONE - timedelta(seconds=1)
    assert (spend(late), spend(ONE), used()) == (set(), set(), [2])
    spending.refund([alice.pk], channel="email", spent_at=late)
    assert used() == [2]
    # A worker whose clock is behind by a second does not begin the old hour again.
    assert (spend(late), Spending.objects.get().hour) == ({2}, ONE)
    assert spend(ONE) == {1, 2}


def test_workers_at_once_stay_within_it(
    producer: User, server: mail.MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "AT_ONCE", 3)
    people = factories.users(8)
    names = [user.username for user in people]
    accept(producer, *[submission(*names, title=f"t{n}") for n in range(10)])
    factories.process()

    def work() -> None:
        while dispatch.deliver(channel="email", lane=Lane.NORMAL, clock=lambda: NOW):
            pass

    at_once(work, work)
    assert sorted(str(m["To"]) for m in server.received) == sorted(user.email for user in people for _ in range(3))
    assert used() == [3] * 8
    assert sorted(rows()) == sorted([SENT] * 24 + [ABOVE] * 56)
    monkeypatch.undo()
    deliver(now=ONE)
    assert carriers() == [SENT] * 8
    got = {user.email: set[str]() for user in people}
    for sent in server.received:
        titles = carried(sent) or [str(sent["Subject"])]
        assert got[str(sent["To"])].isdisjoint(titles)
        got[str(sent["To"])].update(titles)
    assert all(titles == {f"t{n}" for n in range(10)} for titles in got.values())
