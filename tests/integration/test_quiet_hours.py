"""Quiet hours: what waits for their end, what does not, and what people change meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings

from core.models import User
from notifications import changes, ledger
from notifications.models import Attempt, Delivery, Type
from notifications.words import Lane
from tests import mail
from tests.deciding import (
    DAILY,
    NIGHT,
    carried,
    carriers,
    choose,
    deliver,
    explain,
    line,
    reasons,
    rows,
    tell,
)
from tests.factories import NOW

pytestmark = pytest.mark.usefixtures("committed")

LATE, MORNING = datetime(2026, 3, 2, 23, 0, tzinfo=UTC), datetime(2026, 3, 3, 7, 0, tzinfo=UTC)
EVENING = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
SENT, HELD = ("sent", "", None), ("pending", "quiet_hours", MORNING)


@pytest.fixture
def quiet(alice: User) -> User:
    """Alice, who sleeps from ten to seven."""
    choose(alice, quiet_hours=[NIGHT])
    return alice


def test_a_mail_of_the_night_goes_in_the_morning(producer: User, quiet: User, server: mail.MailServer) -> None:
    event = tell(producer, "alice", now=LATE)
    assert rows() == [HELD]
    assert explain(event)["answer"] == (
        "Yes: in the inbox since 2026-03-02T23:00:00Z, not seen yet; "
        "email pending (quiet_hours), next at 2026-03-03T07:00:00Z."
    )
    assert (deliver(now=MORNING - MOMENT), deliver(now=MORNING)) == (0, 1)
    assert (rows(), len(server.received)) == ([SENT], 1)


def test_what_is_critical_wakes_her(producer: User, quiet: User, server: mail.MailServer) -> None:
    event = tell(producer, "alice", priority="critical", now=LATE)
    deliver(now=LATE)
    assert (rows(), len(server.received), reasons(event)) == ([SENT], 1, [])


def test_what_expires_in_the_night_is_dropped(producer: User, quiet: User, server: mail.MailServer) -> None:
    """At once, when it is known that the night is longer."""
    event = tell(producer, "alice", expires_at="2026-03-03T06:00:00Z", now=LATE)
    assert rows() == []
    assert explain(event)["answer"].endswith("no email (expired, by type).")


def test_what_was_held_and_has_expired_by_the_morning_is_dropped(
    producer: User, quiet: User, server: mail.MailServer
) -> None:
    event = tell(producer, "alice", expires_at="2026-03-03T06:00:00Z", now=LATE - timedelta(hours=2))
    assert (deliver(now=LATE), rows()) == (1, [HELD])
    deliver(now=MORNING)
    assert (rows(), server.received) == ([("suppressed", "expired", None)], [])
    assert "email suppressed (expired)" in explain(event)["answer"]


def test_what_was_planned_by_day_and_is_claimed_at_night_waits(
    producer: User, quiet: User, server: mail.MailServer
) -> None:
    event = tell(producer, "alice", now=LATE - timedelta(hours=2))
    assert deliver(now=LATE) == 1
    assert (rows(), server.received, Attempt.objects.count()) == ([HELD], [], 0)
    assert Delivery.objects.get().attempts == 0
    assert reasons(event) == ["quiet_hours"]
    assert deliver(now=MORNING - MOMENT) == 0
    deliver(now=MORNING)
    assert (rows(), len(server.received)) == ([SENT], 1)


def test_quiet_hours_that_came_after_the_plan_are_obeyed(producer: User, alice: User, server: mail.MailServer) -> None:
    tell(producer, "alice")
    choose(alice, quiet_hours=[NIGHT | {"start": "11:00"}])
    deliver()
    assert (rows(), server.received) == ([HELD], [])
    # And those that are taken back hold nothing any longer.
    choose(alice, quiet_hours=[], now=NOW + MOMENT)
    assert deliver(now=NOW + MOMENT) == 1
    assert (rows(), len(server.received)) == ([SENT], 1)


def test_other_quiet_hours_move_what_they_hold(producer: User, quiet: User, server: mail.MailServer) -> None:
    tell(producer, "alice", now=LATE)
    choose(quiet, quiet_hours=[NIGHT | {"end": "08:30"}], now=LATE)
    deliver(now=LATE)
    assert rows() == [("pending", "quiet_hours", MORNING + timedelta(minutes=90))]
    assert (deliver(now=MORNING), server.received) == (0, [])


@pytest.mark.parametrize(
    ("night", "end", "now", "due_at"),
    [
        # Europe/London, 29 March 2026: 01:00 becomes 02:00, so 01:30 is not shown: the end of the gap.
        ("22:00", "01:30", "2026-03-29T00:10+00:00", "2026-03-29T01:00+00:00"),
        # ... and in an ordinary window the night is an hour shorter.
        ("22:00", "07:00", "2026-03-28T23:00+00:00", "2026-03-29T06:00+00:00"),
        # 25 October 2026: 01:30 is shown twice; quiet ends at the second.
        ("22:00", "01:30", "2026-10-25T00:45+00:00", "2026-10-25T01:30+00:00"),
        ("22:00", "07:00", "2026-10-24T22:00+00:00", "2026-10-25T07:00+00:00"),
    ],
)
def test_the_night_in_which_the_clocks_change(
    producer: User, alice: User, server: mail.MailServer, night: str, end: str, now: str, due_at: str
) -> None:
    choose(alice, quiet_hours=[NIGHT | {"start": night, "end": end}], timezone="Europe/London")
    expected = datetime.fromisoformat(due_at)
    tell(producer, "alice", now=datetime.fromisoformat(now))
    assert rows() == [("pending", "quiet_hours", expected)]
    assert (deliver(now=expected - MOMENT), deliver(now=expected)) == (0, 1)
    assert (rows(), len(server.received)) == ([SENT], 1)


def test_a_digest_that_is_due_at_night_waits_too(producer: User, alice: User, server: mail.MailServer) -> None:
    choose(alice, digests=DAILY)
    first, gone, _ = (tell(producer, "alice", title=title) for title in ("a", "x", "b"))
    choose(alice, quiet_hours=[NIGHT | {"start": "17:00", "end": "20:00"}])
    assert deliver(now=EVENING) == 1
    twenty = EVENING + timedelta(hours=2)
    assert (carriers(), server.received) == ([("pending", "quiet_hours", twenty)], [])
    assert Delivery.objects.get(notification=None).attempts == 0
    assert reasons(first) == ["digest", "digest", "quiet_hours"]
    # What she reads while it waits is left out; what comes while it waits is for the next.
    changes.apply(alice.pk, action="read", ids=[line(gone, alice).pk], now=EVENING)
    tell(producer, "alice", title="c", now=EVENING)
    deliver(now=twenty)
    assert [carried(m) for m in server.received] == [["a", "b"]]
    assert [reason for _, reason, _ in rows()] == ["digest", "already_read", "digest", "digest"]
    assert [state for state, *_ in carriers()] == ["sent", "pending"]


def test_what_is_left_out_is_decided_when_the_digest_goes(producer: User, alice: User, server: mail.MailServer) -> None:
    """Not when it was held: she may have changed her mind by then."""
    choose(alice, digests=DAILY)
    tell(producer, "alice", title="a")
    tell(producer, "alice", title="b")
    choose(alice, quiet_hours=[NIGHT | {"start": "17:00", "end": "20:00"}], channels={"email": False})
    deliver(now=EVENING)
    assert rows() == [("digested", "digest", None)] * 2
    choose(alice, channels={"email": True}, now=EVENING)
    deliver(now=EVENING + timedelta(hours=2))
    assert [carried(m) for m in server.received] == [["a", "b"]]


@pytest.mark.parametrize("twice", [True, False])
def test_what_may_have_been_sent_does_not_wake_her_either(
    producer: User, quiet: User, server: mail.MailServer, twice: bool
) -> None:
    """Nor is it forgotten over night that it may have been."""
    try:
        Type.objects.filter(key="task.assigned").update(resend_unknown=twice)
        tell(producer, "alice")
        (held,) = ledger.claim(channel="email", lane=Lane.NORMAL, limit=1, now=LATE)
        assert ledger.begin([held]) == {held.id}
        choose(quiet, digests=DAILY, now=LATE)
        deliver(now=LATE + settings.LEASE)
        assert (rows(), server.received) == ([HELD], [])
        deliver(now=MORNING)
    finally:
        Type.objects.update(resend_unknown=True)
    # It goes alone, with its own id: in a digest it could not be known again.
    assert (rows(), carriers()) == ([SENT if twice else ("unknown", "lease_lost", None)], [])
    assert [m["Message-ID"] for m in server.received] == [f"<{held.key}@localhost>"][: int(twice)]
