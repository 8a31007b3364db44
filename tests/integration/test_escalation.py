"""`email_if_unread_after`: read in time it is not sent, read too late it is sent once, and it is never both."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.db import connection
from django.test import override_settings

from core.models import User
from delivery import commands, dispatch, protocol
from notifications import ledger
from notifications.models import Attempt, Delivery, Event
from notifications.words import Lane
from tests import factories, mail
from tests.api import Caller
from tests.deciding import counts, deliver, explain, line, reasons, rows, tell
from tests.factories import NOW
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")

DUE = NOW + timedelta(seconds=300)
MOMENT = timedelta(microseconds=1)


def on_a_socket(name: str) -> Callable[[User, Event], None]:
    """What a socket does with the command of its client."""

    def do(user: User, event: Event) -> None:
        args = {} if name == "mark_all_read" else {"ids": [str(line(event, user).pk)]}
        answer = commands.obey(user.pk, protocol.Command(id=f"{name} {event.pk}", name=name, args=args))
        assert '"ok":true' in answer.replace(" ", "")

    return do


def over_rest(user: User, event: Event) -> None:
    answer = Caller(user)("PATCH", f"/notifications/{line(event, user).pk}", {"read": True})
    assert answer.status_code == 200


READ = on_a_socket("mark_read")
WAYS = {name: on_a_socket(name) for name in ("mark_read", "mark_all_read", "delete")} | {"rest": over_rest}


class Meanwhile(mail.MailServer):
    """A mail server during whose first call something else happens."""

    def __init__(self, what: Callable[[], None]) -> None:
        super().__init__()
        self._what: list[Callable[[], None]] = [what]

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        while self._what:
            self._what.pop()()
            connection.close()  # of the server's thread
        return await super().handle_DATA(server, session, envelope)


@pytest.fixture
def waiting(producer: User, alice: User) -> Event:
    """A mail that goes out if Alice does not read the line within five minutes."""
    event = tell(producer, "alice", email_if_unread_after=300)
    assert rows() == [("pending", "waiting_for_read", DUE)]
    return event


@pytest.mark.parametrize("way", WAYS)
def test_read_one_moment_before(waiting: Event, alice: User, server: mail.MailServer, way: str) -> None:
    assert deliver(now=DUE - MOMENT) == 0
    WAYS[way](alice, waiting)
    assert (deliver(now=DUE), deliver(now=DUE + MOMENT)) == (1, 0)
    assert rows() == [("suppressed", "already_read", None)]
    assert (counts(waiting), server.received, Attempt.objects.count()) == ({"suppressed": 1}, [], 0)
    assert "email suppressed (already_read)" in explain(waiting)["answer"]


def test_read_between_the_claim_and_the_call(
    waiting: Event, alice: User, server: mail.MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = ledger.begin

    def reads_first(claimed: Sequence[ledger.Claimed]) -> set[int]:
        READ(alice, waiting)
        return begin(claimed)

    monkeypatch.setattr(ledger, "begin", reads_first)
    assert deliver(now=DUE) == 1
    assert_sent_once(waiting, server)


@pytest.fixture
def during(waiting: Event, alice: User) -> Iterator[Meanwhile]:
    server = Meanwhile(lambda: READ(alice, waiting))
    with server, override_settings(EMAIL_URL=server.url):
        yield server


def test_read_during_the_call(waiting: Event, during: Meanwhile) -> None:
    assert deliver(now=DUE) == 1
    assert_sent_once(waiting, during)


def assert_sent_once(waiting: Event, server: mail.MailServer) -> None:
    assert (deliver(now=DUE + timedelta(hours=1)), len(server.received)) == (0, 1)
    assert (rows(), counts(waiting)) == ([("sent", "", None)], {"sent": 1})
    assert list(Attempt.objects.values_list("result", flat=True)) == ["sent"]
    assert explain(waiting)["answer"].endswith("read; email sent.")
    assert reasons(waiting) == []


def test_read_during_a_call_that_failed(producer: User, waiting: Event, alice: User, server: mail.MailServer) -> None:
    server.stop()
    deliver(now=DUE)
    READ(alice, waiting)
    server.start()
    deliver(now=DUE + timedelta(minutes=1))
    assert (rows(), server.received) == ([("suppressed", "already_read", None)], [])
    assert list(Attempt.objects.values_list("result", flat=True)) == ["retry"]


@pytest.mark.parametrize("died", [True, False])
def test_read_after_a_call_of_which_nobody_knows_the_end(producer: User, server: mail.MailServer, died: bool) -> None:
    """It may have gone: then it must not be counted as never sent."""
    person = factories.user("hangup")
    event = tell(producer, "hangup", email_if_unread_after=300)
    if died:
        assert len(ledger.begin(ledger.claim(channel="email", lane=Lane.NORMAL, limit=1, now=DUE))) == 1
    else:
        deliver(now=DUE)
    READ(person, event)
    assert deliver(now=DUE + timedelta(hours=1)) == 1
    assert rows() == [("unknown", "already_read", None)]
    assert len(server.received) == (0 if died else 1)
    assert counts(event) == {"unknown": 1}


def test_readers_and_workers_at_once(producer: User, server: mail.MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "AT_ONCE", 10)
    people = factories.users(60)
    event = tell(producer, *[user.username for user in people], email_if_unread_after=300)
    readers = people.copy()
    random.Random(7).shuffle(readers)

    def read_all() -> None:
        for user in readers:
            READ(user, event)

    def send() -> None:
        dispatch.deliver(channel="email", lane=Lane.NORMAL, clock=lambda: DUE)

    with override_settings(EMAIL_TIMEOUT=10):
        at_once(read_all, send, send)
        deliver(now=DUE)
    ended: list[tuple[str, str, str]] = list(Delivery.objects.values_list("address", "state", "reason"))
    assert len(ended) == 60
    assert {(state, reason) for _, state, reason in ended} == {("sent", ""), ("suppressed", "already_read")}
    sent: Counter[Any] = Counter(address for address, state, _ in ended if state == "sent")
    assert Counter(str(m["To"]) for m in server.received) == sent
    assert sorted(Attempt.objects.values_list("delivery__address", "result")) == sorted((a, "sent") for a in sent)
    assert counts(event) == Counter(state for _, state, _ in ended)
