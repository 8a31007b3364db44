"""Webhooks: a real receiver is told each end once, signed, again when it fails, and nobody private is called."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core import queue
from core.models import User
from delivery import retry, webhooks
from notifications import webhooks as book
from notifications.models import Delivery, Webhook, WebhookCall
from notifications.models.webhook import CallState
from notifications.webhooks import OVERLAP, WebhookBody, WebhookPatch
from notifications.words import Lane
from tests import factories
from tests.deciding import tell
from tests.peers import authority
from tests.peers.http import Answer, Request, Server
from tests.peers.orders import Peer
from tests.rules.tree import ROOT
from tests.threads import at_once
from workers import sweep, tasks

pytestmark = pytest.mark.usefixtures("committed")
SNIPPET = re.search(r"```python\n(.*?)```", (ROOT / "docs/how-to/receive-webhooks.md").read_text(), re.DOTALL)
Verify = Callable[[str, dict[str, str], bytes], None]


def verifier() -> Verify:
    """verify() of the how-to, word for word."""
    assert SNIPPET
    names: dict[str, Any] = {}
    exec(re.sub(r"(?m)^ {3}", "", SNIPPET[1]), names)
    found: Verify = names["verify"]
    return found


class Receiver(Peer):
    """Verifies what comes with the secret of the webhook whose path it is; `told` is what it answers on a path."""

    def __init__(self, ours: authority.Authority) -> None:
        super().__init__()
        self.server = Server(self.handle, tls=ours.context())
        self.secrets: dict[str, str] = {}
        self._verify = verifier()

    async def handle(self, request: Request) -> Answer:
        if request.path not in self.secrets:
            return Answer(404)
        try:
            self._verify(self.secrets[request.path], request.headers, request.body)
        except ValueError as error:
            return Answer(400, str(error).encode())
        self.received.append({"key": request.headers["webhook-id"], "path": request.path, **json.loads(request.body)})
        return await self.obey(request.path, Answer(204))


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    ours = authority.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.certificates))
    made = Receiver(ours)
    with made.server, override_settings(ALLOWED_NETWORKS=["127.0.0.0/8"]):
        yield made


@pytest.fixture
def now() -> datetime:
    return timezone.now()  # the verification looks at the clock


def hook(receiver: Receiver, now: datetime, path: str = "/hook", **fields: Any) -> Webhook:
    made = book.create(WebhookBody(url=f"{receiver.server.url}{path}", **fields), now=now)
    receiver.secrets[path] = made.secret
    return made


def end(producer: User, now: datetime, *states: str) -> list[int]:
    """A delivery that ended in each of these states; their ids."""
    factories.users(len(states))
    tell(producer, *(f"user{n}" for n in range(len(states))), now=now)
    ids = list(Delivery.objects.order_by("pk").values_list("pk", flat=True))
    for id, state in zip(ids, states, strict=True):
        open_ = state == "pending"
        Delivery.objects.filter(pk=id).update(
            state=state, due_at=now if open_ else None, ended_at=None if open_ else now
        )
    return ids


def call(now: datetime, *, limit: float = 5.0) -> int:
    return webhooks.call(clock=lambda: now, limit=limit, chance=lambda: 0.5)


def rows() -> list[tuple[str, int, str, datetime | None]]:
    return list(WebhookCall.objects.order_by("pk").values_list("state", "attempts", "code", "due_at"))


def test_each_end_that_is_wanted_is_told_once_and_signed(receiver: Receiver, producer: User, now: datetime) -> None:
    made = hook(receiver, now, kinds=["sent", "failed"])
    ids = end(producer, now, "sent", "failed", "suppressed", "pending")
    assert book.gather(now=now) is True
    assert call(now) == 2
    calls = list(WebhookCall.objects.order_by("pk"))
    assert receiver.keys == [f"call_{one.pk}" for one in calls]
    told = sorted(receiver.received, key=lambda one: str(one["data"]["id"]))
    at = now.isoformat().replace("+00:00", "Z")
    assert [(one["type"], one["timestamp"], one["data"]["id"], one["data"]["state"]) for one in told] == [
        ("delivery.sent", at, str(ids[0]), "sent"),
        ("delivery.failed", at, str(ids[1]), "failed"),
    ]
    assert told[0]["data"] | {"event": None} == {
        "id": str(ids[0]),
        "event": None,
        "user": "user0",
        "type": "task.assigned",
        "channel": "email",
        "address": "u***@example.com",
        "lane": "normal",
        "state": "sent",
        "reason": "",
        "rule": "type",
        "due_at": None,
        "attempts": 0,
        "lost_claims": 0,
        "code": "",
        "provider": "",
        "provider_id": "",
        "digest": None,
        "created_at": at,
        "ended_at": at,
    }
    assert rows() == [("sent", 1, "204", None)] * 2
    later = now + OVERLAP
    assert (book.gather(now=later), call(later), len(receiver.received)) == (False, 0, 2)
    made.refresh_from_db()
    assert made.position == later


def test_what_ended_before_is_not_told_and_what_turns_up_late_is(
    receiver: Receiver, producer: User, now: datetime
) -> None:
    hook(receiver, now)
    ids = end(producer, now, "sent", "sent")
    Delivery.objects.filter(pk=ids[0]).update(ended_at=now - timedelta(seconds=1))
    Delivery.objects.filter(pk=ids[1]).update(state="pending", due_at=now, ended_at=None)
    later = now + OVERLAP
    assert book.gather(now=later) is False
    Delivery.objects.filter(pk=ids[1]).update(state="sent", due_at=None, ended_at=now + timedelta(seconds=1))
    assert book.gather(now=later) is True
    assert list(WebhookCall.objects.values_list("delivery_id", flat=True)) == [ids[1]]


def test_more_than_fit_in_one_look_come_with_the_next(
    receiver: Receiver, producer: User, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "GATHERED", 2)
    hook(receiver, now)
    end(producer, now, *["sent"] * 5)
    counts = []
    for _ in range(4):
        book.gather(now=now + OVERLAP * 3)
        counts.append(WebhookCall.objects.count())
    assert counts == [2, 4, 5, 5]


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (Answer(500, b"a bug"), "500"),
        (Answer(404), "404"),
        (Answer(302, headers={"location": "/other"}), "302"),
        ("silent", "timeout"),
    ],
)
def test_what_is_not_2xx_is_tried_again_with_the_same_id(
    receiver: Receiver, producer: User, now: datetime, order: Any, code: str
) -> None:
    hook(receiver, now)
    hook(receiver, now, "/other", kinds=["unknown"])
    end(producer, now, "sent")
    receiver.told["/hook"] = order
    book.gather(now=now)
    assert call(now, limit=0.5) == 1
    due_at = now + retry.BASE / 2
    assert rows() == [("pending", 1, code, due_at)]
    assert call(due_at - timedelta(seconds=1)) == 0
    del receiver.told["/hook"]
    assert call(due_at) == 1
    assert rows() == [("sent", 2, "204", None)]
    (id,) = WebhookCall.objects.values_list("pk", flat=True)
    assert [(one["key"], one["path"]) for one in receiver.received] == [(f"call_{id}", "/hook")] * 2


def test_retry_after_is_obeyed_and_attempts_come_to_an_end(receiver: Receiver, producer: User, now: datetime) -> None:
    hook(receiver, now)
    end(producer, now, "sent")
    receiver.told["/hook"] = Answer(429, headers={"retry-after": "17"})
    book.gather(now=now)
    call(now)
    assert rows() == [("pending", 1, "429", now + timedelta(seconds=17))]
    WebhookCall.objects.update(attempts=webhooks.MOST_ATTEMPTS - 1, due_at=now)
    call(now)
    assert rows() == [("failed", webhooks.MOST_ATTEMPTS, "429", None)]


def test_410_switches_the_webhook_off_and_ends_what_is_open(receiver: Receiver, producer: User, now: datetime) -> None:
    made = hook(receiver, now)
    end(producer, now, "sent", "failed")
    book.gather(now=now)
    last = WebhookCall.objects.order_by("pk").last()
    assert last
    WebhookCall.objects.filter(pk=last.pk).update(due_at=now + timedelta(hours=1))
    receiver.told["/hook"] = Answer(410)
    assert call(now) == 1
    made.refresh_from_db()
    assert (made.enabled, rows()) == (False, [("failed", 1, "410", None), ("failed", 0, "gone", None)])
    assert (book.gather(now=now), call(now + timedelta(hours=2)), len(receiver.received)) == (False, 0, 1)


def test_switched_on_again_it_is_told_what_ends_from_then_on(receiver: Receiver, producer: User, now: datetime) -> None:
    made = hook(receiver, now)
    ids = end(producer, now, "sent", "failed")
    Delivery.objects.filter(pk=ids[1]).update(ended_at=now + timedelta(seconds=9))
    book.change(made.pk, WebhookPatch(enabled=False), now=now)
    assert book.gather(now=now + timedelta(seconds=5)) is False
    book.change(made.pk, WebhookPatch(enabled=True), now=now + timedelta(seconds=5))
    assert book.gather(now=now + timedelta(seconds=10)) is True
    assert list(WebhookCall.objects.values_list("delivery_id", flat=True)) == [ids[1]]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_private_address_is_not_called(receiver: Receiver, producer: User, now: datetime, host: str) -> None:
    made = hook(receiver, now)
    Webhook.objects.filter(pk=made.pk).update(url=made.url.replace("127.0.0.1", host))
    end(producer, now, "sent")
    book.gather(now=now)
    with override_settings(ALLOWED_NETWORKS=[]):
        assert call(now) == 1
    assert rows() == [("failed", 1, "forbidden_address", None)]
    assert (receiver.server.connections, receiver.received) == (0, [])


def test_one_that_is_silent_does_not_stop_another(receiver: Receiver, producer: User, now: datetime) -> None:
    silent = hook(receiver, now, "/silent")
    hook(receiver, now, "/hook")
    end(producer, now, "sent")
    receiver.told["/silent"] = "silent"
    book.gather(now=now)
    call(now, limit=0.5)
    found = set(WebhookCall.objects.values_list("webhook_id", "state", "code"))
    assert (silent.pk, "pending", "timeout") in found
    assert {(state, code) for id, state, code in found if id != silent.pk} == {("sent", "204")}


def test_two_workers_at_once_make_each_call_once(receiver: Receiver, producer: User, now: datetime) -> None:
    for path in ("/one", "/two", "/three"):
        hook(receiver, now, path)
    end(producer, now, *["sent"] * 30)

    def work() -> None:
        book.gather(now=now)
        call(now)

    at_once(*[work] * 3)
    call(now)  # what was busy when the others looked
    assert (len(receiver.received), len(set(receiver.keys))) == (90, 90)
    assert rows() == [("sent", 1, "204", None)] * 90


def test_a_webhook_is_in_one_hand_and_a_lost_lease_writes_nothing(
    receiver: Receiver, producer: User, now: datetime
) -> None:
    hook(receiver, now)
    end(producer, now, "sent", "sent")
    book.gather(now=now)
    until = now + settings.LEASE
    (first,) = book.claim(limit=1, each=1, until=until, now=now)
    assert book.claim(limit=9, each=9, until=until, now=now) == []
    again = book.claim(limit=9, each=9, until=until + settings.LEASE, now=until)
    assert [(one.attempts, one.token) for one in again] == [(2, 2), (1, 1)]
    sent = book.Verdict(CallState.SENT, None, "204", "")
    assert book.record([(first, sent)], until=until, now=until) == set()
    assert book.claim(limit=9, each=9, until=until, now=until) == []  # still the second one's
    assert {state for state, *_ in rows()} == {"pending"}


def test_the_secret_is_nowhere(
    receiver: Receiver, producer: User, now: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = hook(receiver, now)
    end(producer, now, "sent", "failed")
    receiver.told["/hook"] = Answer(500, f"what is {made.secret}, password=hunter2".encode())
    book.gather(now=now)
    (claimed,) = book.claim(limit=1, each=1, until=now, now=now)
    call(now)
    shown = caplog.text + repr(claimed) + repr(made) + str(list(WebhookCall.objects.values()))
    assert "what is" in shown
    assert made.secret.removeprefix("whsec_")[:20] not in shown
    assert "hunter2" not in shown


def hinted() -> int:
    """Hints for webhooks that the dispatcher sent."""
    seen = queue.look()
    assert seen
    return seen.hints.get((queue.DISPATCHER, queue.CALL_WEBHOOKS), 0)


def test_the_sweep_asks_one_thing_more_and_hints_when_there_is_something(
    receiver: Receiver, producer: User, now: datetime
) -> None:
    end(producer, now, "sent")
    with CaptureQueriesContext(connection) as queries:
        sweep.hint_due(now=now)
    assert (len(queries), hinted()) == (3, 0)  # two for the lanes, one for webhooks
    looks = [line for line in explain(now) if "notifications_delivery " in line or "delivery_ended" in line]
    assert looks
    assert [line for line in looks if "never executed" not in line] == []
    hook(receiver, now)
    sweep.hint_due(now=now)
    assert hinted() == 1
    queue.clear(queue.CALL_WEBHOOKS, lane=Lane.NORMAL)  # as the worker does, which then dies
    sweep.hint_due(now=now)
    assert hinted() == 2
    tasks.call_webhooks(lane=Lane.NORMAL)
    sweep.hint_due(now=timezone.now())
    assert (hinted(), len(receiver.received)) == (2, 1)


def explain(now: datetime) -> list[str]:
    """The plan of the look at what ended, as it was run."""
    with connection.cursor() as cursor:
        given: dict[str, Any] = {"overlap": "30 seconds", "step": "10 seconds", "limit": 10, "now": now}
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {book._GATHER}", given)
        return [line for (line,) in cursor.fetchall()]
