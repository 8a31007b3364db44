"""Did Alice get it, and if not, why? Every end and every wait has an answer, and the rows show why."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from core.models import User
from delivery import dispatch
from notifications import changes, events, explanations, ledger
from notifications.models import Delivery, Event, Type
from notifications.words import Lane
from tests import factories, mail
from tests.api import Caller, error
from tests.factories import NOW, accept, process, submission

pytestmark = pytest.mark.usefixtures("committed")
LATER = NOW + timedelta(minutes=5)


def explain(username: str = "alice") -> explanations.Explanation:
    return explanations.explain(Event.objects.get(), username=username)


def what(found: explanations.Explanation) -> list[tuple[str, str, str]]:
    return [(moment["what"], moment["channel"], moment["reason"]) for moment in found["timeline"]]


def deliver(clock: Callable[[], object] = lambda: NOW) -> None:
    dispatch.deliver(channel="email", lane=Lane.NORMAL, clock=clock)  # type: ignore[arg-type]


def test_she_got_it_everywhere_and_read_it(producer: User, alice: User, server: mail.MailServer) -> None:
    accept(producer, submission("alice"))
    process()
    deliver()
    changes.apply(alice.pk, action="read", ids=None, now=LATER)
    found = explain()
    assert found["answer"] == "Yes: in the inbox since 2026-03-02T12:00:00Z, read; email sent."
    assert what(found) == [
        ("accepted", "", ""),
        ("created", "in_app", ""),
        ("decided: on", "email", ""),
        ("decided: on", "in_app", ""),
        ("planned", "email", ""),
        ("tried: sent", "email", ""),
        ("sent", "email", ""),
        ("seen", "in_app", ""),
        ("read", "in_app", ""),
    ]
    assert [m["at"] for m in found["timeline"]] == [NOW] * 7 + [LATER] * 2
    assert "alice@" not in str(found)
    assert "to a***@example.com" in str(found)


@pytest.mark.parametrize(
    ("fields", "email", "answer"),
    [
        (
            {"channels": ["in_app"]},
            "alice@example.com",
            "Yes: in the inbox since 2026-03-02T12:00:00Z, not seen yet; no email (not_requested, by event).",
        ),
        ({}, "", "Yes: in the inbox since 2026-03-02T12:00:00Z, not seen yet; no email (no_address, by address)."),
        ({"channels": ["email"]}, "", "No: no email (no_address, by address); no in_app (not_requested, by event)."),
        (
            {"email_if_unread_after": 60},
            "alice@example.com",
            "Yes: in the inbox since 2026-03-02T12:00:00Z, not seen yet; "
            "email pending (waiting_for_read), next at 2026-03-02T12:01:00Z.",
        ),
    ],
)
def test_what_was_decided(producer: User, fields: dict[str, object], email: str, answer: str) -> None:
    factories.user("alice", email=email)
    accept(producer, submission("alice", **fields))
    process()
    assert explain()["answer"] == answer


def test_a_channel_this_installation_does_not_have(producer: User, alice: User) -> None:
    Type.objects.filter(key="task.assigned").update(channels=["in_app", "pigeon"])
    try:
        accept(producer, submission("alice"))
        process()
    finally:
        Type.objects.filter(key="task.assigned").update(channels=["in_app", "email"])
    assert ("decided: off", "pigeon", "not_installed") in what(explain())


def test_she_had_read_it_before_the_mail_was_due(producer: User, alice: User) -> None:
    accept(producer, submission("alice", email_if_unread_after=60))
    process()
    changes.apply(alice.pk, action="read", ids=None, now=NOW)
    deliver(lambda: LATER)
    assert "email suppressed (already_read)" in explain()["answer"]


def test_the_mail_server_is_away(producer: User, alice: User, bob: User, server: mail.MailServer) -> None:
    server.stop()
    accept(producer, submission("alice", "bob"))
    process()
    deliver()
    answers = {explain("alice")["answer"].split("; ")[1][:31], explain("bob")["answer"].split("; ")[1][:31]}
    assert answers == {"email pending (retrying), next ", "email pending (provider_away), "}
    Delivery.objects.update(attempts=settings.MAX_ATTEMPTS, due_at=NOW)
    deliver()
    deliver()
    assert "email failed (attempts_exhausted)" in explain("alice")["answer"]


def test_it_is_in_a_workers_hands(producer: User, alice: User) -> None:
    accept(producer, submission("alice"))
    process()
    ledger.begin(ledger.claim(channel="email", lane=Lane.NORMAL, limit=1, now=NOW))
    found = explain()
    assert found["answer"].endswith("email being sent.")
    assert what(found)[-1] == ("being sent, until", "email", "")
    assert found["timeline"][-1]["at"] == NOW + settings.LEASE


def test_a_worker_died_with_it(producer: User, alice: User) -> None:
    accept(producer, submission("alice"))
    process()
    Delivery.objects.update(state="unknown", reason="lease_lost", due_at=None, ended_at=LATER, lost_claims=1)
    found = explain()
    assert found["answer"].endswith("email unknown (lease_lost).")
    assert found["timeline"][-1]["detail"] == "1 worker(s) died with it; it may have gone more than once"


@pytest.mark.parametrize(
    ("username", "answer"),
    [
        ("nobody", "No: there is no active user 'nobody'."),
        ("bob", "No: 'bob' was not in the audience when the event was processed."),
    ],
)
def test_who_is_not_in_the_audience(producer: User, alice: User, bob: User, username: str, answer: str) -> None:
    accept(producer, submission("alice", "nobody"))
    process()
    assert explain(username) == explain(username) | {"answer": answer, "user": username}
    assert what(explain(username)) == [("accepted", "", "")]


def test_what_has_not_happened_yet(producer: User, alice: User) -> None:
    accept(producer, submission("alice", send_at=LATER.isoformat()))
    assert explain()["answer"] == "Not yet: the event is accepted, and due at 2026-03-02T12:05:00Z."


def test_what_was_cancelled_or_failed_or_came_too_late(producer: User, alice: User) -> None:
    accept(producer, submission("alice"))
    event = Event.objects.get()
    events.cancel(event.pk, now=NOW)
    assert explain()["answer"] == "No: the event was cancelled before it reached anybody new (cancelled)."
    Event.objects.update(error="expired")
    assert explain()["answer"] == "No: the event was cancelled before it reached anybody new (expired)."
    Event.objects.update(state="failed", error="ValueError: bad")
    assert explain()["answer"] == "No: the event failed (ValueError: bad)."


class TestCancel:
    def test_a_scheduled_event_never_happens(self, producer: User, alice: User) -> None:
        accept(producer, submission("alice", send_at=LATER.isoformat()))
        assert events.cancel(Event.objects.get().pk, now=NOW) == 0
        assert process(now=LATER) == 0
        assert list(Event.objects.values_list("state", "due_at")) == [("cancelled", None)]

    def test_what_waits_is_stopped_and_what_is_in_a_providers_hands_is_not(self, producer: User) -> None:
        factories.users(3)
        accept(producer, submission(recipients={"all": True}))
        process()
        first, second, third, _ = Delivery.objects.order_by("pk")
        Delivery.objects.filter(pk=first.pk).update(in_flight=True)
        Delivery.objects.filter(pk=second.pk).update(state="sent", due_at=None)
        event = Event.objects.get()
        assert events.cancel(event.pk, now=NOW) == 2
        assert events.cancel(event.pk, now=NOW) == 0
        states = dict(Delivery.objects.values_list("pk", "state"))
        assert (states[first.pk], states[second.pk], states[third.pk]) == ("pending", "sent", "cancelled")
        assert Event.objects.get().state == "cancelled"

    def test_a_running_expansion_ends_before_its_next_chunk(self, producer: User) -> None:
        accept(producer, submission(recipients={"all": True}))
        (held,) = events.claim(lane=Lane.BULK, limit=1, now=NOW)
        events.cancel(held.id, now=NOW)
        step = events.Step(event=held, cursor=1, done=True, unknown_users=[])
        assert events.advance([step], now=NOW) == set()
        assert Event.objects.get().state == "cancelled"

    def test_a_claimed_mail_is_not_begun(self, producer: User, alice: User) -> None:
        from notifications import ledger

        accept(producer, submission("alice"))
        process()
        claimed = ledger.claim(channel="email", lane=Lane.NORMAL, limit=10, now=NOW)
        assert events.cancel(Event.objects.get().pk, now=NOW) == 1
        assert ledger.begin(claimed) == set()

    def test_over_rest_by_its_producer_and_staff_only(self, producer: User, alice: User) -> None:
        other = factories.user("other", is_producer=True)
        staff = factories.user("staff", is_staff=True)
        accept(producer, submission("alice", send_at=LATER.isoformat()))
        path = f"/events/{Event.objects.get().pk}"
        assert error(Caller(other)("POST", f"{path}/cancel")) == (404, "not_found")
        assert error(Caller(alice)("POST", f"{path}/cancel")) == (403, "forbidden")
        assert Event.objects.get().state == "accepted"
        assert Caller(producer)("POST", f"{path}/cancel").json() == {"status": "cancelled", "deliveries": 0}
        assert error(Caller(other)("GET", f"{path}/explain?user=alice")) == (404, "not_found")
        assert error(Caller(staff)("GET", f"{path}/explain")) == (400, "invalid")
        assert Caller(staff).get(f"{path}/explain?user=alice")["answer"].startswith("No: the event was cancelled")


def test_the_command_says_the_same(producer: User, alice: User, capsys: pytest.CaptureFixture[str]) -> None:
    accept(producer, submission("alice", channels=["in_app"]))
    process()
    call_command("explain", str(Event.objects.get().pk), user="alice")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == explain()["answer"]
    assert lines[1] == "  2026-03-02 12:00:00.000000Z  accepted         lane normal, priority normal"
    assert len(lines) == 1 + len(explain()["timeline"])
    assert lines[3].endswith("decided: off     email not_requested by event")
    with pytest.raises(CommandError, match="There is no event nonsense"):
        call_command("explain", "nonsense", user="alice")
