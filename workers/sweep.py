"""Sweeps: what is due is hinted, whoever forgot it. While Redis is away the urgent lane is run right here."""

from collections.abc import Callable
from datetime import datetime

from django.conf import settings

from core import logs, queue, redis
from delivery import dispatch
from notifications import events, ledger, schedules, webhooks
from notifications.words import Lane
from workers import pipeline

log = logs.logger(__name__)


def hint_due(*, now: datetime, by: str = queue.DISPATCHER) -> bool:
    """Hint every lane that has due rows. False when Redis is away. Three queries; safe to run twice and at once."""
    reached = True
    queue.sign(by, now=now)
    for lane in events.due_lanes(now=now):
        reached &= queue.send(queue.PROCESS_EVENTS, lane=lane, by=by)
    for due in ledger.due(now=now):
        if due.channel in settings.DELIVERY_CHANNELS:
            reached &= queue.send(queue.DELIVER, lane=due.lane, channel=due.channel, by=by)
        else:
            ended = ledger.end_switched_off(channels=list(settings.DELIVERY_CHANNELS), now=now)
            log.warning("sweep.channel_switched_off", channel=due.channel, deliveries=ended)
    if webhooks.gather(now=now):
        reached &= queue.send(queue.CALL_WEBHOOKS, lane=Lane.NORMAL, by=by)
    return reached


def run_urgent(*, clock: Callable[[], datetime]) -> None:
    """Do the urgent lane's work in this process: what matters most does not wait for Redis."""
    lines = pipeline.process_events(lane=Lane.URGENT, clock=clock)
    sent = sum(
        dispatch.deliver(channel=channel, lane=Lane.URGENT, clock=clock) for channel in settings.DELIVERY_CHANNELS
    )
    if lines or sent:
        log.warning("dispatcher.ran_urgent_lane", lines=lines, deliveries=sent)


def tick(*, clock: Callable[[], datetime]) -> None:
    """One turn of the dispatcher."""
    if not hint_due(now=clock()) or not redis.available():
        run_urgent(clock=clock)
    schedules.run_due(now=clock())  # last, and not first: nothing that is due waits for what is about to be
