"""
A virtual clock: the real engine, in a time that stands still until it is told to move on.

Every open row has a `due_at`, so the engine needs nobody to wake it: the clock jumps from one `due_at` to the next
and lets what is due there run in this process, without Celery and without Redis. For tests; a worker beside it
would look at the same rows with another time. docs/how-to/test-with-the-virtual-clock.md
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Min

from delivery import dispatch, registry
from notifications import breakers, ledger, schedules
from notifications.models import Delivery, Event, Schedule
from notifications.words import Lane
from workers import pipeline

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART = re.compile(r"(\d+(?:\.\d+)?) ?(s|m|h|d|w|sec(?:ond)?s?|min(?:ute)?s?|hours?|days?|weeks?)(?![a-z])[ ,]*")
# Retries wait as long as they ever may (10 s, 20 s, 40 s, ...), so that every run is the same.
_CHANCE = 1.0


class Stuck(RuntimeError):
    """Rows stay due although everything that is due was run; somebody else holds them, or they never end."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What was due at one moment, and how many notifications came of it."""

    at: datetime
    schedules: int = 0
    events: int = 0
    notifications: int = 0
    deliveries: int = 0  # looked at: sent, held back, put off or gathered


@dataclass(frozen=True, slots=True)
class _Due:
    """The rows that are due, each with what changes when work on it gets on."""

    schedules: frozenset[tuple[object, ...]]
    events: frozenset[tuple[object, ...]]
    deliveries: frozenset[tuple[object, ...]]

    def __bool__(self) -> bool:
        return bool(self.schedules or self.events or self.deliveries)


class VirtualClock:
    """
    Give it to whatever takes a `clock`, and its `now` to whatever takes a `now`. It only goes forward.

    The same steps on the same rows give the same report and leave the same rows, ids apart.
    """

    def __init__(self, start: datetime) -> None:
        self.now = start.astimezone(UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta | str) -> list[Ran]:
        """
        Go forward by a timedelta or a text ("8 hours", "90 minutes", "1 day 2h") and run what becomes due on the
        way, each at its own moment. Raises ValueError for what is no duration, and Stuck.
        """
        return self.advance_to(self.now + (duration(by) if isinstance(by, str) else by))

    def advance_to(self, moment: datetime | str) -> list[Ran]:
        """The same, to a moment: with its offset, as "2026-03-29T09:00+01:00". Raises ValueError, and Stuck."""
        moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        if moment.tzinfo is None:
            raise ValueError("The moment needs an offset from UTC: 2026-03-29T09:00+01:00.")
        if moment < self.now:
            raise ValueError(f"The clock only goes forward; it is {self.now:%Y-%m-%dT%H:%M:%SZ}.")
        return list(self._run_until(moment.astimezone(UTC)))

    def run_due(self) -> list[Ran]:
        """Run what is due now. Empty when nothing is. Raises Stuck."""
        return self.advance_to(self.now)

    def _run_until(self, end: datetime) -> Iterator[Ran]:
        while (due_at := _earliest(self.now)) is not None and due_at <= end:
            self.now = max(self.now, due_at)
            yield self._run_moment()
        self.now = end

    def _run_moment(self) -> Ran:
        """Run until nothing is due at this moment: what runs makes other rows due."""
        schedules_: set[object] = set()
        events_: set[object] = set()
        deliveries_: set[object] = set()
        notifications = 0
        before: _Due | None = None
        while due := _due(self.now):
            if due == before:
                raise Stuck(f"At {self.now:%Y-%m-%dT%H:%M:%SZ} these stay due: {_listed(due)}.")
            before = due
            schedules_ |= {row[0] for row in due.schedules}
            events_ |= {row[0] for row in due.events}
            deliveries_ |= {row[0] for row in due.deliveries}
            notifications += self._run(due)
        return Ran(self.now, len(schedules_), len(events_), notifications, len(deliveries_))

    def _run(self, due: _Due) -> int:
        """One turn of what comes first; how many notifications."""
        if due.schedules:
            schedules.run_due(now=self.now)
        elif due.events:
            return sum(pipeline.process_events(lane=lane, clock=self) for lane in Lane)
        else:
            ledger.end_switched_off(channels=list(settings.DELIVERY_CHANNELS), now=self.now)
            for lane in Lane:
                for channel in settings.DELIVERY_CHANNELS:
                    dispatch.deliver(channel=channel, lane=lane, clock=self, chance=lambda: _CHANCE)
        return 0


def duration(text: str) -> timedelta:
    """The time that a text like "8 hours", "1 day 2h" or "1.5 minutes" names. Raises ValueError."""
    total, place = timedelta(0), 0
    while match := _PART.match(text, place):
        total += timedelta(**{_UNITS[match[2][0]]: float(match[1])})
        place = match.end()
    if not text or place != len(text):
        raise ValueError(f"{text!r} is no duration; write it like '8 hours', '90 minutes' or '1 day 2h'.")
    return total


def _earliest(now: datetime) -> datetime | None:
    """The earliest `due_at` of any open row; of a channel whose providers are left alone, not before the next probe."""
    found = [table._default_manager.aggregate(at=Min("due_at"))["at"] for table in (Schedule, Event)]
    for channel, due_at in Delivery.objects.filter(due_at__isnull=False).values_list("channel").annotate(Min("due_at")):
        probe_at = _blocked(now).get(channel)
        found.append(max(due_at, probe_at) if probe_at else due_at)
    return min((at for at in found if at is not None), default=None)


def _blocked(now: datetime) -> dict[str, datetime]:
    """The channels whose providers are all left alone by their breakers, and until when."""
    probes = {name: breakers.next_probe(registry.providers(name), now=now) for name in settings.DELIVERY_CHANNELS}
    return {name: at for name, at in probes.items() if at}


def _due(now: datetime) -> _Due:
    deliveries = Delivery.objects.filter(due_at__lte=now).exclude(channel__in=_blocked(now))
    return _Due(
        schedules=frozenset(Schedule.objects.filter(due_at__lte=now).values_list("pk", "due_at")),
        events=frozenset(Event.objects.filter(due_at__lte=now).values_list("pk", "state", "cursor", "attempts")),
        deliveries=frozenset(deliveries.values_list("pk", "channel", "attempts")),
    )


def _listed(due: _Due) -> str:
    """Rows for people: kind and id."""
    kinds = {"schedule": due.schedules, "event": due.events, "delivery": due.deliveries}
    return ", ".join(f"{kind} {row[0]}" for kind, rows in kinds.items() for row in sorted(rows, key=str))
