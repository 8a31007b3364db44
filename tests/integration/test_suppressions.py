"""Addresses that get nothing: how they come onto the list, what it does, and how they come off."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.models import User
from notifications import ledger, suppressions
from notifications.models import Attempt, Delivery, Suppression, Type
from notifications.suppressions import FEW, WINDOW, Cause, Said
from notifications.words import Lane
from tests import factories, mail
from tests.deciding import DAILY, carriers, choose, deliver, reasons, rows, tell, tell_many
from tests.factories import NOW

pytestmark = pytest.mark.usefixtures("committed")
ALICE = "alice@example.com"
SUPPRESSED = ("suppressed", "address_suppressed", None)


def bounced(*addresses: str, cause: Cause = Cause.BOUNCE, detail: str = "5.1.1 No such user") -> list[Said]:
    return [Said("email", address, cause, detail) for address in addresses]


def listed() -> list[tuple[str, str, str]]:
    return list(Suppression.objects.order_by("address").values_list("channel", "address", "cause"))


def test_an_address_stands_once_in_lower_case(producer: User) -> None:
    said = bounced(" Alice@Example.com", "ALICE@example.com", "bob@example.com", "")
    assert suppressions.add(said, now=NOW) == 2
    assert suppressions.add(said, now=NOW + timedelta(days=1)) == 0
    assert listed() == [("email", ALICE, "bounce"), ("email", "bob@example.com", "bounce")]
    assert set(Suppression.objects.values_list("created_at", "until", "detail")) == {(NOW, None, "5.1.1 No such user")}
    assert suppressions.of("email", ["ALICE@example.com", "carol@example.com"], now=NOW) == {"ALICE@example.com"}
    assert suppressions.of("chat", [ALICE], now=NOW) == set()
    assert suppressions.remove("email", ["Alice@example.com", "carol@example.com"]) == 1
    assert listed() == [("email", "bob@example.com", "bounce")]


def test_a_complaint_takes_the_place_of_a_bounce_and_nothing_that_of_a_complaint(producer: User) -> None:
    suppressions.add(bounced(ALICE), now=NOW)
    assert suppressions.add(bounced(ALICE, cause=Cause.COMPLAINT), now=NOW) == 1
    assert suppressions.add(bounced(ALICE), now=NOW) == 0
    assert listed() == [("email", ALICE, "complaint")]
    both = bounced("bob@example.com") + bounced("bob@example.com", cause=Cause.COMPLAINT)
    assert suppressions.add(both, now=NOW) == 1
    assert listed()[1] == ("email", "bob@example.com", "complaint")


def test_a_bounce_makes_good_what_was_only_for_a_time(producer: User) -> None:
    Suppression.objects.create(channel="email", address=ALICE, cause="staff", created_at=NOW, until=NOW)
    assert suppressions.of("email", [ALICE], now=NOW) == set()
    assert suppressions.add(bounced(ALICE), now=NOW) == 1
    assert suppressions.of("email", [ALICE], now=NOW + timedelta(days=999)) == {ALICE}


def test_many_are_one_statement_and_none_is_none(producer: User) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        suppressions.add([], now=NOW)
        assert len(queries) == 0
        assert suppressions.add(bounced(*(f"{n}@example.com" for n in range(FEW))), now=NOW) == FEW
        assert len(queries) == 1


def test_when_a_third_of_all_is_gone_at_once_nobody_believes_it(
    producer: User, caplog: pytest.LogCaptureFixture
) -> None:
    factories.users(200)  # and the producer: 60 are 0.3 of 201
    gone = [f"user{n}@example.com" for n in range(100)]
    assert suppressions.add(bounced(*gone[:50]), now=NOW) == 50
    assert "suppressions.mass_bounce" not in caplog.text
    assert suppressions.add(bounced(*gone), now=NOW + timedelta(minutes=5)) == 10
    assert "suppressions.mass_bounce" in caplog.text
    assert suppressions.add(bounced("late@example.com", cause=Cause.COMPLAINT), now=NOW + timedelta(minutes=5)) == 1
    assert suppressions.add(bounced(*gone), now=NOW + timedelta(minutes=5) + WINDOW) == 40


def test_what_a_server_said_is_kept_without_the_address_and_without_secrets(producer: User) -> None:
    suppressions.add(bounced(ALICE, detail=f"5.1.1 <{ALICE}>\n token=abc123 \0" + "x y " * 500), now=NOW)
    (row,) = Suppression.objects.all()
    assert row.detail.startswith("5.1.1 <a***@example.com> token=*** x y")
    assert len(row.detail) == 500


def test_a_dead_address_is_suppressed_and_the_next_mail_is_not_tried(
    server: mail.MailServer, producer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(mail.RCPT_REPLIES, "Gone", mail.RCPT_REPLIES["gone"])
    factories.user("gone", email="Gone@example.com")
    tell(producer, "gone")
    deliver()
    assert rows() == [("failed", "", None)]
    (row,) = Suppression.objects.all()
    assert (row.channel, row.address, row.cause, row.detail, row.until) == (
        "email",
        "gone@example.com",
        "bounce",
        "5.1.1 No such user",
        None,
    )
    event = tell(producer, "gone", title="Again")
    deliver()
    assert (rows()[1], reasons(event, "gone")) == (SUPPRESSED, ["address_suppressed"])
    assert Attempt.objects.count() == 1
    assert Delivery.objects.get(notification__event=event).attempts == 0


@pytest.mark.parametrize("name", ["later", "full", "blocked", "refuse"])
def test_other_refusals_suppress_nobody(server: mail.MailServer, producer: User, name: str) -> None:
    factories.user(name)
    tell(producer, name)
    deliver()
    assert (Attempt.objects.count(), listed()) == (1, [])


def test_until_is_when_it_ends(server: mail.MailServer, producer: User, alice: User) -> None:
    later = NOW + timedelta(hours=1)
    Suppression.objects.create(channel="email", address=ALICE, cause="staff", created_at=NOW, until=later)
    tell_many(producer, "alice", "a", "b")
    Delivery.objects.filter(pk=Delivery.objects.order_by("pk").last().pk).update(due_at=later)  # type: ignore[union-attr]
    deliver()
    assert [state for state, _, _ in rows()] == ["suppressed", "pending"]
    deliver(now=later)
    assert [state for state, _, _ in rows()] == ["suppressed", "sent"]
    assert server.subjects == ["b"]


def test_it_is_the_address_and_not_the_person(server: mail.MailServer, producer: User, alice: User) -> None:
    suppressions.add(bounced(ALICE), now=NOW)
    alice.email = "ally@example.com"
    alice.save()
    tell(producer, "alice")
    deliver()
    assert [str(m["To"]) for m in server.received] == ["ally@example.com"]


def test_nothing_is_so_important_that_it_goes_nowhere(server: mail.MailServer, producer: User, alice: User) -> None:
    suppressions.add(bounced(ALICE), now=NOW)
    kept = Type.objects.filter(key="task.assigned")
    kept.update(required=["email"])
    try:
        tell(producer, "alice", priority="critical")
        deliver()
    finally:
        kept.update(required=[])
    assert (rows(), server.received) == ([SUPPRESSED], [])


def test_a_digest_does_not_go_there_either(server: mail.MailServer, producer: User, alice: User) -> None:
    choose(alice, digests=DAILY)
    tell_many(producer, "alice", "a", "b")
    suppressions.add(bounced(ALICE), now=NOW)
    deliver(now=NOW.replace(hour=18))
    assert (carriers(), server.received) == ([SUPPRESSED], [])


def test_what_may_have_been_sent_is_not_called_suppressed(producer: User, alice: User, server: mail.MailServer) -> None:
    tell(producer, "alice")
    ledger.begin(ledger.claim(channel="email", lane=Lane.NORMAL, limit=1, now=NOW))
    suppressions.add(bounced(ALICE), now=NOW)
    deliver(now=NOW + settings.LEASE)
    assert (rows(), server.received) == ([("unknown", "address_suppressed", None)], [])


def test_an_installation_with_the_wrong_mail_server_keeps_its_people(
    server: mail.MailServer, producer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [user.username for user in factories.users(60)]
    for name in names:
        monkeypatch.setitem(mail.RCPT_REPLIES, name, mail.RCPT_REPLIES["gone"])
    tell(producer, *names)
    deliver()
    assert Delivery.objects.filter(state="failed").count() == 60
    assert Suppression.objects.count() == FEW
