"""Threads that start together, each with a connection of its own: for what must hold however they interleave."""

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection


def at_once(*work: Callable[[], Any], caught: type[Exception] | tuple[type[Exception], ...] = ()) -> list[Any]:
    """
    Run these at once; what each returned, in their order. An error of a kind that is `caught` is a result too,
    any other is raised here.
    """
    start = threading.Barrier(len(work))
    results: list[Any] = [None] * len(work)
    raised: list[Exception] = []

    def run(place: int, one: Callable[[], Any]) -> None:
        try:
            start.wait(10)
            results[place] = one()
        except caught as error:
            results[place] = error
        except Exception as error:
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=one) for one in enumerate(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    return results
