"""
The story of an event: claim it, cut its audience into chunks, persist each chunk, tell the sockets.

Plain Python, called by the Celery task, by the dispatcher while Redis is away, and by tests.
docs/architecture.md walks through it.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, transaction

from core import logs, queue, traces
from notifications import digests, events, inbox, ledger, live, recipients, retraction, shapes
from notifications.words import Change, EventState, Lane
from workers import planning, routing, wording

log = logs.logger(__name__)

AT_ONCE = 200  # events in one claim
TIME_BOX = 2.0  # seconds; then the lane is handed on, so that others in it get their turn


def process_events(*, lane: Lane, clock: Callable[[], datetime]) -> int:
    """
    Turn the due events of a lane into notifications, deliveries and live changes. Returns how many lines.

    Safe to run twice and at once: a claim is exclusive, lines are unique by (event, recipient), and what a
    dead worker left is claimed again when its lease ends, from the cursor on.
    """
    stop_at = time.monotonic() + TIME_BOX
    planner = planning.Planner()
    lines, at_once = 0, AT_ONCE
    while claimed := events.claim(lane=lane, limit=at_once, now=clock()):
        for event in [event for event in claimed if event.state == EventState.RETRACTING]:
            _withdraw(event, clock=clock, stop_at=stop_at)
        claimed = [event for event in claimed if event.state == EventState.PROCESSING]
        fresh = [event for event in claimed if event.attempts == 1]
        suspects = [event for event in claimed if event.attempts > 1]
        lines += _together(fresh, planner=planner, clock=clock, stop_at=stop_at)
        if suspects:
            # One of them may have ended the worker that held it. Alone, it takes nobody with it.
            events.release(suspects[1:], now=clock())
            lines += _alone(suspects[0], planner=planner, clock=clock, stop_at=stop_at)
            at_once = 1
        if time.monotonic() > stop_at:
            if events.due_lanes(now=clock()):
                queue.send(queue.PROCESS_EVENTS, lane=lane)
            break
    return lines


def _together(
    claimed: list[events.Claimed], *, planner: planning.Planner, clock: Callable[[], datetime], stop_at: float
) -> int:
    """Many events as one. If one of them is bad, each for itself: the others must not wait for it."""
    try:
        return _expand(claimed, planner=planner, clock=clock, stop_at=stop_at)
    except OperationalError:
        raise  # the database is away: the leases bring the events back
    except Exception:
        log.exception("events.chunk_failed", events=len(claimed))
        return sum(_alone(event, planner=planner, clock=clock, stop_at=stop_at) for event in claimed)


def _alone(event: events.Claimed, *, planner: planning.Planner, clock: Callable[[], datetime], stop_at: float) -> int:
    """One event, from the last chunk that was committed. It must come to an end, whatever it does."""
    event.cursor = event.committed
    if event.attempts > settings.MAX_ATTEMPTS:
        events.fail(event, error=event.error or "each worker that held it died", now=clock())
        return 0
    try:
        return _expand([event], planner=planner, clock=clock, stop_at=stop_at)
    except OperationalError as error:
        events.note(event, error=str(error))
        raise
    except Exception as error:
        with logs.tracing(event.trace_id):
            log.exception("event.failed", event_id=str(event.id), attempts=event.attempts)
        events.postpone(event, error=f"{type(error).__name__}: {error}", now=clock())
        return 0


def process_claimed(claimed: list[events.Claimed], *, clock: Callable[[], datetime]) -> int:
    """Turn events that the caller has just claimed into lines, deliveries and live changes. How many lines."""
    return _together(claimed, planner=planning.Planner(), clock=clock, stop_at=time.monotonic() + TIME_BOX)


def _withdraw(event: events.Claimed, *, clock: Callable[[], datetime], stop_at: float) -> None:
    """Take back the lines of a retracted event, chunk by chunk, until none is left or the time is up."""
    if event.attempts > settings.MAX_ATTEMPTS:
        events.fail(event, error=event.error or "withdrawing its lines failed each time", now=clock())
        return
    try:
        while not retraction.work(event, now=clock()):
            if time.monotonic() > stop_at:
                events.release([event], now=clock())
                return
    except OperationalError:
        raise
    except Exception as error:
        log.exception("event.withdrawal_failed", trace_id=event.trace_id, event_id=str(event.id))
        events.postpone(event, error=f"{type(error).__name__}: {error}", now=clock())


def _expand(
    claimed: list[events.Claimed], *, planner: planning.Planner, clock: Callable[[], datetime], stop_at: float
) -> int:
    now = clock()
    for event in [e for e in claimed if e.expires_at and e.expires_at <= now]:
        events.expire(event, now=now)
        claimed = [e for e in claimed if e is not event]
    lines = 0
    waiting = list(claimed)
    for chunk in recipients.chunks(claimed, limit=settings.CHUNK):
        lines += persist(chunk, planner=planner, now=clock())
        for step in chunk.steps:
            step.event.committed = step.cursor
        done = {step.event.id for step in chunk.steps if step.done}
        waiting = [event for event in waiting if event.id not in done]
        if waiting and time.monotonic() > stop_at:
            events.release(waiting, now=clock())
            break
    return lines


def persist(chunk: recipients.Chunk, *, planner: planning.Planner, now: datetime) -> int:
    """
    Write one chunk in one transaction, then publish it in one Redis message. Returns how many lines are new.

    At most six statements whatever the number of lines (tests/integration/test_query_counts.py). Somebody who
    changes what they chose while the chunk is being written gets what they chose: then it is decided anew.
    """
    try:
        with transaction.atomic():
            added, planned = _write(chunk, planner=planner, now=now)
    except _OutOfDate:
        recipients.read_again(chunk)
        return persist(chunk, planner=planner, now=now)
    _tell(chunk, added, writer=planner.writer, now=now)
    for channel, lane in {(p.channel, p.lane) for p in planned if p.due_at <= now}:
        queue.hint(queue.DELIVER, lane=lane, channel=channel)
    return len(added)


class _OutOfDate(Exception):
    """A person of the chunk changed what they chose after it was read."""


def _write(
    chunk: recipients.Chunk, *, planner: planning.Planner, now: datetime
) -> tuple[list[inbox.Added], list[ledger.Planned]]:
    ours = events.advance(chunk.steps, now=now)
    given: list[inbox.Given] = []
    lines: dict[tuple[UUID, int], tuple[events.Claimed, recipients.Recipient, planning.Decided]] = {}
    for event, recipient in chunk.lines:
        if event.id in ours:
            decided = planner.decide(event, recipient, now=now)
            lines[event.id, recipient.user_id] = event, recipient, decided
            words = planner.writer.words(event, recipient, now=now)
            given.append(inbox.Given(event.id, recipient.user_id, decided.plan.visible, decided.text, *words))
    added = inbox.add(given, now=now) if given else []
    planned: list[ledger.Planned] = []
    gathering: dict[tuple[int, str], tuple[events.Claimed, recipients.Recipient, routing.Leg]] = {}
    for line in added:
        event, recipient, decided = lines[line.event_id, line.user_id]
        if line.choices is not None and line.choices != recipient.stamp:
            raise _OutOfDate
        for leg in decided.plan.legs:
            planned += [
                ledger.Planned(
                    notification_id=line.id,
                    channel=leg.channel,
                    address=address,
                    lane=event.lane,
                    reason=leg.reason or "",
                    rule=leg.rule,
                    due_at=leg.due_at,
                )
                for address in recipient.addresses(leg.channel)
            ]
            if leg.gathered:
                gathering[line.id, leg.channel] = event, recipient, leg
    written = ledger.add(planned, now=now)
    digests.gather(
        [
            planning.gathered(delivery, *gathering[delivery.notification_id, delivery.channel])
            for delivery in written
            if (delivery.notification_id, delivery.channel) in gathering
        ],
        now=now,
    )
    return added, planned


def _tell(chunk: recipients.Chunk, added: list[inbox.Added], *, writer: wording.Writer, now: datetime) -> None:
    """One message for the chunk; what recipients of an event share, words included, is encoded once."""
    shared: list[str] = []
    trace_ids: list[str] = []
    index: dict[tuple[UUID, wording.Words], int] = {}
    people = {(event.id, recipient.user_id): (event, recipient) for event, recipient in chunk.lines}
    lines = []
    for line in added:
        if line.rev is None:
            continue
        event, recipient = people[line.event_id, line.user_id]
        title, body = words = writer.words(event, recipient, now=now)
        if (event.id, words) not in index:
            index[event.id, words] = len(shared)
            said = shapes.created_json(
                event, title=event.title if title is None else title, body=event.body if body is None else body, now=now
            )
            shared.append(live.shared_text(said))
            trace_ids.append(event.trace_id)
        lines.append(
            live.Line(
                user_id=line.user_id,
                seq=line.rev,
                change=Change.CREATED,
                unread=line.unread or 0,
                unseen=line.unseen or 0,
                own=live.own_text(id=line.id, rev=line.rev),
                index=index[event.id, words],
            )
        )
    committed = datetime.now(UTC)
    told = live.publish(lines, shared=shared, trace_ids=trace_ids) if lines else True
    for step in chunk.steps:
        traces.record("process", trace_id=step.event.trace_id, began=now, ended=committed)
        traces.record("publish", trace_id=step.event.trace_id, began=committed)
        log.info(
            "event.persisted",
            trace_id=step.event.trace_id,
            event_id=str(step.event.id),
            done=step.done,
            unknown=len(step.unknown_users),
            published=told,
        )
