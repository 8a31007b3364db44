"""The Celery tasks: take the hint, clear it, call once. The work and its story are in pipeline and dispatch."""

from django.utils import timezone

from core import queue
from core.celery import app
from delivery import dispatch, webhooks
from notifications import schedules
from notifications.words import Lane
from workers import pipeline, sweep


@app.task(name=queue.PROCESS_EVENTS)
def process_events(*, lane: str, **_: object) -> None:  # **_: old workers survive newer publishers
    """A lane has events."""
    queue.clear(queue.PROCESS_EVENTS, lane=lane)
    pipeline.process_events(lane=Lane(lane), clock=timezone.now)


@app.task(name=queue.DELIVER)
def deliver(*, lane: str, channel: str, **_: object) -> None:
    """A channel has deliveries in a lane."""
    queue.clear(queue.DELIVER, lane=lane, channel=channel)
    dispatch.deliver(channel=channel, lane=Lane(lane), clock=timezone.now)


@app.task(name=queue.CALL_WEBHOOKS)
def call_webhooks(*, lane: str, **_: object) -> None:
    """Webhooks have calls."""
    queue.clear(queue.CALL_WEBHOOKS, lane=lane)
    webhooks.call(clock=timezone.now)


@app.task(name="workers.sweep")
def sweep_lanes(**_: object) -> None:
    """Beat's own look at what is due, beside the dispatcher's."""
    sweep.hint_due(now=timezone.now(), by=queue.BEAT)
    schedules.run_due(now=timezone.now())
