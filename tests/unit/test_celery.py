"""The Celery app's own rules: where its broker is, and that time never travels in a message."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from kombu import Connection, Producer

from core import queue
from core.celery import LateWork, app, broker_url


@pytest.mark.parametrize(
    ("redis_url", "kombu_url"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("rediss://:s@redis.example:6380/1", "rediss://:s@redis.example:6380/1?ssl_cert_reqs=required"),
        ("rediss://redis.example/1?db=2", "rediss://redis.example/1?db=2&ssl_cert_reqs=required"),
        ("rediss://redis.example/1?ssl_cert_reqs=none", "rediss://redis.example/1?ssl_cert_reqs=none"),
        ("unix:///var/run/redis.sock", "redis+socket:///var/run/redis.sock?virtual_host=0"),
        ("unix:///var/run/redis.sock?db=3", "redis+socket:///var/run/redis.sock?virtual_host=3"),
    ],
)
def test_the_broker_is_the_same_redis(redis_url: str, kombu_url: str) -> None:
    assert broker_url(redis_url) == kombu_url


@pytest.fixture
def producer() -> Iterator[Producer]:
    """A broker in memory, so that a message that passes the guard has somewhere to go."""
    with Connection("memory://") as connection:
        yield connection.Producer()


@pytest.mark.parametrize(
    "late",
    [
        {"countdown": 1},
        {"eta": datetime(2026, 3, 2, tzinfo=UTC)},
        {"retries": 1},
    ],
)
@pytest.mark.parametrize("task", [queue.PROCESS_EVENTS, queue.DELIVER, "workers.sweep"])
def test_a_message_that_should_come_later_is_refused(producer: Producer, task: str, late: dict[str, Any]) -> None:
    with pytest.raises(LateWork, match=task):
        app.send_task(task, kwargs={"lane": "normal"}, queue="normal", producer=producer, **late)


def test_a_hint_passes(producer: Producer) -> None:
    app.send_task(queue.PROCESS_EVENTS, kwargs={"lane": "normal"}, queue="normal", producer=producer)
    assert producer.connection is not None
    message = producer.connection.SimpleQueue("normal").get(block=False)
    assert message.headers["task"] == "workers.process_events"


def test_time_limits_end_a_task_before_its_rows_are_claimable_again() -> None:
    from django.conf import settings

    conf = app.conf
    lease, visibility = settings.LEASE.total_seconds(), conf.broker_transport_options["visibility_timeout"]
    assert conf.task_soft_time_limit < conf.task_time_limit < lease < visibility
