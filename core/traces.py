"""
Traces by OpenTelemetry when OTEL_EXPORTER_OTLP_ENDPOINT is set; without it nothing here is imported.

What a row keeps is its `trace_id`, and a hint keeps nothing. So every span stands in the trace that the `trace_id`
names, under one parent that is derived from it: the request, process, publish and deliver come together, whichever
process they were in and however long after.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext, Tracer

_HEX = re.compile(r"^(?!0{32})[0-9a-f]{32}$")
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$")
_tracer: "Tracer | None" = None


def start() -> None:
    """Record from here on, in this process and those it forks. The SDK reads the other OTEL_ variables itself."""
    global _tracer
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    what = {"service.name": "bellhop"} | ({"service.version": settings.RELEASE} if settings.RELEASE else {})
    provider = TracerProvider(resource=Resource.create(what))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("bellhop")


def given(traceparent: str) -> str:
    """The trace id in a W3C traceparent header; "" when there is none."""
    found = _TRACEPARENT.match(traceparent)
    return found[1] if found and _HEX.match(found[1]) else ""


def record(
    name: str, *, trace_id: str, began: datetime, ended: datetime | None = None, told: Mapping[str, str] | None = None
) -> None:
    """
    A span that has ended; `ended` None: just now. `told` has names and states, never an address or what somebody
    wrote. Nothing happens while traces are off.
    """
    if _tracer is None or not trace_id:
        return
    from opentelemetry import trace

    parent = trace.set_span_in_context(trace.NonRecordingSpan(_parent(trace_id)))
    span = _tracer.start_span(name, context=parent, start_time=_nanoseconds(began), attributes=dict(told or {}))
    span.end(_nanoseconds(ended or datetime.now(UTC)))


def _parent(trace_id: str) -> "SpanContext":
    """A producer's own id is any text: then its hash is the trace."""
    from opentelemetry.trace import SpanContext, TraceFlags

    digest = hashlib.sha256(trace_id.encode()).hexdigest()
    number = trace_id if _HEX.match(trace_id) else digest[:32]
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(trace_id=int(number, 16), span_id=int(digest[-16:], 16), is_remote=True, trace_flags=sampled)


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
