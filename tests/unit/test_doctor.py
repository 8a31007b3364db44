"""What the doctor makes of facts: pure, row by row. A line that is not ok always has a remedy."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from notifications.gauges import Backlog, Gauges, Trouble
from workers import doctor
from workers.doctor import Check

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SOUND: dict[str, Any] = {
    "demo": False,
    "debug": False,
    "secret_key": "k" * 50,
    "public_url": "https://bell.example.com",
    "allowed_hosts": ["bell.example.com"],
}


def sweep(seconds_ago: float | None) -> Check:
    return doctor.sweep("beat", seconds_ago=seconds_ago, limit=60)


def lanes(seconds: float, *, due: int = 1) -> Check:
    row = Backlog("email", "bulk", 5, due, 0, NOW - timedelta(seconds=seconds))
    return doctor.lanes(Gauges([], [row], [], [], {}, {}, 3600, NOW))


@pytest.mark.parametrize(
    ("check", "state", "what"),
    [
        (doctor.settings(**SOUND), "ok", "for https://bell.example.com"),
        (doctor.settings(**SOUND | {"allowed_hosts": [".example.com"]}), "ok", "for https://bell.example.com"),
        (
            doctor.settings(**SOUND | {"public_url": "http://localhost:8000", "allowed_hosts": ["localhost"]}),
            "ok",
            "for http://localhost:8000",
        ),
        (doctor.settings(**SOUND | {"demo": True, "debug": True}), "ok", "DEMO=1"),
        (doctor.settings(**SOUND | {"debug": True}), "fail", "DEBUG=1"),
        (doctor.settings(**SOUND | {"secret_key": "k" * 49}), "fail", "SECRET_KEY has 49 characters"),
        (doctor.settings(**SOUND | {"allowed_hosts": ["*"]}), "fail", "ALLOWED_HOSTS does not fit bell.example.com"),
        (doctor.settings(**SOUND | {"allowed_hosts": ["ell.example.com"]}), "fail", "ALLOWED_HOSTS does not fit"),
        (doctor.settings(**SOUND | {"allowed_hosts": [".ell.example.com"]}), "fail", "ALLOWED_HOSTS does not fit"),
        (doctor.settings(**SOUND | {"public_url": "http://bell.example.com"}), "fail", "PUBLIC_URL is http://"),
        (doctor.embedded([], demo=False), "ok", "PostgreSQL and Redis are yours"),
        (doctor.embedded(["Redis"], demo=True), "ok", "embedded: Redis"),
        (doctor.embedded(["PostgreSQL", "Redis"], demo=False), "warn", "embedded: PostgreSQL, Redis"),
        (doctor.clock(-0.9), "ok", "differ by 0.9 s"),
        (doctor.clock(-1.5), "warn", "differ by 1.5 s"),
        (doctor.clock(10.0), "fail", "differ by 10.0 s"),
        (doctor.isolation("read committed"), "ok", "read committed"),
        (doctor.isolation("serializable"), "fail", "PostgreSQL's default is serializable"),
        (doctor.migrations([]), "ok", "all applied"),
        (doctor.migrations(["a.1", "b.2", "c.3", "d.4"]), "fail", "4 not applied: a.1, b.2, c.3"),
        (doctor.eviction("allkeys-lru", limit=0), "ok", "maxmemory not set"),
        (doctor.eviction("noeviction", limit=1000), "ok", "maxmemory 1000, noeviction"),
        (doctor.eviction("allkeys-lru", limit=1000), "warn", "allkeys-lru"),
        (doctor.workers({"a": ["w1"], "b": ["w1", "w2"]}, waiting={}), "ok", "2 answered, every queue is read"),
        (doctor.workers({"a": ["w1"], "b": []}, waiting={"b": 7}), "fail", "nobody reads b (7 waiting)"),
        (sweep(None), "fail", "beat was never heard of"),
        (sweep(60.0), "ok", "swept 60 s ago"),
        (sweep(61.0), "fail", "beat was last heard of 61 s ago"),
        (sweep(-0.5), "ok", "swept 0 s ago"),
        (lanes(1000, due=0), "ok", "nothing is overdue"),
        (lanes(29), "ok", "nothing is overdue"),
        (lanes(30), "warn", "deliveries email bulk: the oldest has been due for 30 s"),
        (lanes(300), "fail", "deliveries email bulk: the oldest has been due for 300 s"),
        (doctor.deliveries([], breakers={"a": "closed"}), "ok", "none failed within 24 h"),
        (doctor.deliveries([Trouble("email", 0, 0, 3, 1)], breakers={}), "ok", "none failed"),
        (doctor.deliveries([Trouble("email", 2, 1, 0, 0)], breakers={}), "warn", "email 2 failed, 1 unknown"),
        (doctor.deliveries([], breakers={"b": "half_open", "a": "open"}), "fail", "left alone after failures: a, b"),
        (doctor.drift(0), "ok", "every badge is exact"),
        (doctor.drift(2), "fail", "2 badges are wrong"),
        (doctor.drift(None), "warn", "takes too long"),
        (doctor.disk(2**30, directory="/d"), "ok", "1.0 GB free in /d"),
        (doctor.disk(2**30 - 1, directory="/d"), "warn", "1.0 GB free in /d"),
        (doctor.disk(200 * 2**20 - 1, directory="/d"), "fail", "0.2 GB free in /d"),
        (doctor.sender("localhost", found=True, demo=True), "ok", "EMAIL_FROM is at localhost"),
        (doctor.sender("localhost", found=True, demo=False), "warn", "EMAIL_FROM is at localhost"),
        (doctor.sender("", found=False, demo=False), "warn", "EMAIL_FROM is at no domain"),
        (doctor.sender("example.com", found=False, demo=False), "warn", "example.com has no address in DNS"),
        (doctor.sender("example.com", found=True, demo=False), "ok", "example.com is in DNS"),
    ],
)
def test_a_fact_and_its_line(check: Check, state: str, what: str) -> None:
    assert check.state == state
    assert what in check.what
    assert bool(check.remedy) is (state != "ok")


def test_the_lane_that_waits_longest_is_named() -> None:
    rows = [Backlog("email", lane, 1, 1, 0, NOW - timedelta(seconds=s)) for lane, s in (("bulk", 40), ("urgent", 400))]
    events = [Backlog("", "normal", 1, 1, 0, NOW - timedelta(seconds=50))]
    check = doctor.lanes(Gauges(events, rows, [], [], {}, {}, 3600, NOW))
    assert (check.state, check.what) == ("fail", "deliveries email urgent: the oldest has been due for 400 s")
    check = doctor.lanes(Gauges(events, rows[:1], [], [], {}, {}, 3600, NOW))
    assert (check.state, check.what) == ("warn", "events normal: the oldest has been due for 50 s")
