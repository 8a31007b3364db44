"""The one window in which a mail can go twice: taken by the mail server, and not yet recorded by us."""

import threading
from collections.abc import Iterator

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.db import connection

from core.models import User
from notifications.models import Attempt, Delivery, Notification, Type
from tests import ledger, rest
from tests.processes import Bellhop
from tests.waiting import wait_until


class Killer:
    """A mail server's handler that keeps each mail, and kills the worker after the first, before it answers."""

    def __init__(self, bellhop: Bellhop) -> None:
        self._bellhop = bellhop
        self.message_ids: list[str] = []
        self.killed = threading.Event()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        (line,) = [one for one in envelope.content.splitlines() if one.lower().startswith(b"message-id:")]
        self.message_ids.append(line.decode())
        if not self.killed.is_set():
            self._bellhop["worker_delivery"].kill()
            self.killed.set()
        return "250 stored"


@pytest.fixture
def killer(bellhop: Bellhop) -> Iterator[Killer]:
    handler = Killer(bellhop)
    controller = Controller(handler, hostname="127.0.0.1", port=bellhop.smtp_port)
    controller.start()
    yield handler
    controller.stop()


@pytest.fixture
def must_not_repeat(committed: None) -> Iterator[None]:
    Type.objects.filter(key="task.completed").update(resend_unknown=False)
    yield
    Type.objects.filter(key="task.completed").update(resend_unknown=True)


def send_one(bellhop: Bellhop, killer: Killer, *, type: str, to: User) -> None:
    """One event whose mail is taken by the server just as the worker dies; then a new worker comes."""
    bellhop.start("web", "worker", "worker_delivery", "dispatcher")
    body = {"type": type, "recipients": {"users": [to.username]}}
    assert rest.call(bellhop, "POST", "/events", body, token=bellhop.token("producer")).status == 202
    assert killer.killed.wait(30)
    assert list(Delivery.objects.values_list("state", "in_flight", "lost_claims")) == [("pending", True, 0)]
    assert not Attempt.objects.exists()
    bellhop.start("worker_delivery")
    ledger.wait_until_settled()


def test_the_second_mail_has_the_same_key_and_is_counted(bellhop: Bellhop, killer: Killer, people: list[User]) -> None:
    send_one(bellhop, killer, type="task.updated", to=people[0])
    assert len(killer.message_ids) == 2
    assert len(set(killer.message_ids)) == 1
    assert list(Delivery.objects.values_list("state", "attempts", "lost_claims")) == [("sent", 2, 1)]
    assert list(Attempt.objects.values_list("token", "result")) == [(2, "sent")]
    assert '"duplicate_suspected": true' in bellhop["worker_delivery"].log.read_text()


def test_a_type_that_forbids_it_is_not_sent_again(
    bellhop: Bellhop, killer: Killer, people: list[User], must_not_repeat: None
) -> None:
    send_one(bellhop, killer, type="task.completed", to=people[0])
    assert len(killer.message_ids) == 1
    assert list(Delivery.objects.values_list("state", "reason", "lost_claims")) == [("unknown", "lease_lost", 1)]


def test_postgres_ends_every_connection(bellhop: Bellhop, people: list[User]) -> None:
    """As a restart or a failover does. Everything goes on by itself, and nothing is lost."""
    bellhop.start("sink", "web", "ws", "worker", "worker_urgent", "worker_delivery", "dispatcher")
    token = bellhop.token("producer")

    def post(number: int) -> rest.Answer:
        body = {"type": "task.updated", "recipients": {"users": [person.username for person in people]}}
        return rest.call(bellhop, "POST", "/events", body | {"title": f"Task {number}"}, token=token)

    assert post(1).status == 202
    wait_until(Notification.objects.exists, what="the workers being busy")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert cursor.fetchone()[0] >= 3  # web, worker, dispatcher
    wait_until(lambda: post(2).status == 202, what="web taking events again")
    ledger.wait_until_settled()
    events = {event["status"] for event in rest.call(bellhop, "GET", "/events", token=token).body["results"]}
    assert events == {"processed"}
    ledger.assert_inboxes_exact(notifications=Notification.objects.values("event_id", "user_id").distinct().count())
    ledger.assert_mail_complete(bellhop)
