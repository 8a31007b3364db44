"""
What is promised when something dies: every accepted event ends in exactly one notification per recipient,
and in at least one mail, with a second one only for what was in a dead worker's hands, and counted.
"""

import http.client
import signal
import threading
from pathlib import Path

import pytest
import redis

from core import embedded
from core.models import User
from notifications.models import Attempt, Delivery, Event, Notification
from tests import ledger, rest
from tests.processes import PROCFILE, Bellhop
from tests.proxy import Proxy
from tests.waiting import wait_until

EVENTS = 2000
ALL = ("sink", "web", "worker", "worker_urgent", "worker_delivery", "dispatcher")


def submit(bellhop: Bellhop, people: list[User], *, count: int = EVENTS) -> None:
    """So many events, one recipient each, in batches; every one is answered with an id."""
    token = bellhop.token("producer")
    for start in range(0, count, 500):
        body = {
            "events": [
                {
                    "type": "task.updated",
                    "recipients": {"users": [people[number % len(people)].username]},
                    "title": f"Task {number}",
                }
                for number in range(start, min(start + 500, count))
            ]
        }
        answer = rest.call(bellhop, "POST", "/events/batch", body, token=token)
        assert answer.status == 202
        assert all("id" in result for result in answer.body["results"])


def assert_nothing_lost(bellhop: Bellhop, *, count: int = EVENTS) -> None:
    ledger.wait_until_settled(within=150)
    assert Event.objects.filter(state="processed").count() == count
    ledger.assert_inboxes_exact(notifications=count)
    ledger.assert_mail_complete(bellhop)
    assert Delivery.objects.count() == count


def test_worker_killed_in_the_middle(bellhop: Bellhop, people: list[User]) -> None:
    bellhop.start(*ALL)
    submit(bellhop, people)
    wait_until(lambda: len(bellhop.mails()) > 100, what="the workers being busy")
    for name in ("worker", "worker_delivery"):
        bellhop[name].kill()
    in_flight = Delivery.objects.filter(in_flight=True).count()
    bellhop.start("worker", "worker_delivery")
    assert_nothing_lost(bellhop)
    assert sum(ledger.assert_mail_complete(bellhop).values()) <= in_flight


def test_redis_flushed_in_the_middle(bellhop: Bellhop, people: list[User], valkey_dir: Path) -> None:
    bellhop.start(*ALL)
    submit(bellhop, people)
    wait_until(lambda: Notification.objects.count() > 100, what="the workers being busy")
    flush(valkey_dir)
    assert not ledger.settled()
    assert_nothing_lost(bellhop)
    assert Delivery.objects.filter(lost_claims__gt=0).count() == 0


def flush(valkey_dir: Path) -> None:
    redis.Redis.from_url(embedded.urls(data_dir=valkey_dir).redis_url).flushall()


def test_redis_stopped_for_twenty_seconds(bellhop: Bellhop, people: list[User], valkey_dir: Path) -> None:
    bellhop.start(*ALL)
    submit(bellhop, people, count=1000)
    wait_until(lambda: Notification.objects.exists(), what="the workers being busy")
    embedded.stop(data_dir=valkey_dir)
    stopped = threading.Event()
    threading.Timer(20, stopped.set).start()
    submit(bellhop, people, count=500)  # nobody is refused meanwhile
    urgent = rest.call(
        bellhop,
        "POST",
        "/events",
        {"type": "task.updated", "recipients": {"users": [people[0].username]}, "priority": "critical"},
        token=bellhop.token("producer"),
    )
    wait_until(
        lambda: Delivery.objects.filter(notification__event_id=urgent.body["id"], state="sent").exists(),
        what="the dispatcher running the urgent lane without Redis",
    )
    assert not stopped.is_set()
    stopped.wait()
    embedded.start(data_dir=valkey_dir, postgres=False)
    # Celery 5.7 now and then ends a worker whose connection is cut ("Error on stopping Hub"); its supervisor
    # starts it again (core/supervisor.py, SETUP.md 5), and here the test does.
    for process in bellhop.ended():
        assert "Error on stopping Hub" in process.log.read_text(), f"{process.name} ended for another reason"
        process.start()
    assert_nothing_lost(bellhop, count=1501)


def test_web_killed_between_commit_and_hint(bellhop: Bellhop, people: list[User], proxy: Proxy) -> None:
    bellhop.start("sink", "web")
    token = bellhop.token("producer")
    killed = threading.Event()

    def kill_at_hint(piece: bytes) -> bool:
        if b"bellhop:hint:workers.process_events" in piece and not killed.is_set():
            bellhop["web"].kill()
            killed.set()
            return False
        return True

    proxy.on_request = kill_at_hint
    body = {"type": "task.updated", "recipients": {"users": [people[0].username]}}
    # The producer never hears of it, and would send again with its Idempotency-Key.
    with pytest.raises((OSError, http.client.HTTPException)):
        rest.call(bellhop, "POST", "/events", body, token=token)
    assert killed.wait(5)
    assert Event.objects.get().state == "accepted"
    bellhop.start("worker", "worker_delivery", "dispatcher")
    assert_nothing_lost(bellhop, count=1)


def test_worker_killed_between_commit_and_publish(bellhop: Bellhop, people: list[User], proxy: Proxy) -> None:
    bellhop.start("sink", "web", "worker", "worker_delivery", "dispatcher")
    killed = threading.Event()

    def kill_at_publish(piece: bytes) -> bool:
        if b"PUBLISH" in piece and b"bellhop:live" in piece and not killed.is_set():
            bellhop["worker"].kill()
            killed.set()
            return False
        return True

    proxy.on_request = kill_at_publish
    submit(bellhop, people, count=10)
    assert killed.wait(20)
    assert Notification.objects.count() == 10  # committed before it was published
    bellhop.start("worker")
    assert_nothing_lost(bellhop, count=10)


def test_worker_frozen_longer_than_its_lease_records_nothing(bellhop: Bellhop, people: list[User]) -> None:
    # When it wakes, its parent must not end the task before it has tried to record.
    bellhop.add("worker_delivery", PROCFILE["worker_delivery"] + " --soft-time-limit 600 --time-limit 900")
    bellhop.start("sink", "web", "worker", "worker_delivery", "dispatcher")
    submit(bellhop, people, count=500)
    wait_until(lambda: len(bellhop.mails()) > 20, what="the worker being busy")
    bellhop["worker_delivery"].signal(signal.SIGSTOP)
    held = set(Delivery.objects.filter(in_flight=True).values_list("pk", flat=True))
    assert held
    bellhop.add("second", PROCFILE["worker_delivery"].replace("delivery@", "second@"))
    bellhop.start("second")
    ledger.wait_until_settled()
    recorded = list(Attempt.objects.filter(delivery_id__in=held).order_by("pk").values_list("delivery_id", "token"))
    bellhop["worker_delivery"].signal(signal.SIGCONT)
    wait_until(
        lambda: "delivery.lease_lost" in bellhop["worker_delivery"].log.read_text(), what="the frozen worker going on"
    )
    assert_nothing_lost(bellhop, count=500)
    assert (
        list(Attempt.objects.filter(delivery_id__in=held).order_by("pk").values_list("delivery_id", "token"))
        == recorded
    )
