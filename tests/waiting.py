"""Waiting for something to become true, in tests that watch other processes."""

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def wait_until(condition: Callable[[], Answer], *, what: str, within: float = 30.0) -> Answer:
    """The first true answer of `condition`. Fails with `what` and the last answer."""
    end = time.monotonic() + within
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {within} s; last answer: {answer!r}")
        time.sleep(0.02)
