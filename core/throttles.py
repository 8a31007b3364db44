"""How often one may ask."""

import time
import unicodedata
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


NAMES_PER_ADDRESS = 10  # an office behind one address signs in too


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
        return self.count(self.who(request), rate=self.rate())

    def count(self, who: str, *, rate: str, times: int = 1) -> bool:
        """Count one more of `who`; whether it is still within `times` the rate. True while Redis is away."""
        allowed, period = rate.split("/")
        seconds = _PERIODS[period]
        window, elapsed = divmod(time.time(), seconds)
        self._retry_after = int(seconds - elapsed) + 1
        key = f"bellhop:rate:{who}:{seconds}:{int(window)}"
        counted = redis.attempt(partial(_count, key=key, seconds=seconds))
        return counted is None or counted <= times * int(allowed)

    def wait(self) -> float:
        return self._retry_after


class LoginThrottle(RateThrottle):
    """Guesses of a password: few per address and user name, and not many more per address."""

    def allow_request(self, request: Request, view: "APIView") -> bool:
        name = request.data.get("username", "") if isinstance(request.data, dict) else ""
        return self.allow(request, name=str(name))

    def allow(self, request: Request, *, name: str) -> bool:
        """As allow_request, for a name from elsewhere than a JSON body."""
        # As the sign-in itself reads names: padding one must not give new guesses.
        name = unicodedata.normalize("NFKC", name).strip()[:150]
        address, rate = self.get_ident(request), str(settings.RATE_LOGIN)
        return self.count(f"login:{address}", rate=rate, times=NAMES_PER_ADDRESS) and self.count(
            f"login:{address}:{name}", rate=rate
        )
