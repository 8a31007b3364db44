"""
What the doctor asks of the world: servers, processes, addresses. Each probe gives its lines; one that cannot be
carried out is a line too. Nothing is changed, and nothing is sent to anybody.
"""

import asyncio
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from datetime import datetime
from email.utils import parseaddr
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import redis
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from core import embedded, queue
from delivery import registry
from notifications import audit, gauges
from workers import doctor
from workers.doctor import Check, fail, ok

ANSWER = 2.0  # seconds for workers, Redis, HTTP and sockets to answer
RECOUNT = 5_000  # milliseconds the recount of the badges may take
SUBPROTOCOL = Subprotocol("bellhop.v1.json")


def everything(*, clock: Callable[[], datetime]) -> list[Check]:
    """Every line, in the order in which one would mend things. What hangs on a dead server is left out."""
    services = embedded.urls(data_dir=settings.DATA_DIR)
    lines = [*_asked("settings", _settings), doctor.embedded(_embedded(services), demo=settings.DEMO)]
    database = _asked("database", lambda: _database(clock=clock))
    lines += database
    there = database[0].state == doctor.State.OK
    muscle = _asked("redis", _redis)
    lines += muscle
    if muscle[0].state == doctor.State.OK:
        lines += _asked("workers", lambda: _muscle(now=clock()))
        lines += _asked("channel layer", _channel_layer)
    if there:
        lines += _asked("lanes", lambda: _work(now=clock()))
        lines += _asked("counts", _drift)
    for channel in settings.DELIVERY_CHANNELS:
        several = len(registry.providers(channel)) > 1
        for provider in registry.providers(channel):
            name = f"{channel} {provider.rpartition('.')[2]}" if several else channel
            lines += _asked(name, partial(_provider, name, channel=channel, provider=provider))
    lines += _asked("sender", _sender)
    lines += _asked("web", _web)
    lines += _asked("sockets", _sockets)
    lines += _asked("disk", _disk)
    return lines


def _asked(name: str, ask: Callable[[], Iterable[Check]]) -> list[Check]:
    """The lines of a probe; when it raises, that is the line."""
    try:
        return list(ask())
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        return [fail(name, f"{type(error).__name__}: {said}", "Mend what it says, then ask again.")]


def _settings() -> Iterable[Check]:
    yield doctor.settings(
        demo=settings.DEMO,
        debug=settings.DEBUG,
        secret_key=settings.SECRET_KEY,
        public_url=settings.PUBLIC_URL,
        allowed_hosts=settings.ALLOWED_HOSTS,
    )


def _embedded(services: embedded.Services) -> list[str]:
    postgres = str(connection.settings_dict["HOST"]) and str(connection.settings_dict["HOST"]) in services.database_url
    return [
        name for name, ours in (("PostgreSQL", postgres), ("Redis", services.redis_url == settings.REDIS_URL)) if ours
    ]


def _database(*, clock: Callable[[], datetime]) -> Iterable[Check]:
    try:
        connection.ensure_connection()
    except OperationalError as error:
        said = " ".join(str(error).split())[:200]
        return [fail("database", f"PostgreSQL does not answer: {said}", "Start it, or correct DATABASE_URL.")]
    with connection.cursor() as cursor:
        before = clock()
        cursor.execute("SELECT clock_timestamp(), current_setting('default_transaction_isolation'), version()")
        there, level, version = cursor.fetchone()
        between = before + (clock() - before) / 2
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [
        ok("database", " ".join(str(version).split()[:2])),
        doctor.migrations([f"{migration.app_label}.{migration.name}" for migration, _ in plan]),
        doctor.clock((there - between).total_seconds()),
        doctor.isolation(level),
    ]


def _redis() -> Iterable[Check]:
    client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=ANSWER, socket_timeout=ANSWER)
    try:
        info: dict[str, Any] = client.info()
    except redis.RedisError as error:
        return [fail("redis", f"Redis does not answer: {error}", "Start it, or correct REDIS_URL.")]
    finally:
        client.close()
    version = info.get("valkey_version") or info["redis_version"]
    return [
        ok("redis", f"answers ({version})"),
        doctor.eviction(str(info.get("maxmemory_policy", "noeviction")), limit=int(info.get("maxmemory", 0))),
    ]


