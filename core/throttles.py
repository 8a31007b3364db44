"""How often one may ask."""

import time
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from redis import Redis
from rest_framework import throttling
from rest_framework.request import Request

from core import redis

if TYPE_CHECKING:
    from rest_framework.views import APIView

_PERIODS = {"s": 1, "sec": 1, "min": 60, "m": 60, "hour": 3600, "h": 3600, "day": 86400, "d": 86400}


def _count(redis: Redis, *, key: str, seconds: int) -> int:
    pipeline = redis.pipeline(transaction=False)
    pipeline.incr(key)
    pipeline.expire(key, seconds)
    return int(pipeline.execute()[0])


class RateThrottle(throttling.BaseThrottle):
    """
    So many requests in each fixed window, counted in Redis. While Redis is away everyone passes: a rate
    limit protects the service from load, and refusing all would be the outage it should prevent.
    """

    def rate(self) -> str:
        return str(settings.RATE_API)

    def who(self, request: Request) -> str:
        return f"user:{request.user.pk}" if request.user.pk else f"address:{self.get_ident(request)}"

    def allow_request(self, request: Request, view: "APIView") -> bool:
        allowed, period = self.rate().split("/")
        seconds = _PERIODS[period]
        window, elapsed = divmod(time.time(), seconds)
        self._retry_after = int(seconds - elapsed) + 1
        key = f"bellhop:rate:{self.who(request)}:{seconds}:{int(window)}"
        counted = redis.attempt(partial(_count, key=key, seconds=seconds))
        return counted is None or counted <= int(allowed)

    def wait(self) -> float:
        return self._retry_after


class LoginThrottle(RateThrottle):
    """Guesses of a password: few, counted per address and user name together."""

    def rate(self) -> str:
        return str(settings.RATE_LOGIN)

    def who(self, request: Request) -> str:
        name = request.data.get("username", "") if isinstance(request.data, dict) else ""
        return f"login:{self.get_ident(request)}:{str(name)[:150]}"
