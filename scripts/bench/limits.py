"""What PostgreSQL and Valkey can do on this machine with nothing around them."""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import redis

from core import embedded
from scripts.bench import servers

CHUNK = 500  # rows in one statement, as in core/settings.py
CLIENTS = 16
# The columns and indexes of the real table, without its foreign keys.
TABLE = "CREATE TABLE bench_line (LIKE notifications_notification INCLUDING ALL)"
ONE = """
INSERT INTO bench_line (event_id, user_id, rev, created_at, decisions)
VALUES (gen_random_uuid(), %s, nextval('bench_rev'), now(), '{}')
"""
MANY = f"""
INSERT INTO bench_line (event_id, user_id, rev, created_at, decisions)
SELECT gen_random_uuid(), g, nextval('bench_rev'), now(), '{{}}' FROM generate_series(1, {CHUNK}) g
"""


@dataclass(frozen=True)
class Limits:
    """Per second."""

    inserts: float  # INSERT + COMMIT of one row, one connection
    inserts_at_once: float  # the same, CLIENTS connections
    rows: float  # in statements of CHUNK rows, one connection
    publishes: float  # PUBLISH, one connection


def measure(data_dir: Path, *, seconds: float) -> Limits:
    """Takes four times `seconds`. Needs Bellhop's tables; removes its own."""
    with contextlib.closing(servers.connect(data_dir, database="bellhop")) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE SEQUENCE bench_rev")
        cursor.execute(TABLE)
        client = redis.Redis.from_url(embedded.urls(data_dir=data_dir).redis_url)
        message = b"x" * 500
        try:
            return Limits(
                inserts=_rate(lambda: cursor.execute(ONE, [1]), seconds=seconds),
                inserts_at_once=_inserts_at_once(data_dir, seconds=seconds),
                rows=CHUNK * _rate(lambda: cursor.execute(MANY), seconds=seconds),
                publishes=_rate(lambda: client.publish("bench", message), seconds=seconds),
            )
        finally:
            cursor.execute("DROP TABLE bench_line")
            cursor.execute("DROP SEQUENCE bench_rev")


def _rate(call: Callable[[], object], *, seconds: float) -> float:
    count, started = 0, time.perf_counter()
    while time.perf_counter() < started + seconds:
        call()
        count += 1
    return count / (time.perf_counter() - started)


def _inserts_at_once(data_dir: Path, *, seconds: float) -> float:
    together = threading.Barrier(CLIENTS)

    def keep_inserting(user: int) -> float:
        with contextlib.closing(servers.connect(data_dir, database="bellhop")) as connection:
            cursor = connection.cursor()
            together.wait()
            return _rate(lambda: cursor.execute(ONE, [user]), seconds=seconds)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return sum(pool.map(keep_inserting, range(CLIENTS)))
