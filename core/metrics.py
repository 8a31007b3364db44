"""
GET /metrics: what stands in PostgreSQL and Redis, as Prometheus reads it.

Every process would answer the same, so it does not matter which one is asked: nothing here is counted in a process.
"""

import platform
from collections.abc import Iterator
from datetime import datetime

import django
from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from core import queue
from notifications import gauges
from notifications.gauges import Backlog, Gauges
from notifications.words import BreakerState, Lane


@never_cache
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """With `Authorization: Bearer METRICS_TOKEN`, or for staff who are signed in. 503 while PostgreSQL is away."""
    if not _may_see(request):
        return _text("Send METRICS_TOKEN as a Bearer token.\n", status=401, headers={"WWW-Authenticate": "Bearer"})
    try:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Taken(list(families(gauges.read(now=timezone.now()), queue.look()))))
    except Error:
        return _text("PostgreSQL is away, or took too long.\n", status=503)
    return _text(generate_latest(registry).decode())


def _may_see(request: HttpRequest) -> bool:
    # Not by address: behind a proxy on the same machine everybody comes from it.
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if settings.METRICS_TOKEN and scheme == "Bearer":
        return constant_time_compare(token, settings.METRICS_TOKEN)
    return bool(request.user.is_active and getattr(request.user, "is_staff", False))


def _text(text: str, *, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(text, status=status, headers=headers, content_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Taken:
    """A collector of what was read already, so that an error is ours to answer."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def families(read: Gauges, sight: queue.Sight | None) -> Iterator[Metric]:
    """Everything that is shown. Lanes and channels without rows are there with 0, so that an alarm can name them."""
    now = read.now
    events = {("", lane.value): Backlog("", lane, 0, 0, 0, now) for lane in Lane}
    deliveries = {
        (channel, lane.value): Backlog(channel, lane, 0, 0, 0, now)
        for channel in settings.DELIVERY_CHANNELS
        for lane in Lane
    }
    events |= {("", row.lane): row for row in read.events}
    deliveries |= {(row.channel, row.lane): row for row in read.deliveries}
    yield from _backlog("events", list(events.values()), labels=["lane"], now=now)
    yield from _backlog("deliveries", list(deliveries.values()), labels=["channel", "lane"], now=now)
    yield from _trouble(read)
    yield from _tried(read)
    digests = dict.fromkeys(settings.DELIVERY_CHANNELS, 0) | read.open_digests
    yield _gauge("digests_open", "Digests that still take items.", ["channel"], {(c,): n for c, n in digests.items()})
    yield _gauge(
        "breaker",
        "1 for the state a provider's breaker is in.",
        ["provider", "state"],
        {(name, state): int(state == present) for name, present in read.breakers.items() for state in BreakerState},
    )
    yield _gauge("redis_up", "Whether Redis answered.", [], {(): int(sight is not None)})
    if sight:
        yield from _muscle(sight, now=now)
    yield _gauge(
        "build_info",
        "What runs.",
        ["release", "python", "django"],
        {(settings.RELEASE, platform.python_version(), django.__version__): 1},
    )


def _gauge(name: str, says: str, labels: list[str], values: dict[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(f"bellhop_{name}", says, labels=labels)
    for key, value in values.items():
        family.add_metric([str(part) for part in key], value)
    return family


def _backlog(what: str, rows: list[Backlog], *, labels: list[str], now: datetime) -> Iterator[Metric]:
    keys = [(row.channel, row.lane)[-len(labels) :] for row in rows]
    for name, says, values in (
        ("open", "Not ended: due, in hand, or waiting for its time.", [row.open for row in rows]),
        ("due", "Could be worked on now.", [row.due for row in rows]),
        ("in_hand", "Held by a worker whose lease has not ended.", [row.in_hand for row in rows]),
        ("oldest_due_seconds", "How long the oldest has been due.", [row.oldest(now) for row in rows]),
    ):
        yield _gauge(f"{what}_{name}", says, labels, dict(zip(keys, values, strict=True)))


def _trouble(read: Gauges) -> Iterator[Metric]:
    found = {row.channel: row for row in read.trouble}
    for name, says in (
        ("failed", "Ended without being sent, within 24 hours."),
        ("unknown", "Ended without an answer, within 24 hours."),
        ("lost_claims", "Workers that died holding one that ended within 24 hours."),
        ("duplicates_suspected", "Sent within 24 hours after a worker had died with it."),
    ):
        values = {channel: getattr(found.get(channel), name, 0) for channel in {*settings.DELIVERY_CHANNELS, *found}}
        yield _gauge(f"deliveries_{name}", says, ["channel"], {(c,): n for c, n in sorted(values.items())})


def _tried(read: Gauges) -> Iterator[Metric]:
    yield _gauge(
        "attempts",
        "Tries within attempts_window_seconds, by what was answered.",
        ["channel", "result"],
        {(row.channel, row.result): row.tries for row in read.tried},
    )
    yield _gauge("attempts_window_seconds", "How far back attempts go.", [], {(): read.reach})
    timed = GaugeHistogramMetricFamily(
        "bellhop_accepted_to_sent_seconds",
        "From the accepted event to the provider's yes, within 15 minutes and attempts_window_seconds.",
        labels=["channel"],
    )
    for row in read.tried:
        if row.timed:
            buckets = [(str(float(limit)), count) for limit, count in zip(gauges.BUCKETS, row.up_to, strict=True)]
            timed.add_metric([row.channel], [*buckets, ("+Inf", row.timed)], row.seconds)
    yield timed


def _muscle(sight: queue.Sight, *, now: datetime) -> Iterator[Metric]:
    says = "Hints sent, by whom; 0 again after Redis lost them."
    hints = CounterMetricFamily("bellhop_hints", says, labels=["by", "task"])
    for by in (queue.WRITE, queue.DISPATCHER, queue.BEAT):
        for task in (queue.PROCESS_EVENTS, queue.DELIVER):
            hints.add_metric([by, task], sight.hints.get((by, task), 0))
    yield hints
    yield _gauge(
        "swept_seconds_ago",
        "Since the last turn of a sweep.",
        ["by"],
        {(by,): max(0.0, now.timestamp() - at) for by, at in sight.swept_at.items()},
    )
    yield _gauge("queue_length", "Hints nobody took yet.", ["queue"], {(q,): n for q, n in sight.waiting.items()})
