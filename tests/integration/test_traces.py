"""Traces: what a collector on this machine receives of one event, from several moments and a forked process."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from core import traces
from core.models import User
from notifications.models import Event
from tests import factories, mail
from tests.processes import ROOT
from tests.receiver import Receiver, receiving

pytestmark = pytest.mark.usefixtures("committed")
W3C = "0af7651916cd43dd8448eb211c80319c"
# Accepts one event over REST, then works on it in a child, as Celery's do: forked after the tracing began.
WALK = """
import os, sys
import django
django.setup()
from django.db import connections
from django.test import Client
from django.utils import timezone
body = {"type": "task.assigned", "recipients": {"users": ["alice"]}, "title": "A secret"}
answer = Client().post("/api/v1/events", body,
    content_type="application/json", headers={"Authorization": "Bearer " + sys.argv[1], "traceparent": sys.argv[2]})
assert answer.status_code == 202, answer.content
connections.close_all()
if not (child := os.fork()):
    from opentelemetry import trace
    from core import traces
    from delivery import dispatch
    from notifications.words import Lane
    from workers import pipeline
    assert pipeline.process_events(lane=Lane.NORMAL, clock=timezone.now) == 1
    assert dispatch.deliver(channel="email", lane=Lane.NORMAL, clock=timezone.now) == 1
    traces._tracer.span_processor.force_flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def spans(collector: Receiver) -> dict[str, Any]:
    """The spans that came, by name; each name once."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    found: dict[str, Any] = {}
    for path, body in collector.posts:
        assert path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    assert span.name not in found
                    found[span.name] = span
    return found


def test_one_event_is_one_trace_across_processes(producer: User, alice: User, collector: Receiver) -> None:
    host, name = connection.settings_dict["HOST"], connection.settings_dict["NAME"]
    with mail.MailServer() as server:
        env = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "ALLOWED_HOSTS": "testserver",
            "DATABASE_URL": os.environ.get("TEST_DATABASE_URL") or f"postgres://bellhop@/{host}/{name}",
            "REDIS_URL": settings.REDIS_URL,
            "EMAIL_URL": server.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        }
        traceparent = f"00-{W3C}-b7ad6b7169203331-01"
        done = subprocess.run(
            [sys.executable, "-c", WALK, factories.token(producer), traceparent],
            cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert len(server.received) == 1
    assert Event.objects.get().trace_id == W3C
    found = spans(collector)
    assert set(found) == {"POST /api/v1/events", "process", "publish", "deliver"}
    assert {span.trace_id.hex() for span in found.values()} == {W3C}
    assert len({span.parent_span_id for span in found.values()}) == 1
    times = [(s.start_time_unix_nano, s.end_time_unix_nano) for s in found.values()]
    assert all(began < ended for began, ended in times)
    assert found["process"].end_time_unix_nano == found["publish"].start_time_unix_nano
    told = {one.key: one.value.string_value for one in found["deliver"].attributes}
    assert told == {"channel": "email", "state": "sent"}
    assert not any(b"secret" in body or b"alice@" in body for _, body in collector.posts)


@pytest.mark.parametrize(
    ("header", "trace_id"),
    [
        (f"00-{W3C}-b7ad6b7169203331-01", W3C),
        (f"00-{W3C.upper()}-b7ad6b7169203331-01", ""),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", ""),
        (f"00-{W3C}-b7ad6b7169203331", ""),
        ("", ""),
    ],
)
def test_a_producers_traceparent(header: str, trace_id: str) -> None:
    assert traces.given(header) == trace_id


def test_an_id_of_the_producers_own_comes_first_and_a_bad_one_last() -> None:
    good = {"traceparent": f"00-{W3C}-b7ad6b7169203331-01"}
    answers = [
        Client().get("/health/live", headers=good | {"X-Request-ID": "order-4711"}),
        Client().get("/health/live", headers=good | {"X-Request-ID": "no"}),
    ]
    assert [answer["X-Request-ID"] for answer in answers] == ["order-4711", W3C]


def test_any_text_names_a_trace() -> None:
    ours, theirs = traces._parent(W3C), traces._parent("order-4711")
    assert f"{ours.trace_id:032x}" == W3C
    assert f"{theirs.trace_id:032x}" == hashlib.sha256(b"order-4711").hexdigest()[:32]
    assert traces._parent("order-4711") == theirs
