"""What Sentry is told of a bug, by a process of its own against a peer on this machine: all of it, and no secret."""

import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.processes import ROOT

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


class Peer(http.server.BaseHTTPRequestHandler):
    """Takes envelopes (one JSON text a line: header, then a header and a body for each item)."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.envelopes.append((self.path, body.decode()))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def peer() -> Iterator[Any]:
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Peer)
    server.envelopes = []
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield server
    server.shutdown()
    serving.join()
    server.server_close()


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
    peer: Any, code: str, trace_id: str | None, tags: set[str]
) -> None:
    dsn = f"http://public@127.0.0.1:{peer.server_port}/7"
    run(code, SENTRY_DSN=dsn, RELEASE="2026.3", REDIS_URL="redis://:key-of-redis@127.0.0.1:1/0")
    ((path, envelope),) = peer.envelopes
    assert path == "/api/7/envelope/"
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
