"""Sending what is due, against a real mail server that answers as the address asks."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from core import redis
from core.models import User
from delivery import dispatch, rounds
from notifications import inbox, ledger
from notifications.models import Attempt, Delivery, Event, Type
from notifications.words import Lane
from tests import factories, mail
from tests.factories import NOW, accept, submission

pytestmark = pytest.mark.usefixtures("committed")

HOUR = timedelta(hours=1)


@pytest.fixture
def never_twice(committed: None) -> Iterator[None]:
    """A type whose messages must not be sent again when nobody knows what became of them."""
    Type.objects.filter(key="task.assigned").update(resend_unknown=False)
    yield
    Type.objects.update(resend_unknown=True)


def due(producer: User, *names: str, **fields: Any) -> None:
    """One due delivery for each of these new people, in the order of the names."""
    for name in names:
        factories.user(name)
    accept(producer, *[submission(name, **fields) for name in names])
    factories.process()


def deliver(*, now: datetime = NOW) -> int:
    return dispatch.deliver(channel="email", lane=Lane.NORMAL, clock=lambda: now)


def die_in_the_call(*, now: datetime = NOW) -> None:
    """A worker claims, begins the call, and is never heard of again."""
    claimed = ledger.claim(channel="email", lane=Lane.NORMAL, limit=1, now=now)
    assert len(ledger.begin(claimed)) == 1


def states() -> list[tuple[str, str, datetime | None, int]]:
    return list(Delivery.objects.order_by("pk").values_list("state", "reason", "due_at", "attempts"))


def attempts() -> list[tuple[int, str, str]]:
    return list(Attempt.objects.order_by("pk").values_list("token", "result", "code"))


def test_each_answer_of_the_server_has_its_end(producer: User, server: mail.MailServer) -> None:
    due(producer, "alice", "later", "gone", "refuse", "bob")
    assert deliver() == 5
    minute = NOW + timedelta(seconds=60)
    assert states() == [
        ("sent", "", None, 1),
        ("pending", "retrying", minute, 1),
        ("failed", "", None, 1),
        ("pending", "retrying", Delivery.objects.get(address="refuse@example.com").due_at, 1),
        ("sent", "", None, 1),
    ]
    codes = [
        (1, "sent", "250"),
        (1, "retry", "4.2.0"),
        (1, "gone", "5.1.1"),
        (1, "config", "5.6.0"),
        (1, "sent", "250"),
    ]
    assert attempts() == codes
    assert [str(m["To"]) for m in server.received] == ["alice@example.com", "bob@example.com"]
    assert Delivery.objects.filter(in_flight=True).count() == 0
    assert Delivery.objects.get(address="alice@example.com").provider_id == "stored as 42"
    # Nothing else is due, so nothing else is sent.
    assert (deliver(), len(server.received)) == (0, 2)


def test_a_server_that_is_down_is_tried_again_until_it_is_up(producer: User, server: mail.MailServer) -> None:
    due(producer, "alice")
    server.stop()
    now = NOW
    for attempt in range(1, 4):
        assert deliver(now=now) == 1
        ((state, reason, due_at, counted),) = states()
        assert (state, reason, counted) == ("pending", "retrying", attempt)
        assert due_at is not None
        assert timedelta(seconds=1) <= due_at - now <= timedelta(seconds=10 * 2 ** (attempt - 1))
        assert deliver(now=due_at - timedelta(microseconds=1)) == 0
        now = due_at
    server.start()
    assert deliver(now=now) == 1
    assert (states(), len(server.received)) == ([("sent", "", None, 4)], 1)
    assert [result for _, result, _ in attempts()] == ["retry", "retry", "retry", "sent"]


def test_attempts_come_to_an_end(producer: User, server: mail.MailServer) -> None:
    due(producer, "later")
    now = NOW
    for _ in range(settings.MAX_ATTEMPTS):
        assert deliver(now=now) == 1
        now += 2 * HOUR
    assert states() == [("failed", "attempts_exhausted", None, settings.MAX_ATTEMPTS)]
    assert Delivery.objects.get().ended_at == now - 2 * HOUR
    assert (deliver(now=now), len(attempts())) == (0, settings.MAX_ATTEMPTS)


def test_what_kills_every_worker_comes_to_an_end_too(producer: User, server: mail.MailServer) -> None:
    due(producer, "alice")
    for n in range(settings.MAX_ATTEMPTS):
        die_in_the_call(now=NOW + n * settings.LEASE)
    assert deliver(now=NOW + settings.MAX_ATTEMPTS * settings.LEASE) == 1
    assert states() == [("failed", "attempts_exhausted", None, settings.MAX_ATTEMPTS)]
    assert (attempts(), Delivery.objects.get().lost_claims, server.received) == ([], settings.MAX_ATTEMPTS, [])


@pytest.mark.parametrize("how", ["hangup", "silent"])
def test_no_answer_after_the_final_dot_is_sent_again_with_the_same_id(
    producer: User, server: mail.MailServer, how: str
) -> None:
    due(producer, how, "bob")
    deliver()
    assert [(state, reason) for state, reason, *_ in states()] == [("pending", "retrying"), ("sent", "")]
    assert attempts() == [(1, "unknown", "disconnected"), (1, "sent", "250")]
    deliver(now=NOW + HOUR)
    assert [result for _, result, _ in attempts()] == ["unknown", "sent", "unknown"]
    first, _, again = server.received
    delivery = Delivery.objects.get(address=f"{how}@example.com")
    event = Event.objects.get(usernames=[how])
    assert first["Message-ID"] == again["Message-ID"] == f"<{event.id.hex}.{delivery.pk}@localhost>"


@pytest.mark.usefixtures("never_twice")
def test_no_answer_is_an_end_for_what_must_not_arrive_twice(producer: User, server: mail.MailServer) -> None:
    due(producer, "hangup")
    deliver()
    assert states() == [("unknown", "", None, 1)]
    assert deliver(now=NOW + HOUR) == 0


@pytest.mark.usefixtures("never_twice")
def test_a_worker_that_died_in_the_call_is_an_end_for_what_must_not_arrive_twice(
    producer: User, server: mail.MailServer
) -> None:
    due(producer, "alice")
    die_in_the_call()
    deliver(now=NOW + settings.LEASE)
    assert states() == [("unknown", "lease_lost", None, 1)]
    assert (server.received, Delivery.objects.get().lost_claims) == ([], 1)


def test_a_worker_that_died_in_the_call_is_followed_by_another(producer: User, server: mail.MailServer) -> None:
    due(producer, "alice")
    die_in_the_call()
    assert deliver(now=NOW + settings.LEASE) == 1
    assert states() == [("sent", "", None, 2)]
    assert (len(server.received), Delivery.objects.get().lost_claims, attempts()) == (1, 1, [(2, "sent", "250")])


@pytest.mark.parametrize(
    ("action", "state", "reason"),
    [("read", "suppressed", "already_read"), ("delete", "suppressed", "already_read"), ("seen", "sent", "")],
)
def test_a_mail_for_what_stays_unread(
    producer: User, server: mail.MailServer, action: str, state: str, reason: str
) -> None:
    due(producer, "alice", email_if_unread_after=300)
    alice = User.objects.get(username="alice")
    assert deliver(now=NOW + timedelta(seconds=299)) == 0
    inbox.change(alice.pk, action=action, ids=None, now=NOW)
    assert deliver(now=NOW + timedelta(seconds=300)) == 1
    assert [(s, r) for s, r, *_ in states()] == [(state, reason)]
    assert len(server.received) == len(attempts()) == (state == "sent")


def test_reading_does_not_stop_a_mail_that_was_not_waiting_for_it(producer: User, server: mail.MailServer) -> None:
    due(producer, "alice")
    inbox.read_all(User.objects.get(username="alice").pk, now=NOW)
    deliver()
    assert (states(), len(server.received)) == ([("sent", "", None, 1)], 1)


def test_what_has_expired_or_was_cancelled_does_not_go_out(producer: User, server: mail.MailServer) -> None:
    due(producer, "alice", expires_at="2026-03-02T13:00:00Z")
    due(producer, "bob")
    Event.objects.filter(usernames=["bob"]).update(state="cancelled")
    assert deliver(now=NOW + HOUR) == 2
    assert states() == [("suppressed", "expired", None, 0), ("cancelled", "cancelled", None, 0)]
    assert (server.received, attempts()) == ([], [])


def test_no_retry_is_planned_past_the_expiry(producer: User, server: mail.MailServer) -> None:
    due(producer, "later", expires_at="2026-03-02T12:00:30Z")
    deliver()
    assert states() == [("failed", "expired", None, 1)]


@pytest.mark.usefixtures("never_twice")
def test_a_worker_that_died_before_the_call_leaves_no_doubt(producer: User, server: mail.MailServer) -> None:
    due(producer, "alice")
    ledger.claim(channel="email", lane=Lane.NORMAL, limit=1, now=NOW)
    deliver(now=NOW + settings.LEASE)
    assert (states(), len(server.received)) == ([("sent", "", None, 2)], 1)
    assert Delivery.objects.get().lost_claims == 0


def test_while_nobody_is_there_the_rest_of_a_claim_waits_uncounted(producer: User, server: mail.MailServer) -> None:
    due(producer, "alice", "bob", "carol")
    server.stop()
    assert deliver() == 3
    assert [(s, a) for s, _, _, a in states()] == [("pending", 1), ("pending", 0), ("pending", 0)]
    rest = Delivery.objects.exclude(address="alice@example.com")
    assert set(rest.values_list("due_at", "in_flight", "lost_claims")) == {(NOW + rounds.PAUSE, False, 0)}
    assert attempts() == [(1, "retry", "unreachable")]


def test_what_was_not_begun_in_time_is_given_back_uncounted(
    producer: User, server: mail.MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "TIME_BOX", 0.2)  # shorter than the server's silence
    due(producer, "silent", "alice", "bob")
    redis.attempt(lambda r: r.flushdb())
    assert deliver() == 3
    assert [(s, r, a) for s, r, _, a in states()] == [
        ("pending", "retrying", 1),
        ("pending", "", 0),
        ("pending", "", 0),
    ]
    given_back = Delivery.objects.exclude(address="silent@example.com")
    assert set(given_back.values_list("due_at", "in_flight", "lost_claims", "token")) == {(NOW, False, 0, 1)}
    assert len(server.received) == len(attempts()) == 1
    # And the lane is handed on.
    assert redis.attempt(lambda r: r.exists("bellhop:hint:workers.deliver:normal:email")) == 1


def test_a_letter_that_cannot_be_written_holds_up_nobody(producer: User, server: mail.MailServer) -> None:
    due(producer, "alice", "bob", "carol")
    # No longer accepted (notifications/submission.py), but a row may be older than the rule.
    Event.objects.filter(usernames=["bob"]).update(action_url="http://[")
    assert deliver() == 3
    assert [state for state, *_ in states()] == ["sent", "failed", "sent"]
    assert Delivery.objects.get(address="bob@example.com").code == "unwritable"
    assert sorted(str(m["To"]) for m in server.received) == ["alice@example.com", "carol@example.com"]


def test_what_the_mail_says(producer: User, server: mail.MailServer) -> None:
    with override_settings(PUBLIC_URL="https://bellhop.example"):
        due(
            producer,
            "alice",
            title="A <b>bold</b> & 'odd' title",
            body="<script>x</script>",
            action_url="/tasks/1?a=1&b=2",
        )
        deliver()
    (received,) = server.received
    text, html = (part.get_content().replace("\r\n", "\n") for part in received.iter_parts())
    assert received["Subject"] == "A <b>bold</b> & 'odd' title"
    assert "A <b>bold</b> & 'odd' title\n\n<script>x</script>\n\nhttps://bellhop.example/tasks/1?a=1&b=2\n" in text
    assert "<script>" not in html
    assert "A &lt;b&gt;bold&lt;/b&gt; &amp; &#x27;odd&#x27; title" in html
    assert 'href="https://bellhop.example/tasks/1?a=1&amp;b=2"' in html


def test_many_are_sent_over_one_connection(producer: User, server: mail.MailServer) -> None:
    due(producer, *[f"person{n}" for n in range(dispatch.AT_ONCE + 10)])
    assert deliver() == dispatch.AT_ONCE + 10
    assert {state for state, *_ in states()} == {"sent"}
    assert server.connections == 2  # one for each claim
