"""`manage.py doctor` where things are missing: exactly the lines that are wrong, and no other."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from core.celery import QUEUES
from core.models import User
from notifications.models import InboxHead
from tests import factories, mail
from tests.factories import accept, process, submission
from tests.integration.conftest import BlackHole
from tests.processes import free_port
from workers import probes

pytestmark = pytest.mark.usefixtures("committed")


def examine(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit status and the lines by name."""
    try:
        call_command("doctor", json=True)
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    lines: list[dict[str, str]] = json.loads(capsys.readouterr().out)
    assert len({line["name"] for line in lines}) == len(lines)
    return status, {line["name"]: line for line in lines}


def failing(lines: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: line["what"] for name, line in lines.items() if line["state"] == "fail"}


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Nothing runs but PostgreSQL and Redis: no web, no sockets, no mail server, and it is not waited for long."""
    monkeypatch.setattr(probes, "ANSWER", 0.3)
    port = free_port()
    web = {"PUBLIC_URL": f"http://127.0.0.1:{port}", "WS_URL": f"ws://127.0.0.1:{port}/ws/notifications/"}
    with override_settings(EMAIL_URL=f"smtp://127.0.0.1:{port}", **web):
        yield port


def test_no_processes_and_no_mail_server(nobody: int, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = examine(capsys)
    refused = "[Errno 111] Connection refused"
    every = ", ".join(f"{name} (0 waiting)" for name in QUEUES)
    assert (status, failing(lines)) == (
        1,
        {
            "workers": f"nobody reads {every}",
            "dispatcher": "dispatcher was never heard of",
            "beat": "beat was never heard of",
            "email": "SMTPProvider: unreachable ConnectionRefusedError",
            "web": f"http://127.0.0.1:{nobody}/health/ready: <urlopen error {refused}>",
            "sockets": f"ws://127.0.0.1:{nobody}/ws/notifications/: {refused}",
        },
    )
    well = {"settings", "database", "migrations", "clock", "isolation", "redis", "channel layer", "lanes", "counts"}
    assert {name for name, line in lines.items() if line["state"] == "ok"} >= well
    assert all(line["remedy"] for line in lines.values() if line["state"] != "ok")


def test_for_people_it_is_lines(nobody: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("doctor")
    written = capsys.readouterr().out
    assert "ok    redis          answers (" in written
    assert "fail  beat           beat was never heard of\n" + " " * 21 + "Start the process beat" in written


def test_redis_is_away(nobody: int, dead_redis: BlackHole, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = examine(capsys)
    assert status == 1
    assert failing(lines)["redis"].startswith("Redis does not answer: ")
    assert {"workers", "dispatcher", "beat", "channel layer", "eviction"} & set(lines) == set()
    assert lines["database"]["state"] == "ok"


def test_postgresql_is_away(nobody: int, capsys: pytest.CaptureFixture[str]) -> None:
    there = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = "no_such_database"
    try:
        status, lines = examine(capsys)
    finally:
        connection.close()
        connection.settings_dict["NAME"] = there
    assert status == 1
    assert failing(lines)["database"].startswith("PostgreSQL does not answer: ")
    assert {"migrations", "clock", "isolation", "lanes", "counts"} & set(lines) == set()
    assert lines["redis"]["state"] == "ok"


def test_a_badge_that_is_wrong_and_a_lane_that_is_stuck(
    nobody: int, producer: User, alice: User, capsys: pytest.CaptureFixture[str]
) -> None:
    now = timezone.now()
    accept(producer, submission("alice"), now=now)
    process(now=now)
    InboxHead.objects.update(unread=7)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE notifications_delivery SET due_at = now() - interval '400 seconds'")
    _, lines = examine(capsys)
    assert failing(lines)["counts"] == "1 badges are wrong"
    assert failing(lines)["lanes"].startswith("deliveries email normal: the oldest has been due for 40")


def test_a_recount_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "RECOUNT", 1)
    factories.users(20_000)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO notifications_inboxhead (user_id, epoch, head_seq, unread, unseen, choices, read_watermark) "
            "SELECT id, 'e', 0, 0, 0, 0, 0 FROM core_user"
        )
    (line,) = probes._drift()
    assert (line.state, line.name) == ("warn", "counts")
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_what_raises_is_a_line(capsys: pytest.CaptureFixture[str], nobody: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE notifications_breaker RENAME TO notifications_breaker_away")
        try:
            _, lines = examine(capsys)
        finally:
            cursor.execute("ALTER TABLE notifications_breaker_away RENAME TO notifications_breaker")
    assert lines["lanes"]["what"].startswith('ProgrammingError: relation "notifications_breaker" does not exist')
    assert lines["counts"]["state"] == "ok"


def test_the_mail_server_is_signed_in_to_and_gets_no_mail(capsys: pytest.CaptureFixture[str], nobody: int) -> None:
    with mail.MailServer() as server, override_settings(EMAIL_URL=server.url):
        _, lines = examine(capsys)
        assert lines["email"] == {"name": "email", "state": "ok", "what": "SMTPProvider let us in", "remedy": ""}
        assert (server.received, server.connections) == ([], 1)
    with mail.MailServer(user="u", password="right", tls=None) as server:
        secret = f"smtp://u:not-this-one@127.0.0.1:{server.port}"
        with override_settings(EMAIL_URL=secret):
            _, lines = examine(capsys)
    assert lines["email"]["state"] == "fail"
    assert "not-this-one" not in json.dumps(lines)


def test_each_provider_of_a_channel_has_a_line(nobody: int, capsys: pytest.CaptureFixture[str]) -> None:
    email = settings.DELIVERY_CHANNELS["email"] | {"FALLBACKS": ["delivery.providers.memory.MemoryProvider"]}
    with override_settings(DELIVERY_CHANNELS={"email": email}):
        _, lines = examine(capsys)
    assert lines["email SMTPProvider"]["state"] == "fail"
    other = lines["email MemoryProvider"]
    assert (other["state"], other["what"]) == ("ok", "MemoryProvider is configured; `manage.py canary` sends")
    assert "email" not in lines


@pytest.mark.parametrize("answer", ["HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", "nonsense\r\n\r\n"])
def test_who_answers_may_be_somebody_else(answer: str, nobody: int, capsys: pytest.CaptureFixture[str]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve() -> None:
        for _ in range(2):
            caller, _ = listener.accept()
            with caller:
                caller.recv(4096)
                caller.sendall(answer.encode())

    serving = threading.Thread(target=serve)
    serving.start()
    web = {"PUBLIC_URL": f"http://127.0.0.1:{port}", "WS_URL": f"ws://127.0.0.1:{port}/ws/notifications/"}
    with override_settings(**web):
        _, lines = examine(capsys)
    serving.join(10)
    listener.close()
    assert lines["web"]["state"] == lines["sockets"]["state"] == "fail"
    assert ("answered 503" in lines["web"]["what"]) is ("503" in answer)
