"""
How many statements the hot paths cost, and that the number does not grow with the size of the work.

BEGIN, COMMIT and SAVEPOINT are left out: they frame our statements and are not of our writing.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from core.models import User
from delivery import dispatch
from notifications import events, inbox, ledger, recipients
from notifications.models import Notification, PreferenceTemplate
from notifications.values import Outcome, Result
from notifications.words import DeliveryState, Lane
from tests import factories, mail
from tests.api import Caller
from tests.deciding import HOURLY, carried, choose, rows
from tests.factories import NOW
from workers import pipeline

pytestmark = pytest.mark.usefixtures("committed")
FRAMES = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


def statements(work: Callable[[], Any]) -> list[str]:
    """What `work` asked the database."""
    with CaptureQueriesContext(connection) as captured:
        work()
    return [q["sql"] for q in captured.captured_queries if not q["sql"].startswith(FRAMES)]


def body(*, users: list[str]) -> dict[str, Any]:
    return {"type": "task.assigned", "recipients": {"users": users}, "title": "Water the plants"}


def test_accepting_an_event_with_authentication(producer: User) -> None:
    call = Caller(producer)
    answers = []
    asked = statements(lambda: answers.append(call("POST", "/events", body(users=["alice"]))))
    assert answers[0].status_code == 202
    assert len(asked) == 2, asked  # who is it, and the INSERT


@pytest.mark.parametrize("size", [1, 1000])
def test_accepting_a_batch(producer: User, size: int) -> None:
    call = Caller(producer)
    events_ = {"events": [body(users=[f"user{n}"]) for n in range(size)]}
    answers = []
    asked = statements(lambda: answers.append(call("POST", "/events/batch", events_)))
    assert [set(result) for result in answers[0].json()["results"]] == [{"id"}] * size
    assert len(asked) == 2, asked


@pytest.mark.parametrize("size", [1, 500])
@pytest.mark.parametrize("audience", ["users", "all"])
def test_processing_a_chunk(producer: User, size: int, audience: str) -> None:
    factories.users(size)
    producer.delete()
    sender = factories.user("sender", is_active=False)
    to = {"users": [f"user{n}" for n in range(size)]} if audience == "users" else {"all": True}
    factories.accept(sender, factories.submission(recipients=to))
    lane = Lane.NORMAL if audience == "users" else Lane.BULK
    claimed = events.claim(lane=lane, limit=10, now=NOW)

    def work() -> None:
        chunk = next(recipients.chunks(claimed, limit=500))
        assert len(chunk.lines) == size
        assert factories.persist(chunk, now=NOW) == size

    asked = statements(work)
    # The audience, the step, heads and lines, deliveries.
    assert len(asked) == 4, asked


@pytest.mark.parametrize("size", [1, 200])
def test_processing_many_events_at_once(producer: User, size: int) -> None:
    factories.user("alice")
    factories.accept(producer, *[factories.submission("alice") for _ in range(size)])
    asked = statements(lambda: pipeline.process_events(lane=Lane.NORMAL, clock=lambda: NOW))
    assert Notification.objects.count() == size
    # The claim, a chunk as above, and the claim that finds nothing.
    assert len(asked) == 6, asked


@pytest.mark.parametrize("size", [1, 50])
def test_claiming_and_recording_deliveries(producer: User, size: int) -> None:
    factories.users(size)
    factories.accept(producer, factories.submission(*[f"user{n}" for n in range(size)]))
    factories.process()

    def work() -> None:
        claimed = ledger.claim(channel="email", lane=Lane.NORMAL, limit=dispatch.AT_ONCE, now=NOW)
        sent = ledger.Verdict(DeliveryState.SENT, outcome=Outcome(Result.SENT), started_at=NOW)
        assert len(ledger.record([(one, sent) for one in claimed], now=NOW)) == size

    assert len(statements(work)) == 2


@pytest.mark.parametrize("size", [1, 500])
def test_processing_a_chunk_that_goes_into_digests(producer: User, size: int) -> None:
    people = factories.users(size)
    defaults = PreferenceTemplate.objects.filter(is_default=True)
    kept = defaults.get().digests
    defaults.update(digests=HOURLY)
    factories.accept(producer, factories.submission(*[user.username for user in people]))
    (claimed,) = events.claim(lane=Lane.NORMAL, limit=1, now=NOW)

    def work() -> None:
        assert factories.persist(next(recipients.chunks([claimed], limit=500)), now=NOW) == size

    try:
        asked = statements(work)
    finally:
        defaults.update(digests=kept)
    assert rows() == [("digested", "digest", None)] * size
    # The audience, the step, heads and lines, deliveries, and the digests with what goes into them.
    assert len(asked) == 5, asked


@pytest.mark.parametrize("size", [1, 10])
def test_sending_what_is_due(producer: User, server: mail.MailServer, size: int) -> None:
    """Letters above and below a budget."""
    people = factories.users(size)
    for title in ("a", "b"):
        factories.accept(producer, factories.submission(*[user.username for user in people], title=title))
    factories.process()
    with override_settings(DELIVERY_CHANNELS={"email": settings.DELIVERY_CHANNELS["email"] | {"PER_HOUR": 1}}):
        asked = statements(lambda: dispatch.deliver(channel="email", lane=Lane.NORMAL, clock=lambda: NOW))
    assert len(server.received) == len([row for row in rows() if row[0] == "digested"]) == size
    # The breaker, the claim, the budgets and what is given back of them, the templates, into the digest; the mark and
    # the record of ten; and the claim that finds nothing.
    assert len(asked) == 9, asked


@pytest.mark.parametrize("size", [1, 10])
def test_sending_digests(producer: User, server: mail.MailServer, size: int) -> None:
    """Each of three items, of which one was read."""
    people = factories.users(size)
    for user in people:
        choose(user, digests=HOURLY)
    for title in "abc":
        factories.accept(producer, factories.submission(*[user.username for user in people], title=title))
    factories.process()
    for user in people:
        first = Notification.objects.filter(user=user).order_by("pk")[0]
        inbox.change(user.pk, action="read", ids=[first.pk], now=NOW)
    later = NOW + timedelta(hours=1)
    asked = statements(lambda: dispatch.deliver(channel="email", lane=Lane.DIGEST, clock=lambda: later))
    assert [carried(sent) for sent in server.received] == [["b", "c"]] * size
    # The breaker, the claim, the items, those left out, the templates; the mark and the record of ten; and the claim
    # that finds nothing.
    assert len(asked) == 8, asked


@pytest.mark.parametrize("size", [1, 300])
@pytest.mark.parametrize("action", ["read", "delete"])
def test_changing_lines(producer: User, alice: User, size: int, action: str) -> None:
    factories.accept(producer, *[factories.submission("alice") for _ in range(size)])
    factories.process()
    ids = list(Notification.objects.values_list("pk", flat=True))
    asked = statements(lambda: inbox.change(alice.pk, action=action, ids=ids, now=NOW))
    assert inbox.head(alice.pk).unread == 0
    assert len(asked) == 3, asked


@pytest.mark.parametrize("size", [1, 300])
def test_a_bulk_request(producer: User, alice: User, size: int) -> None:
    factories.accept(producer, *[factories.submission("alice") for _ in range(size)])
    factories.process()
    call = Caller(alice)
    ids = [str(id) for id in Notification.objects.values_list("pk", flat=True)]
    answers = []
    asked = statements(lambda: answers.append(call("POST", "/notifications/bulk", {"action": "read", "ids": ids})))
    assert answers[0].json()["changed"] == size
    # Who is it, the three of a change, what to tell the sockets, and the counts (2).
    assert len(asked) == 7, asked


@pytest.mark.parametrize("size", [1, 60])
@pytest.mark.parametrize(("path", "number"), [("", 2), ("?tag=work&read=false&limit=100", 2), ("/counts", 3)])
def test_reading_the_inbox(producer: User, alice: User, size: int, path: str, number: int) -> None:
    factories.accept(producer, *[factories.submission("alice", tags=["work"]) for _ in range(size)])
    factories.process()
    call = Caller(alice)
    assert len(statements(lambda: call.get(f"/notifications{path}"))) == number


@pytest.mark.parametrize("size", [1, 60])
def test_a_look_at_what_is_due(producer: User, size: int) -> None:
    factories.accept(producer, *[factories.submission("alice", priority="high") for _ in range(size)])
    asked = statements(lambda: (events.due_lanes(now=NOW), ledger.due(now=NOW + timedelta(days=1))))
    assert len(asked) == 2
