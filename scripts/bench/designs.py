"""The two designs side by side: the same server programs with the same flags and numbers of processes."""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import redis
from honcho.environ import parse_procfile
from psycopg2.extensions import connection as Connection

from core import embedded
from core.embedded import place as places
from notifications import live
from scripts.bench import servers

PEOPLE = 10_000
WEB = {"WEB_WORKERS": "2", "WORKER_CHILDREN": "1"}  # gunicorn's processes, and the one worker process


class Counter(Protocol):
    """Watches a design from outside."""

    def published(self) -> int:
        """How many notifications are persisted and published by now."""
        ...

    def rows(self) -> int:
        """How many notifications are persisted by now."""
        ...


@dataclass(frozen=True)
class Design:
    """A running design and what a client must know of it."""

    name: str
    http_port: int
    ws_port: int
    producer: str  # tokens
    reader: str
    running: servers.Running
    counter: Counter


class BellhopCounter:
    """Counts the lines of the live channel: they are published after the commit of their rows."""

    def __init__(self, data_dir: Path) -> None:
        self._connection = servers.connect(data_dir, database="bellhop")
        self._subscriber = redis.Redis.from_url(embedded.urls(data_dir=data_dir).redis_url).pubsub()  # type: ignore[no-untyped-call]
        self._subscriber.subscribe(**{live.CHANNEL: self._count})
        self._lines = 0
        self._thread = self._subscriber.run_in_thread(sleep_time=0.2, daemon=True)

    def _count(self, message: dict[str, Any]) -> None:
        if batch := live.decode(message["data"]).batch:
            self._lines += len(batch.lines)

    def stop(self) -> None:
        self._thread.stop()
        self._thread.join()

    def published(self) -> int:
        return self._lines

    def rows(self) -> int:
        return _count(self._connection, "notifications_notification")


class NaiveCounter:
    """Rows less the tasks that wait: the view makes the row, its task publishes it."""

    def __init__(self, data_dir: Path) -> None:
        self._connection = servers.connect(data_dir, database="naive")
        self._redis = redis.Redis.from_url(_naive_redis(data_dir))

    def published(self) -> int:
        # kombu keeps what waits in a list of the queue's name, and what a worker has taken in this hash.
        return self.rows() - int(self._redis.llen("celery")) - int(self._redis.hlen("unacked"))

    def rows(self) -> int:
        return _count(self._connection, "naive_notification")


@contextlib.contextmanager
def bellhop(data_dir: Path) -> Iterator[Design]:
    """Bellhop's processes, running."""
    ports = _ports()
    env = servers.environment(
        ports
        | WEB
        | {
            "DEMO": "1",
            "DATA_DIR": str(data_dir),
            "LOG_LEVEL": "WARNING",
            "RATE_API": "10000000/min",  # the limit is not what is measured
        }
    )
    tokens = json.loads(servers.output_of("scripts.bench.prepare", str(PEOPLE), env=env))
    lines = _procfile()
    commands = {name: lines[name] for name in ("web", "ws", "worker", "dispatcher")}
    with _running(commands, env=env, ports=ports, log=data_dir / "bellhop.log") as running:
        counter = BellhopCounter(data_dir)
        try:
            yield _design("Bellhop", ports, tokens, running, counter)
        finally:
            counter.stop()


@contextlib.contextmanager
def naive(data_dir: Path) -> Iterator[Design]:
    """The naive design's processes, running: the Procfile's lines, with its modules in place of Bellhop's."""
    with contextlib.closing(servers.connect(data_dir, database="bellhop")) as connection:
        connection.cursor().execute("CREATE DATABASE naive")
    ports = _ports()
    sockets = places.of(data_dir)
    env = servers.environment(
        ports
        | WEB
        | {
            "DJANGO_SETTINGS_MODULE": "scripts.bench.naive.settings",
            "SECRET_KEY": os.urandom(32).hex(),
            "DATABASE_URL": f"postgres://{embedded.postgres_server.NAME}@/{sockets.sockets}/naive",
            "REDIS_URL": _naive_redis(data_dir),
            "CELERY_BROKER_URL": f"redis+socket://{sockets.valkey_socket}?virtual_host=1",
        }
    )
    tokens = json.loads(servers.output_of("scripts.bench.naive.prepare", str(PEOPLE), env=env))
    lines = _procfile()
    commands = {
        "web": lines["web"].replace("core.wsgi", "scripts.bench.naive.wsgi"),
        "ws": lines["ws"].replace("core.asgi", "scripts.bench.naive.asgi").replace("--lifespan on", "--lifespan off"),
        "worker": lines["worker"]
        .replace("core.celery", "scripts.bench.naive.queue")
        .replace("-Q urgent,normal,bulk,digest", "-Q celery"),
    }
    with _running(commands, env=env, ports=ports, log=data_dir / "naive.log") as running:
        yield _design("naive", ports, tokens, running, NaiveCounter(data_dir))


def _design(
    name: str, ports: dict[str, str], tokens: dict[str, str], running: servers.Running, counter: Counter
) -> Design:
    return Design(
        name=name,
        http_port=int(ports["HTTP_PORT"]),
        ws_port=int(ports["WS_PORT"]),
        producer=tokens["producer"],
        reader=tokens["reader"],
        running=running,
        counter=counter,
    )


@contextlib.contextmanager
def _running(
    commands: dict[str, str], *, env: dict[str, str], ports: dict[str, str], log: Path
) -> Iterator[servers.Running]:
    running = servers.Running(env=env, log=log)
    try:
        for name, line in commands.items():
            running.start(name, line)
        for port in ports.values():
            running.await_port(int(port))
        yield running
    except servers.BenchError as error:
        raise servers.BenchError(f"{error}\n{running.last_words()}") from error
    finally:
        running.stop()


def _ports() -> dict[str, str]:
    return {name: str(servers.free_port()) for name in ("HTTP_PORT", "WS_PORT")}


def _procfile() -> dict[str, str]:
    return dict(parse_procfile((servers.ROOT / "Procfile").read_text()).processes)


def _naive_redis(data_dir: Path) -> str:
    return f"unix://{places.of(data_dir).valkey_socket}?db=1"


def _count(connection: Connection, table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        (count,) = cursor.fetchone() or (0,)
        return int(count)
