"""What a replay leaves out, because nobody needs it any more or it must not arrive twice; and replays of digests."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from django.conf import settings
from django.test import override_settings

from core.models import User
from notifications import changes, events, inbox, ledger, replays, retraction
from notifications.models import Attempt, Delivery, Device, Digest, Event, Suppression, Type
from notifications.replays import Group, Stale
from notifications.words import Lane
from tests import factories, mail
from tests.deciding import HOURLY, carried, choose, deliver, tell
from tests.factories import NOW
from tests.replays import AT, HOUR, addressees, attempts, fail, order, refusing, replay, rows

pytestmark = pytest.mark.usefixtures("committed", "server")


@pytest.fixture(autouse=True)
def types_as_they_were(committed: None) -> Iterator[None]:
    yield
    Type.objects.update(resend_unknown=True)


def is_retracted(event: Event, user: User) -> None:
    Event.objects.filter(pk=event.pk).update(object="task:1")
    retraction.retract("task:1", producer_id=None, type=None, now=NOW)


def is_cancelled(event: Event, user: User) -> None:
    Event.objects.filter(pk=event.pk).update(state="accepted", due_at=NOW)
    events.cancel(event.pk, now=NOW)


def is_expired(event: Event, user: User) -> None:
    Event.objects.filter(pk=event.pk).update(expires_at=AT)


def is_deleted(event: Event, user: User) -> None:
    changes.apply(user.pk, action="delete", ids=None, now=NOW)


def is_suppressed(event: Event, user: User) -> None:
    Suppression.objects.create(channel="email", address="alice@example.com", cause="staff", created_at=NOW)
    Delivery.objects.update(address="Alice@Example.com")


def was_a_push_to_nowhere(event: Event, user: User) -> None:
    Delivery.objects.update(channel="push", address="device:1")


def is_read(event: Event, user: User) -> None:
    changes.apply(user.pk, action="read", ids=None, now=NOW)


def is_read_by_all(event: Event, user: User) -> None:
    inbox.read_all(user.pk, now=NOW)


def was_for_the_unread(event: Event, user: User) -> None:
    Event.objects.filter(pk=event.pk).update(email_if_unread_after=1)
    inbox.read_all(user.pk, now=NOW)


def is_sent_elsewhere(event: Event, user: User) -> None:
    item, address = Delivery.objects.get().notification_id, "alice@example.org"
    other = Delivery(notification_id=item, channel="email", address=address, lane="normal", state="sent")
    other.created_at = other.ended_at = NOW
    other.save()


def is_old(event: Event, user: User) -> None:
    Delivery.objects.update(created_at=AT - timedelta(days=1, seconds=1))


def may_have_arrived(event: Event, user: User) -> None:
    Delivery.objects.update(state="unknown")
    Type.objects.update(resend_unknown=False)


def may_have_arrived_before(event: Event, user: User) -> None:
    Delivery.objects.update(lost_claims=1)
    Type.objects.update(resend_unknown=False)


def had_no_answer(event: Event, user: User) -> None:
    Attempt.objects.update(result="unknown")
    Type.objects.update(resend_unknown=False)


@pytest.mark.parametrize(
    ("happens", "why", "hopeless"),
    [
        (is_retracted, Stale.RETRACTED, True),
        (is_cancelled, Stale.CANCELLED, True),
        (is_expired, Stale.EXPIRED, True),
        (is_deleted, Stale.DELETED, True),
        (was_for_the_unread, Stale.ALREADY_READ, True),
        (is_suppressed, Stale.ADDRESS_SUPPRESSED, True),
        (was_a_push_to_nowhere, Stale.DEVICE_GONE, True),
        (may_have_arrived, Stale.NEVER_TWICE, True),
        (may_have_arrived_before, Stale.NEVER_TWICE, True),
        (had_no_answer, Stale.NEVER_TWICE, True),
        (is_read, Stale.ALREADY_READ, False),
        (is_read_by_all, Stale.ALREADY_READ, False),
        (is_sent_elsewhere, Stale.ALREADY_SENT, False),
        (is_old, Stale.TOO_OLD, False),
    ],
)
def test_what_is_left_out(
    server: mail.MailServer, producer: User, happens: Callable[[Event, User], None], why: Stale, hopeless: bool
) -> None:
    (event,) = fail(producer, "alice")
    happens(event, User.objects.get(username="alice"))
    before = rows()
    for found in (replays.run(order(), by=None, now=AT), replay()):
        assert (found.would, found.stale, found.groups, found.items) == (0, {why: 1}, [], [])
    assert (rows(), deliver(now=AT)) == (before, 0)
    # Asking for it does not help against what would be stopped anyway, or must not arrive twice.
    assert replay(include_stale=True).replayed == (0 if hopeless else 1)
    assert deliver(now=AT) == len(server.received) == (0 if hopeless else 1)


@pytest.mark.parametrize(("gone_at", "count"), [(None, 1), (NOW, 0)])
def test_a_push_goes_while_its_device_is_there(producer: User, gone_at: datetime | None, count: int) -> None:
    fail(producer, "alice")
    alice = User.objects.get(username="alice")
    seen = {"created_at": NOW, "last_seen_at": NOW, "gone_at": gone_at}
    device = Device.objects.create(user=alice, kind="fcm", address={}, fingerprint="1", **seen)
    Delivery.objects.update(channel="push", address=f"device:{device.pk}")
    assert replay().replayed == count


@pytest.mark.parametrize("until", [AT, AT + HOUR])
def test_a_suppression_counts_until_its_end(producer: User, until: datetime) -> None:
    fail(producer, "alice")
    Suppression.objects.create(channel="email", address="alice@example.com", cause="staff", created_at=NOW, until=until)
    assert replay().replayed == (until == AT)


@pytest.mark.parametrize(("max_age", "count"), [(7200, 1), (7199, 0)])
def test_how_old_is_too_old(producer: User, max_age: int, count: int) -> None:
    fail(producer, "alice")
    Delivery.objects.update(created_at=AT - 2 * HOUR)
    assert replay(max_age=max_age).replayed == count


def test_an_unknown_one_of_a_type_that_allows_it_goes_with_the_same_id(
    producer: User, server: mail.MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.user("hangup")
    tell(producer, "hangup")
    with override_settings(MAX_ATTEMPTS=1):
        deliver()
    assert [(state, reason) for state, reason, _ in rows()] == [("unknown", "attempts_exhausted")]
    assert replay(state=["failed"]).would == 0
    assert replay(state=["unknown"]).replayed == 1
    monkeypatch.setattr(mail, "HANG_UP", "nobody")
    deliver(now=AT)
    assert len({message["Message-ID"] for message in server.received}) == 1
    assert (attempts(), len(server.received)) == ([("hangup", 1, "unknown"), ("hangup", 2, "sent")], 2)


def test_what_a_worker_died_with_is_not_sent_again_where_that_is_forbidden(
    producer: User, server: mail.MailServer
) -> None:
    Type.objects.update(resend_unknown=False)
    factories.user("alice")
    tell(producer, "alice")
    ledger.begin(ledger.claim(channel="email", lane=Lane.NORMAL, limit=1, now=NOW))
    deliver(now=NOW + settings.LEASE)
    assert rows() == [("unknown", "lease_lost", None)]
    assert (replay(include_stale=True).stale, deliver(now=AT)) == ({Stale.NEVER_TWICE: 1}, 0)


def test_what_people_chose_meanwhile_is_looked_at_before_sending(server: mail.MailServer, producer: User) -> None:
    fail(producer, "alice", "bob")
    choose(User.objects.get(username="alice"), channels={"email": False})
    assert replay().replayed == 2
    deliver(now=AT + HOUR)
    assert (rows(), addressees(server)) == ([("suppressed", "muted", None), ("sent", "", None)], ["bob"])


# --- Digests ------------------------------------------------------------------------------------------


@pytest.fixture
def failed_digest(producer: User, alice: User) -> list[Event]:
    """Two items of one digest, which was refused."""
    choose(alice, digests=HOURLY)
    told = [tell(producer, "alice", title=title) for title in ("a", "b")]
    with refusing("alice"):
        deliver(now=AT)
    assert [state for state, *_ in rows()] == ["digested", "failed", "digested"]
    return told


def test_a_digest_goes_again_with_what_is_still_wanted(
    failed_digest: list[Event], alice: User, server: mail.MailServer
) -> None:
    is_expired(failed_digest[0], alice)
    # Its window was opened long ago, but it is not old: it closed just now.
    Delivery.objects.update(created_at=NOW - timedelta(days=7))
    done = replay()
    assert (done.groups, done.stale) == ([Group("email", None, 1)], {})
    assert [(item.event, item.type, item.user) for item in done.items] == [(None, None, "alice")]
    deliver(now=AT)
    assert [message["Subject"] for message in server.received] == ["b"]
    assert [(state, reason) for state, reason, _ in rows()] == [
        ("suppressed", "expired"),
        ("sent", ""),
        ("digested", "digest"),
    ]


def test_a_digest_goes_again_whole(failed_digest: list[Event], server: mail.MailServer) -> None:
    assert (replay().replayed, replay().replayed) == (1, 0)
    deliver(now=AT)
    assert [carried(message) for message in server.received] == [["a", "b"]]


def test_an_empty_digest_and_one_that_must_not_arrive_twice(failed_digest: list[Event], alice: User) -> None:
    Type.objects.update(resend_unknown=False)
    Delivery.objects.filter(notification=None).update(state="unknown")
    assert replay(include_stale=True).stale == {Stale.NEVER_TWICE: 1}
    inbox.read_all(alice.pk, now=AT)
    assert replay(include_stale=True).stale == {Stale.EMPTY_DIGEST: 1}


def test_an_item_that_was_left_out_of_a_doubtful_digest_stays_out(failed_digest: list[Event]) -> None:
    """Both of its columns set, it could not be pending (delivery_in_a_digest_has_ended)."""
    Delivery.objects.exclude(notification=None).update(state="unknown", reason="muted")
    Delivery.objects.filter(notification=None).update(state="sent")
    assert replay(include_stale=True).stale == {Stale.LEFT_OUT: 2}
    assert Digest.objects.count() == 1
