"""From the moment a choice is committed nothing contradicts it, however busy the workers are."""

import threading
from collections import Counter
from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test import override_settings
from django.utils import timezone

from core.models import User
from delivery import dispatch
from notifications import inbox, ledger, preferences
from notifications.models import Attempt, Delivery, InboxHead, Notification
from notifications.words import Lane
from tests import factories, mail
from tests.api import Caller
from tests.deciding import DAILY, choose, deliver, rows, tell, tell_many
from tests.factories import NOW, accept, submission
from tests.threads import at_once
from tests.waiting import wait_until
from workers import pipeline

pytestmark = pytest.mark.usefixtures("committed")

TIMES = 12  # that Alice changes her mind and back
BURST = 40  # events to her and Bob meanwhile, each time
OFF, ON = {"email": False, "in_app": False}, {"email": None, "in_app": None}


def test_somebody_who_says_stop_while_sends_run(
    producer: User, alice: User, bob: User, server: mail.MailServer
) -> None:
    """Two workers process and send without a pause; over REST Alice switches everything off and on again."""
    call, over = Caller(alice), threading.Event()
    closed: list[tuple[datetime, datetime]] = []  # after the commit of "off" until before that of "on"
    numbers: list[tuple[int, int]] = []

    def work() -> None:
        while not over.is_set():
            pipeline.process_events(lane=Lane.NORMAL, clock=timezone.now)
            dispatch.deliver(channel="email", lane=Lane.NORMAL, clock=timezone.now)

    def change(channels: dict[str, Any]) -> int:
        version = call.get("/preferences")["version"]
        answer = call("PATCH", "/preferences", {"version": version, "channels": channels})
        assert answer.status_code == 200, answer.content
        return int(answer.json()["rev"])

    def hers() -> QuerySet[Notification]:
        return Notification.objects.filter(user=alice)

    def burst(events: int) -> None:
        accept(producer, *[submission("alice", "bob") for _ in range(events)], now=timezone.now())

    def off_and_on() -> None:
        mails = len(server.received)
        burst(BURST)
        wait_until(lambda: len(server.received) > mails, what="the first mail of the burst")
        off = change(OFF)
        since, lines = timezone.now(), hers().count()
        burst(5)
        wait_until(lambda: hers().count() >= lines + 5, what="lines while it is off")
        closed.append((since, timezone.now()))
        numbers.append((off, change(ON)))

    def change_her_mind() -> None:
        try:
            for _ in range(TIMES):
                off_and_on()
            wait_until(lambda: not ledger.due(now=timezone.now()), what="everything being sent")
        finally:
            over.set()

    with override_settings(EMAIL_TIMEOUT=10):
        at_once(change_her_mind, work, work)
        wait_until(lambda: deliver(now=timezone.now()) == 0, what="the rest being sent")
    tries = Attempt.objects.filter(delivery__address=alice.email)
    for since, until in closed:
        assert not tries.filter(started_at__gte=since, started_at__lte=until).exists()
    # Nothing took a number of her inbox between the two changes.
    assert [on - off for off, on in numbers] == [1] * TIMES
    assert_all_came_to_an_end(alice, bob, server)


def assert_all_came_to_an_end(alice: User, bob: User, server: mail.MailServer) -> None:
    """Alice's were sent or muted, many of each; Bob, who changed nothing, got everything; and all of it once."""
    states = Counter(Delivery.objects.filter(address=alice.email).values_list("state", "reason"))
    assert set(states) == {("sent", ""), ("suppressed", "muted")}
    assert all(number > TIMES for number in states.values())
    assert Delivery.objects.filter(address=bob.email, state="sent").count() == TIMES * (BURST + 5)
    sent = Counter(Delivery.objects.filter(state="sent").values_list("address", flat=True))
    assert Counter(str(m["To"]) for m in server.received) == sent
    in_inbox = Notification.objects.filter(user=alice, rev__isnull=False).count()
    assert InboxHead.objects.get(user=alice).unread == inbox.visible(alice.pk).count() == in_inbox


def test_a_change_between_the_claim_and_the_call_is_obeyed(
    producer: User, alice: User, bob: User, server: mail.MailServer
) -> None:
    tell(producer, "alice", "bob")
    claimed = ledger.claim(channel="email", lane=Lane.NORMAL, limit=9, now=NOW)
    choose(alice, channels={"email": False})
    assert ledger.begin(claimed) == {one.id for one in claimed if one.username == "bob"}


def test_it_is_decided_again_and_costs_no_attempt(
    producer: User, alice: User, bob: User, server: mail.MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(producer, "alice", "bob")
    begin = ledger.begin

    def changes_first(claimed: list[ledger.Claimed]) -> set[int]:
        if Delivery.objects.filter(token=1, address=alice.email).exists():
            choose(alice, digests=DAILY)
        return begin(claimed)

    monkeypatch.setattr(ledger, "begin", changes_first)
    deliver()
    assert rows() == [("digested", "digest", None), ("sent", "", None)]
    assert list(Delivery.objects.filter(address=alice.email, notification__isnull=False).values_list("attempts")) == [
        (0,)
    ]
    assert [str(m["To"]) for m in server.received] == [bob.email]


def test_a_change_while_a_chunk_is_written_is_obeyed(
    producer: User, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk is read, she says stop, the chunk is written: it is decided again, from what she says now."""
    add = inbox.add

    def changes_first(*given: Any, **named: Any) -> Any:
        if not preferences.of(alice.pk).channels:
            at_once(lambda: choose(alice, channels={"in_app": False, "email": False}))
        return add(*given, **named)

    monkeypatch.setattr(inbox, "add", changes_first)
    accept(producer, submission("alice", "bob"))
    factories.process()
    lines = {line.user_id: line for line in Notification.objects.all()}
    assert (lines[alice.pk].rev, lines[bob.pk].rev) == (None, 1)
    assert {c: one["reason"] for c, one in lines[alice.pk].decisions.items()} == {"in_app": "muted", "email": "muted"}
    assert list(Delivery.objects.values_list("address", flat=True)) == [bob.email]


def test_what_was_begun_before_the_change_ends_as_it_would_have(
    producer: User, alice: User, server: mail.MailServer
) -> None:
    """The promise is about what starts: what is in a provider's hands cannot be called back."""
    tell_many(producer, "alice", "a")
    (held,) = ledger.claim(channel="email", lane=Lane.NORMAL, limit=1, now=NOW)
    assert ledger.begin([held]) == {held.id}
    choose(alice, channels={"email": False})
    assert deliver() == 0
    assert rows()[0][0] == "pending"
    connection.close()
