"""
The only door into Celery. `hint()` says "this lane has work"; it carries no work and may be lost.

While a lane has a hint outstanding it gets no second one, so that a thousand writes cost a handful of
tasks and the claim grows with the load. The worker calls `clear()` before it claims, so a write that
comes after the claim is always hinted again.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import transaction
from kombu.exceptions import OperationalError

from core import logs, redis
from core.celery import QUEUES, app

if TYPE_CHECKING:
    from redis import Redis

log = logs.logger(__name__)

PROCESS_EVENTS = "workers.process_events"
DELIVER = "workers.deliver"
CALL_WEBHOOKS = "workers.call_webhooks"
# Longer than a hint waits in a healthy queue, short enough that a lost one is forgotten soon.
OUTSTANDING = 5  # seconds
# Who sends a hint. Sweeps find what a lost hint left, and what waited for its time.
WRITE, DISPATCHER, BEAT = "write", "dispatcher", "beat"
SENT, SEEN = "bellhop:hints", "bellhop:sweeps"  # hashes: hints sent by whom and for what; when each sweep last ran


def queue_of(task: str, lane: str) -> str:
    """
    Each lane has a queue. Deliveries have queues of their own, and so processes of their own: a mail server
    that is silent holds up mail, never an inbox.
    """
    if task in (DELIVER, CALL_WEBHOOKS):
        return "deliver_urgent" if lane == "urgent" else "deliver"
    return lane


def _key(task: str, arguments: dict[str, str]) -> str:
    return ":".join(["bellhop", "hint", task, *arguments.values()])


def hint(task: str, *, lane: str, channel: str = "") -> None:
    """After the present transaction commits, tell the workers of `lane` that there is work. Never raises."""
    transaction.on_commit(lambda: send(task, lane=lane, channel=channel))


def send(task: str, *, lane: str, channel: str = "", by: str = WRITE) -> bool:
    """Send the hint now unless one is outstanding, and count who sent it. False when Redis is away."""
    arguments = {"lane": lane} | ({"channel": channel} if channel else {})
    fresh = redis.attempt(lambda r: (r.set(_key(task, arguments), 1, nx=True, ex=OUTSTANDING) or False,))
    if fresh is None:
        return False
    if fresh[0]:
        try:
            app.send_task(task, kwargs=arguments, queue=queue_of(task, lane), retry=False)
            redis.attempt(lambda r: r.hincrby(SENT, f"{by} {task}"))
        except OperationalError as error:
            redis.trip(error)
            return False
    return True


def clear(task: str, *, lane: str, channel: str = "") -> None:
    """The worker has the hint: from now on a write is hinted again."""
    arguments = {"lane": lane} | ({"channel": channel} if channel else {})
    redis.attempt(lambda r: r.delete(_key(task, arguments)))


def sign(by: str, *, now: datetime) -> None:
    """This sweep runs: whoever asks whether it does finds the time in Redis."""
    redis.attempt(lambda r: r.hset(SEEN, by, now.timestamp()))


class Sight(NamedTuple):
    """What Redis knows of the muscle. All of it starts anew when Redis is emptied."""

    hints: dict[tuple[str, str], int]  # sent, by (who, task)
    swept_at: dict[str, float]  # the Unix time of each sweep's last turn
    waiting: dict[str, int]  # messages in each queue


def look() -> Sight | None:
    """One round trip. None when Redis is away."""

    def ask(client: "Redis") -> list[Any]:
        pipeline = client.pipeline(transaction=False)
        pipeline.hgetall(SENT)
        pipeline.hgetall(SEEN)
        for name in QUEUES:
            pipeline.llen(f"{app.conf.broker_transport_options['global_keyprefix']}{name}")
        return list(pipeline.execute())

    answer = redis.attempt(ask)
    if answer is None:
        return None
    hints, seen, *lengths = answer
    counted: dict[tuple[str, str], int] = {}
    for key, count in hints.items():
        by, _, task = key.decode().partition(" ")
        counted[by, task] = int(count)
    return Sight(
        hints=counted,
        swept_at={by.decode(): float(at) for by, at in seen.items()},
        waiting=dict(zip(QUEUES, lengths, strict=True)),
    )


def consumers(*, timeout: float) -> dict[str, list[str]]:
    """By queue, the workers that said within `timeout` seconds that they read it. Raises OperationalError."""
    with app.connection_for_read() as connection:
        answers = app.control.inspect(timeout=timeout, connection=connection).active_queues() or {}
    found: dict[str, list[str]] = {name: [] for name in QUEUES}
    for worker, queues in sorted(answers.items()):
        for one in queues:
            found.setdefault(one["name"], []).append(worker)
    return found