def _muscle(*, now: datetime) -> Iterable[Check]:
    sight = queue.look()
    waiting, swept_at = (sight.waiting, sight.swept_at) if sight else ({}, {})
    yield doctor.workers(queue.consumers(timeout=ANSWER), waiting=waiting)
    for name, limit in ((queue.DISPATCHER, doctor.DISPATCHER_AWAY), (queue.BEAT, doctor.BEAT_AWAY)):
        at = swept_at.get(name)
        yield doctor.sweep(name, seconds_ago=None if at is None else now.timestamp() - at, limit=limit)


def _channel_layer() -> Iterable[Check]:
    async_to_sync(_round_trip)()
    yield ok("channel layer", "a message came back")


async def _round_trip() -> None:
    layer = get_channel_layer()
    if layer is None:
        raise RuntimeError("CHANNEL_LAYERS has no default")
    async with asyncio.timeout(ANSWER):
        name = await layer.new_channel()
        receiving = asyncio.ensure_future(layer.receive(name))
        await asyncio.sleep(0)
        await layer.send(name, {"type": "doctor"})
        await receiving


def _work(*, now: datetime) -> Iterable[Check]:
    read = gauges.read(now=now)
    yield doctor.lanes(read)
    yield doctor.deliveries(read.trouble, breakers=read.breakers)


def _drift() -> Iterable[Check]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {RECOUNT}")
            count: int | None = len(audit.find())
    except OperationalError:
        count = None
    yield doctor.drift(count)


def _provider(name: str, *, channel: str, provider: str) -> Iterable[Check]:
    carrier = registry.channel(channel, provider).provider
    kind, probe = type(carrier).__name__, getattr(carrier, "probe", None)
    if probe is None:
        return [ok(name, f"{kind} is configured; `manage.py canary` sends")]
    wrong = probe()
    if wrong is None:
        return [ok(name, f"{kind} let us in")]
    remedy = f"Look at the {channel.upper()}_ settings in docs/settings.md, and at the server's own log."
    return [fail(name, f"{kind}: {wrong.code} {wrong.detail}".strip(), remedy)]


def _sender() -> Iterable[Check]:
    domain = parseaddr(settings.EMAIL_FROM)[1].rpartition("@")[2].lower()
    try:
        found = bool(socket.getaddrinfo(domain, None))
    except (OSError, UnicodeError):
        found = False
    yield doctor.sender(domain, found=found, demo=settings.DEMO)


def _web() -> Iterable[Check]:
    url = f"{settings.PUBLIC_URL}/health/ready"
    try:
        with urllib.request.urlopen(url, timeout=ANSWER) as answer:  # noqa: S310  PUBLIC_URL is the operator's
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError as error:
        return [fail("web", f"{url}: {error}", "Start the process web, or correct PUBLIC_URL and the proxy.")]
    if status != 200:
        return [fail("web", f"{url} answered {status}", "400: ALLOWED_HOSTS; 503: PostgreSQL; else the proxy.")]
    return [ok("web", f"{url} is ready")]


def socket_url() -> str:
    """Where a browser finds the sockets, as the inbox page does."""
    if settings.WS_URL:
        return str(settings.WS_URL)
    page = urlsplit(settings.PUBLIC_URL)
    return f"{'wss' if page.scheme == 'https' else 'ws'}://{page.hostname}:{settings.WS_PORT}/ws/notifications/"


def _sockets() -> Iterable[Check]:
    """As a browser on our pages would: through the proxy, with our Origin."""
    url, begun = socket_url(), time.monotonic()
    try:
        with connect(
            url, origin=Origin(settings.PUBLIC_URL), subprotocols=[SUBPROTOCOL], open_timeout=ANSWER, close_timeout=0.5
        ) as opened:
            chosen = opened.subprotocol
    except InvalidHandshake as error:
        remedy = "Check the path in WS_URL, and that the proxy passes Upgrade, Connection and Origin on."
        return [fail("sockets", f"{url}: {error}", remedy)]
    except OSError as error:
        return [fail("sockets", f"{url}: {error}", "Start the process ws, or correct WS_URL and the proxy.")]
    if chosen != SUBPROTOCOL:
        return [fail("sockets", f"{url} chose {chosen}", "Let the proxy pass Sec-WebSocket-Protocol on.")]
    return [ok("sockets", f"{url} opened in {(time.monotonic() - begun) * 1000:.0f} ms")]


def _disk() -> Iterable[Check]:
    directory = settings.DATA_DIR if settings.DATA_DIR.is_dir() else settings.BASE_DIR
    yield doctor.disk(shutil.disk_usage(directory).free, directory=str(directory))
