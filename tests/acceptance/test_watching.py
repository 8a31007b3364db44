"""A running Bellhop is sound, the canary arrives on every channel, and a scraper sees its numbers."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from core import queue
from core.models import User
from notifications.models import Category, Event, Type
from tests import factories
from tests.processes import ROOT, Bellhop
from tests.waiting import wait_until
from workers import canary


def manage(bellhop: Bellhop, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=bellhop.env | env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """The canary's own type and category go again: other tests list them all."""
    yield
    Event.objects.filter(type=canary.TYPE).update(type="task.assigned", category="tasks")
    Type.objects.filter(key=canary.TYPE).delete()
    Category.objects.filter(key=canary.CATEGORY).delete()


def both_sweeps() -> bool:
    sight = queue.look()
    return sight is not None and {"dispatcher", "beat"} <= set(sight.swept_at)


def test_a_running_bellhop_is_sound(bellhop: Bellhop) -> None:
    bellhop["beat"].start()
    try:
        wait_until(both_sweeps, what="both sweeps")
        done = manage(bellhop, "doctor", "--json", EMAIL_FROM="Bell <bell@localhost>")
    finally:
        bellhop["beat"].stop()
    lines = json.loads(done.stdout)
    assert done.returncode == 0, lines
    assert [line["name"] for line in lines if line["state"] not in ("ok", "warn")] == []
    # The test's own: embedded servers, a sender nobody would take mail from; and a disk of any size.
    warned = {line["name"] for line in lines if line["state"] == "warn"} - {"servers", "sender", "disk"}
    assert (warned, done.stderr) == (set(), "")
    assert [line["name"] for line in lines] == [
        *("settings", "servers", "database", "migrations", "clock", "isolation", "redis", "eviction", "workers"),
        *("dispatcher", "beat", "channel layer", "lanes", "deliveries", "counts", "email", "sender", "web"),
        *("sockets", "disk"),
    ]
    assert next(line["what"] for line in lines if line["name"] == "workers") == "3 answered, every queue is read"


def test_the_canary_arrives(bellhop: Bellhop, nothing_left: None) -> None:
    factories.user("canary", first_name="Can")
    done = manage(bellhop, "canary", CANARY_USER="canary")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    shown = re.sub(r"\d+\.\d\d s", "N s", done.stdout)
    assert shown == "ok    in_app     in the inbox, after N s\nok    email      sent 250, after N s\n"
    assert len(bellhop.mails()) == 1


def test_nobody_holds_the_canary_back_but_a_missing_address_does(bellhop: Bellhop, nothing_left: None) -> None:
    factories.user("nomail", email="")
    done = manage(bellhop, "canary", "--user", "nomail")
    assert done.returncode == 1
    shown = re.sub(r"\d+\.\d\d s|[0-9a-f-]{36}", "N", done.stdout)
    assert shown.splitlines() == [
        "ok    in_app     in the inbox, after N",
        "FAIL  email      no: no_address, after N",
        "`manage.py explain N --user nomail` tells more.",
    ]
    assert bellhop.mails() == []


def test_what_is_still_on_its_way_has_not_arrived(bellhop: Bellhop, nothing_left: None) -> None:
    factories.user("canary")
    done = manage(bellhop, "canary", "--user", "canary", "--within", "0")
    assert done.returncode == 1
    assert "still on its way" in done.stdout
    wait_until(lambda: len(bellhop.mails()) == 1, what="the mail, later")


def test_a_canary_for_nobody(bellhop: Bellhop) -> None:
    done = manage(bellhop, "canary")
    assert (done.returncode, Event.objects.count(), User.objects.count()) == (1, 0, 0)
    assert "There is no active user ''" in done.stderr
