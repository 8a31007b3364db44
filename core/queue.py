"""
The only door into Celery. `hint()` says "this lane has work"; it carries no work and may be lost.

While a lane has a hint outstanding it gets no second one, so that a thousand writes cost a handful of
tasks and the claim grows with the load. The worker calls `clear()` before it claims, so a write that
comes after the claim is always hinted again.
"""

from django.db import transaction
from kombu.exceptions import OperationalError

from core import logs, redis
from core.celery import app

log = logs.logger(__name__)

PROCESS_EVENTS = "workers.process_events"
DELIVER = "workers.deliver"
# Longer than a hint waits in a healthy queue, short enough that a lost one is forgotten soon.
OUTSTANDING = 5  # seconds


def queue_of(task: str, lane: str) -> str:
    """
    Each lane has a queue. Deliveries have queues of their own, and so processes of their own: a mail server
    that is silent holds up mail, never an inbox.
    """
    if task == DELIVER:
        return "deliver_urgent" if lane == "urgent" else "deliver"
    return lane


def _key(task: str, arguments: dict[str, str]) -> str:
    return ":".join(["bellhop", "hint", task, *arguments.values()])


def hint(task: str, *, lane: str, channel: str = "") -> None:
    """After the present transaction commits, tell the workers of `lane` that there is work. Never raises."""
    transaction.on_commit(lambda: send(task, lane=lane, channel=channel))


def send(task: str, *, lane: str, channel: str = "") -> bool:
    """Send the hint now unless one is outstanding. False when Redis is away."""
    arguments = {"lane": lane} | ({"channel": channel} if channel else {})
    fresh = redis.attempt(lambda r: (r.set(_key(task, arguments), 1, nx=True, ex=OUTSTANDING) or False,))
    if fresh is None:
        return False
    if fresh[0]:
        try:
            app.send_task(task, kwargs=arguments, queue=queue_of(task, lane), retry=False)
        except OperationalError as error:
            redis.trip(error)
            return False
    return True


def clear(task: str, *, lane: str, channel: str = "") -> None:
    """The worker has the hint: from now on a write is hinted again."""
    arguments = {"lane": lane} | ({"channel": channel} if channel else {})
    redis.attempt(lambda r: r.delete(_key(task, arguments)))
