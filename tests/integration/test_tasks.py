"""Hints: one for a thousand writes, cleared by the worker that takes it; and the broker they travel through."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery.contrib.testing.worker import start_worker
from django.test import override_settings
from django.utils import timezone

from core import queue, redis
from core.celery import QUEUES, app
from core.models import User
from notifications.models import Delivery, Event, Notification
from notifications.words import Lane
from tests import factories, mail
from tests.api import Caller
from tests.factories import accept, submission
from tests.integration.conftest import BlackHole
from tests.waiting import wait_until
from workers import sweep

pytestmark = pytest.mark.usefixtures("committed")


def ask(command: str, *arguments: str) -> Any:
    answer: Any = redis.attempt(lambda r: (r.execute_command(command, *arguments),))  # type: ignore[no-untyped-call]
    return answer[0]


def waiting(name: str) -> int:
    """Messages in a queue that nobody has taken."""
    return int(ask("LLEN", f"bellhop:{name}"))


def all_waiting() -> dict[str, int]:
    """The queues that are not empty."""
    return {name: count for name in QUEUES if (count := waiting(name))}


def outstanding(task: str, *arguments: str) -> bool:
    return bool(ask("EXISTS", ":".join(["bellhop", "hint", task, *arguments])))


def test_a_thousand_writes_are_one_message() -> None:
    assert all(queue.send(queue.PROCESS_EVENTS, lane="normal") for _ in range(1000))
    assert (waiting("normal"), waiting("urgent")) == (1, 0)


def test_a_thousand_events_are_one_message(producer: User) -> None:
    for _ in range(10):
        accept(producer, *[submission("alice") for _ in range(100)], now=timezone.now())
    assert waiting("normal") == 1


def test_lanes_and_channels_are_hinted_apart() -> None:
    for lane in Lane:
        for _ in range(3):
            queue.send(queue.PROCESS_EVENTS, lane=lane)
            queue.send(queue.DELIVER, lane=lane, channel="email")
            queue.send(queue.DELIVER, lane=lane, channel="push")
    # A hint for each lane; deliveries have queues of their own, one for what is urgent.
    assert all_waiting() == dict.fromkeys(Lane, 1) | {"deliver_urgent": 2, "deliver": 6}


def test_after_the_worker_has_it_a_write_is_hinted_again() -> None:
    queue.send(queue.DELIVER, lane="normal", channel="email")
    queue.clear(queue.PROCESS_EVENTS, lane="normal")
    queue.clear(queue.DELIVER, lane="normal", channel="push")
    queue.send(queue.DELIVER, lane="normal", channel="email")
    assert all_waiting() == {"deliver": 1}
    queue.clear(queue.DELIVER, lane="normal", channel="email")
    queue.send(queue.DELIVER, lane="normal", channel="email")
    assert all_waiting() == {"deliver": 2}


def test_a_hint_that_was_lost_is_forgotten_soon() -> None:
    queue.send(queue.PROCESS_EVENTS, lane="normal")
    assert 0 < int(ask("TTL", "bellhop:hint:workers.process_events:normal")) <= queue.OUTSTANDING


@pytest.fixture
def worker() -> Iterator[None]:
    """Celery's own in-process worker, on every queue; pytest-celery's fixture of this name wants Docker."""
    with start_worker(app, perform_ping_check=False, queues=list(QUEUES), shutdown_timeout=30):
        yield


def test_a_hint_reaches_the_task_and_the_task_clears_it(producer: User, alice: User, worker: None) -> None:
    with mail.MailServer() as server, override_settings(EMAIL_URL=server.url):
        accept(producer, submission("alice"), now=timezone.now())
        wait_until(lambda: Delivery.objects.filter(state="sent").exists(), what="the mail")
        assert len(server.received) == 1
    assert (Notification.objects.count(), Event.objects.get().state) == (1, "processed")
    assert not outstanding("workers.process_events", "normal")
    assert not outstanding("workers.deliver", "normal", "email")
    assert all_waiting() == {}


def test_a_message_of_a_newer_release_is_understood(producer: User, alice: User, worker: None) -> None:
    accept(producer, submission("alice", send_at="2030-01-01T00:00:00Z"))
    Event.objects.update(due_at=timezone.now())
    app.send_task(queue.PROCESS_EVENTS, kwargs={"lane": "normal", "colour": "red"}, queue="normal")
    wait_until(Notification.objects.exists, what="the line")


def test_the_sweep_hints_what_is_due_and_nothing_else(producer: User, alice: User) -> None:
    now = timezone.now()
    accept(producer, submission("alice", priority="high"), now=now)
    factories.process(now=now)
    accept(producer, submission("alice"), submission("alice", priority="low", send_at="2090-01-01T00:00:00Z"), now=now)
    redis.attempt(lambda r: r.flushdb())
    assert sweep.hint_due(now=now + timedelta(seconds=1)) is True
    assert all_waiting() == {"normal": 1, "deliver_urgent": 1}


def test_what_beat_runs_exists_and_does_not_pile_up() -> None:
    app.loader.import_default_modules()
    assert app.conf.beat_schedule
    for name, entry in app.conf.beat_schedule.items():
        assert entry["task"] in app.tasks, name
        assert entry["options"]["queue"] in app.conf.task_queues, name
        assert entry["options"]["expires"] < entry["schedule"].run_every.total_seconds(), name


def test_every_hint_has_a_queue() -> None:
    sent_to = {queue.queue_of(task, lane) for task in (queue.PROCESS_EVENTS, queue.DELIVER) for lane in Lane}
    assert sent_to == set(QUEUES) == set(app.conf.task_queues)
    assert {queue.PROCESS_EVENTS, queue.DELIVER} <= set(app.tasks)


class TestDeadRedis:
    """A Redis that takes connections and never answers: the worst kind, since nothing fails by itself."""

    def test_a_hint_is_given_up_and_the_next_does_not_even_try(self, dead_redis: BlackHole) -> None:
        assert queue.send(queue.PROCESS_EVENTS, lane="normal") is False
        assert dead_redis.callers() == 1
        assert queue.send(queue.PROCESS_EVENTS, lane="normal") is False
        queue.clear(queue.PROCESS_EVENTS, lane="normal")
        assert dead_redis.callers() == 0

    def test_an_event_is_accepted_all_the_same(self, producer: User, dead_redis: BlackHole) -> None:
        call = Caller(producer)
        body = {"type": "task.assigned", "recipients": {"users": ["alice"]}}
        took = []
        for callers in (1, 0):
            began = time.monotonic()
            assert call("POST", "/events", body).status_code == 202
            took.append(time.monotonic() - began)
            assert dead_redis.callers() == callers
        assert Event.objects.count() == 2
        # Whatever this machine needs for a request, Redis may add 300 ms to it.
        assert took[0] - took[1] <= 0.3

    def test_the_urgent_lane_is_run_right_there(self, producer: User, alice: User, dead_redis: BlackHole) -> None:
        now = timezone.now()
        with mail.MailServer() as server, override_settings(EMAIL_URL=server.url):
            accept(producer, submission("alice", priority="high"), submission("alice"), now=now)
            sweep.tick(clock=lambda: now)
            assert len(server.received) == 1
        assert list(Event.objects.order_by("id").values_list("state", flat=True)) == ["processed", "accepted"]
        assert Delivery.objects.get().state == "sent"
