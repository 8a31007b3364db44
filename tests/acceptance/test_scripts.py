"""The scripts people run, as real processes against a running Bellhop."""

import http.server
import json
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from core.models import User
from notifications.models import Device, Event, Notification, Preference, Subscription, Topic
from scripts.shared import sample_data
from tests import rest
from tests.processes import ROOT, Bellhop, free_port
from tests.waiting import wait_until

NOBODY = f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def people(bellhop: Bellhop) -> list[User]:
    """The demo's alice and producer, with passwords that the running web process can check."""
    hasher = PBKDF2PasswordHasher()
    return [
        User.objects.create(
            username=name,
            email=f"{name}@example.com",
            password=hasher.encode(name, hasher.salt()),
            is_producer=name == "producer",
        )
        for name in ("alice", "producer")
    ]


def command(script: str, *options: str) -> list[str]:
    return [sys.executable, f"scripts/{script}.py", *options]


def run(bellhop: Bellhop, script: str, *options: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(script, *options),
        cwd=ROOT,
        env=bellhop.env | env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def generate(bellhop: Bellhop, *options: str) -> "subprocess.CompletedProcess[str]":
    return run(bellhop, "generate_sample_data", *options, DEMO="1")


def steps(output: str) -> list[list[str]]:
    return [line.split()[:2] for line in output.splitlines()]


@pytest.mark.parametrize(
    "script", ["test_websocket_connection", "websocket_test_client", "send_test_notification", "generate_sample_data"]
)
@pytest.mark.parametrize("option", ["", "--help"])
def test_help_names_the_options_and_a_dead_server_is_one_sentence(script: str, option: str, tmp_path: Path) -> None:
    env = {"DEMO": "1", "DATA_DIR": str(tmp_path), "PATH": "", "HTTP_PORT": NOBODY.rpartition(":")[2]}
    done = subprocess.run(
        command(script, option) if option else command(script),
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    if option:
        assert (done.returncode, "--url" in said) == (0, True)
    else:
        assert done.returncode == 1
        assert len(said.splitlines()) == 1
        assert "start Bellhop with `make run`" in said


# --- test_websocket_connection ------------------------------------------------------------------------


def test_a_good_connection_passes_every_step(bellhop: Bellhop, people: list[User]) -> None:
    done = run(bellhop, "test_websocket_connection")
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, last = done.stdout.splitlines()
    assert steps("\n".join(lines)) == [
        ["ok", name] for name in ("reach", "token", "upgrade", "welcome", "sync", "ping")
    ]
    assert last == "All steps passed."


def test_the_servers_own_ping_can_be_waited_for(bellhop: Bellhop, people: list[User]) -> None:
    done = run(bellhop, "test_websocket_connection", "--wait-ping")
    assert done.returncode == 0, done.stdout
    assert "the server's ping came, head 0, and was answered" in done.stdout


def test_the_step_that_fails_is_named(bellhop: Bellhop, people: list[User]) -> None:
    wrong = run(bellhop, "test_websocket_connection", "--password", "wrong")
    assert (wrong.returncode, steps(wrong.stdout)) == (1, [["ok", "reach"], ["FAIL", "token"]])
    assert "The user name or the password is wrong" in wrong.stdout
    path = run(bellhop, "test_websocket_connection", "--ws-url", bellhop.ws_url.replace("notifications", "nothing"))
    assert (path.returncode, steps(path.stdout)[-1]) == (1, ["FAIL", "upgrade"])
    assert "check the path" in path.stdout
    away = run(bellhop, "test_websocket_connection", "--ws-url", f"{NOBODY.replace('http', 'ws')}/ws/notifications/")
    assert (away.returncode, steps(away.stdout)[-1]) == (1, ["FAIL", "upgrade"])
    assert "start the ws process" in away.stdout


def test_no_token_is_left_behind(bellhop: Bellhop, people: list[User]) -> None:
    assert run(bellhop, "test_websocket_connection").returncode == 0
    assert people[0].auth_token_set.count() == 0  # type: ignore[attr-defined]  # knox's related name


# --- websocket_test_client ----------------------------------------------------------------------------


def tell_alice(bellhop: Bellhop, *, count: int, token: str) -> None:
    events = [
        {"type": "task.assigned", "recipients": {"users": ["alice"]}, "title": f"{number}", "channels": ["in_app"]}
        for number in range(count)
    ]
    assert rest.call(bellhop, "POST", "/events/batch", {"events": events}, token=token).status == 202


def test_clients_that_are_dropped_miss_nothing(bellhop: Bellhop, people: list[User]) -> None:
    token = bellhop.token("producer")
    client = subprocess.Popen(
        command("websocket_test_client", "--clients", "2", "--drop-every", "0.3", "--json"),
        cwd=ROOT,
        env=bellhop.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert client.stdout is not None
    lines: list[dict[str, Any]] = [json.loads(client.stdout.readline())]
    reader = threading.Thread(target=lambda: lines.extend(map(json.loads, client.stdout or ())))
    reader.start()

    def syncs() -> Counter[int]:
        return Counter(line["client"] for line in lines if line.get("frame", {}).get("type") == "sync")

    try:
        wait_until(lambda: len(syncs()) == 2, what="both clients being in sync")
        for _ in range(10):
            before = syncs()
            tell_alice(bellhop, count=10, token=token)
            wait_until(lambda before=before: syncs() - before, what="a drop")  # type: ignore[misc]  # the default binds
        wait_until(lambda: Notification.objects.count() == 100, what="all lines persisted")
        settled = syncs()
        wait_until(lambda: all(syncs()[n] > settled[n] for n in (1, 2)), what="both clients having come back")
        client.send_signal(signal.SIGINT)
        assert client.wait(20) == 0
    finally:
        client.kill()
        reader.join(20)
    for row in lines[-1]["clients"]:
        assert (row["first"], row["last"], row["gaps"], row["doubles"]) == (0, 100, 0, 0)
        assert row["events"] + row["items"] == 100
    assert sum(row["reconnects"] for row in lines[-1]["clients"]) >= 10


def test_the_client_ends_with_a_table(bellhop: Bellhop, people: list[User]) -> None:
    done = run(bellhop, "websocket_test_client", "--duration", "1")
    assert done.returncode == 0, done.stderr
    *frames, _, header, row = done.stdout.splitlines()
    assert [json.loads(line.split(" ", 2)[2])["type"] for line in frames] == ["welcome", "sync"]
    assert header.split() == [
        *("client", "reconnects", "frames", "events", "items", "resets"),
        *("first", "last", "gaps", "doubles"),
    ]
    assert row.split() == ["1", "0", "2", "0", "0", "1", "0", "0", "0", "0"]


# --- send_test_notification ---------------------------------------------------------------------------

STAGES = ["POST answered", "accepted -> persisted", "persisted -> frame", "POST -> frame", "POST -> mail handed over"]


def test_one_notification_with_the_latency_of_each_stage(bellhop: Bellhop, people: list[User]) -> None:
    done = run(bellhop, "send_test_notification")
    assert done.returncode == 0, done.stdout + done.stderr
    event, _, *stages, mail = done.stdout.splitlines()
    assert event == f"event {Event.objects.get().id}"
    measured = dict(re.findall(r"^(.+?) +([\d.]+)$", "\n".join(stages), re.MULTILINE))
    assert list(measured) == STAGES
    milliseconds = {stage: float(value) for stage, value in measured.items()}
    assert 0 < milliseconds["POST -> frame"] < milliseconds["POST -> mail handed over"] < 15_000
    assert mail == "mail: 1 sent"
    assert len(bellhop.mails()) == 1


def test_many_notifications_with_percentiles(bellhop: Bellhop, people: list[User]) -> None:
    done = run(bellhop, "send_test_notification", "--count", "20", "--rate", "40")
    assert done.returncode == 0, done.stdout + done.stderr
    first, header, *stages, mail = done.stdout.splitlines()
    assert first.startswith("20 events, ")
    assert header.split() == ["ms", "p50", "p95", "max", "n"]
    for line in stages[:4]:
        p50, p95, most, n = map(float, line.split()[-4:])
        assert p50 <= p95 <= most
        assert n == 20
    assert [line.startswith(stage) for line, stage in zip(stages, STAGES, strict=True)] == [True] * 5
    assert mail == "mail: 20 sent"
    assert Notification.objects.filter(user=people[0]).count() == 20


def test_a_person_who_may_not_send_is_told_why(bellhop: Bellhop, people: list[User]) -> None:
    done = run(bellhop, "send_test_notification", "--producer", "alice", "--producer-password", "alice")
    assert done.returncode == 1
    assert done.stderr == (
        "send_test_notification: POST /api/v1/events was refused (403): Only a producer may do this: ask staff to set "
        "is_producer on your user.\n"
    )


# --- generate_sample_data -----------------------------------------------------------------------------


def processed() -> bool:
    return not Event.objects.exclude(state="processed").exists()


def test_sample_people_and_events_come_once(bellhop: Bellhop, people: list[User]) -> None:
    options = ("--users", "6", "--events", "30", "--scenario", "sprint", "--seed", "5")
    first = generate(bellhop, *options)
    assert first.stdout.splitlines() == [
        "people: 6, 6 of them new; topics: team-web, team-mobile, team-platform",
        f"preferences: 6 new; devices: {Device.objects.count()} new",
        "events: 30 accepted, scenario sprint, seed 5",
    ], first.stderr
    wait_until(processed, what="all events processed")
    lines = Notification.objects.count()
    again = generate(bellhop, *options)
    assert again.stdout.splitlines()[0].startswith("people: 6, 0 of them new")
    assert again.stdout.splitlines()[1] == "preferences: 0 new; devices: 0 new"
    names = [person.username for person in sample_data.people(6)]
    assert {(one.user.username, one.timezone, one.version) for one in Preference.objects.select_related("user")} == {
        (name, chosen["timezone"], 1) for name, chosen in sample_data.preferences(names).items()
    }
    assert sorted(Device.objects.values_list("user__username", "kind")) == sorted(
        (name, phone["kind"]) for name, phones in sample_data.devices(names).items() for phone in phones
    )
    assert (User.objects.count(), Topic.objects.count(), Subscription.objects.count()) == (8, 3, 7)
    assert (Event.objects.count(), Notification.objects.count()) == (30, lines)
    assert User.objects.get(username="producer").auth_token_set.count() == 0  # type: ignore[attr-defined]  # knox's


def test_outside_a_demo_nothing_is_made(bellhop: Bellhop) -> None:
    done = run(bellhop, "generate_sample_data")
    assert done.returncode == 1
    assert done.stderr.startswith("generate_sample_data: Sample data is for a demo: set DEMO=1")
    assert (User.objects.count(), Event.objects.count()) == (0, 0)


@pytest.fixture
def jsonplaceholder() -> Iterator[str]:
    """A JSONPlaceholder server on loopback, with the bundled records."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (ROOT / "scripts" / "data" / f"jsonplaceholder_{self.path.strip('/')}.json").read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a test's output is its own."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def records(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((ROOT / "scripts" / "data" / f"jsonplaceholder_{name}.json").read_text())
    return found


def test_todos_become_task_events_once(bellhop: Bellhop, jsonplaceholder: str) -> None:
    known = User.objects.create(username="known", email=records("users")[1]["email"].upper())
    first = generate(bellhop, "--jsonplaceholder", jsonplaceholder)
    expected = "jsonplaceholder: 200 events to 10 people, 91 task.completed\n"
    assert (first.returncode, first.stdout) == (0, expected), first.stderr
    wait_until(lambda: processed() and Notification.objects.count() == 200, what="200 notifications")
    again = generate(bellhop, "--jsonplaceholder", jsonplaceholder)
    assert (again.returncode, again.stdout) == (0, expected)
    assert (Event.objects.count(), Notification.objects.count()) == (200, 200)
    assert User.objects.exclude(username="producer").count() == 10  # `known` is the second of them, by the address
    names = {user["id"]: user["username"] for user in records("users")} | {2: known.username}
    assert {
        (row.user.username, row.event.type_id, row.event.object, row.event.title)
        for row in Notification.objects.select_related("user", "event")
    } == {
        (
            names[todo["userId"]],
            "task.completed" if todo["completed"] else "task.assigned",
            f"todo:{todo['id']}",
            todo["title"],
        )
        for todo in records("todos")
    }


def test_when_the_site_is_out_of_reach_the_bundled_records_stand_in(bellhop: Bellhop) -> None:
    done = generate(bellhop, "--jsonplaceholder", NOBODY)
    away, summary = done.stdout.splitlines()
    assert away == (
        f"jsonplaceholder: {NOBODY} cannot be reached ([Errno 111] Connection refused); using the bundled records"
    )
    assert summary == "jsonplaceholder: 200 events to 10 people, 91 task.completed"
    assert Event.objects.count() == 200


def test_a_server_with_other_records_is_not_trusted(bellhop: Bellhop) -> None:
    done = generate(bellhop, "--jsonplaceholder", f"http://127.0.0.1:{bellhop.ws_port}")
    assert "404" in done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[0].endswith("; using the bundled records")
