"""
The door to Redis for everything that is not the broker or a socket: hints, live changes, rate limits.

Nothing in Redis is precious. Every call here gives up after a tenth of a second, says so by returning
None, and keeps the next callers away for two seconds, so that a dead Redis costs a request at most one
short wait and never an error.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import redis
from django.conf import settings

from core import logs

log = logs.logger(__name__)

TIMEOUT = 0.1  # seconds
COOL_DOWN = 2.0  # seconds

Answer = TypeVar("Answer")
_closed_until = 0.0  # time.monotonic() before which nobody tries


@cache
def _client() -> "redis.Redis":
    # No retries: the cool-down is the retry policy.
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=TIMEOUT, socket_timeout=TIMEOUT, retry=None)


def attempt(call: Callable[["redis.Redis"], Answer]) -> Answer | None:
    """Run `call` with the client. None when Redis is away or was away less than COOL_DOWN ago."""
    global _closed_until
    if time.monotonic() < _closed_until:
        return None
    try:
        return call(_client())
    except redis.RedisError as error:
        trip(error)
        return None


def trip(error: Exception) -> None:
    """Keep everybody away from Redis for COOL_DOWN; the broker's door (core/queue.py) shares this."""
    global _closed_until
    _closed_until = time.monotonic() + COOL_DOWN
    log.warning("redis.away", error=str(error), retry_in=COOL_DOWN)


def available() -> bool:
    """Whether Redis answers right now, ignoring the cool-down (health checks and the dispatcher ask)."""
    try:
        return bool(_client().ping())
    except redis.RedisError:
        return False
