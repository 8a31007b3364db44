"""What Sentry is told of a bug, by a process of its own against a peer on this machine: all of it, and no secret."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.processes import ROOT
from tests.receiver import Receiver, receiving

SECRETS = (
    "credential-of-alice",
    "session-of-alice",
    "body-of-alice",
    "address-of-alice",
    "words-of-alice",
    "local-of-alice",
    "ticket-of-alice",
    "key-of-redis",
)

# What is written here runs in the process that tells: it fails as a request, as a log line and as a task.
SETUP = """
import django
django.setup()
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from core import logs, urls
from core.celery import app

@csrf_exempt
def broken(request):
    password = "local-of-alice"
    raise RuntimeError("the request broke")

urls.urlpatterns.append(path("broken", broken))
"""
REQUEST = """
from django.core.wsgi import get_wsgi_application
from django.test import RequestFactory
factory = RequestFactory()
factory.cookies["sessionid"] = "session-of-alice"
asked = factory.post("/broken?ticket=ticket-of-alice&q=words-of-alice", {"title": "body-of-alice"}, headers={
    "Authorization": "Bearer credential-of-alice", "X-Request-ID": "trace-of-the-request",
    "X-Forwarded-For": "address-of-alice"})
statuses = []
b"".join(get_wsgi_application()(asked.environ, lambda status, headers, *_: statuses.append(status)))
assert statuses == ["500 Internal Server Error"], statuses
"""
LOG_LINE = """
log = logs.logger("tests")
with logs.tracing("trace-of-the-line"):
    log.error("expected.trouble", token="credential-of-alice")
    try:
        broken(None)
    except RuntimeError:
        log.exception("worker.broke", ticket="ticket-of-alice")
"""
TASK = """
@app.task(name="tests.broken")
def task():
    broken(None)

task.apply()
"""


@pytest.fixture
def peer() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def run(code: str, **env: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETUP + code],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "ALLOWED_HOSTS": "testserver"} | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("code", "trace_id", "tags"),
    [
        (REQUEST, "trace-of-the-request", set()),
        (LOG_LINE, "trace-of-the-line", {"worker.broke"}),
        (TASK, None, set()),  # a hint is about a lane, and so about no trace
    ],
    ids=["request", "log line", "task"],
)
def test_a_bug_is_told_once_with_its_trace_and_no_secret(
    peer: Receiver, code: str, trace_id: str | None, tags: set[str]
) -> None:
    dsn = peer.url.replace("//", "//public@") + "/7"
    run(code, SENTRY_DSN=dsn, RELEASE="2026.3", REDIS_URL="redis://:key-of-redis@127.0.0.1:1/0")
    ((path, body),) = peer.posts
    assert path == "/api/7/envelope/"
    # One JSON text a line: the envelope's header, then a header and a body for each item.
    envelope = body.decode()
    event = json.loads(envelope.splitlines()[2])
    raised = [(one["type"], one["value"]) for one in event["exception"]["values"]]
    assert raised == [("RuntimeError", "the request broke")]
    assert event["tags"].get("trace_id") == trace_id
    assert {event["tags"].get("log")} - {None} == tags
    assert event["release"] == "2026.3"
    assert "broken" in {frame["function"] for frame in event["exception"]["values"][0]["stacktrace"]["frames"]}
    assert [secret for secret in SECRETS if secret in envelope] == []


def test_without_a_dsn_it_is_not_even_imported() -> None:
    run(LOG_LINE + "import sys\nassert 'sentry_sdk' not in sys.modules")
