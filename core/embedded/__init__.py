"""
PostgreSQL and Valkey as wheels: real servers for one checkout, with no root, no Docker, no account.

They live under `<data_dir>/embedded`, listen on unix sockets only (no port to collide with) and outlive
whoever started them. Nothing here imports Django: core/settings.py asks for the addresses.
"""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.embedded import place as places
from core.embedded import postgres as postgres_server
from core.embedded import valkey as valkey_server
from core.embedded.place import EmbeddedError

__all__ = ["EmbeddedError", "Services", "start", "stop", "urls"]

MIN_FREE = 200 * 2**20  # bytes: a fresh cluster is 40 MB, and its WAL grows in files of 16 MB


@dataclass(frozen=True)
class Services:
    """Where the servers listen."""

    database_url: str
    redis_url: str


def urls(*, data_dir: Path) -> Services:
    """The addresses for data_dir, whether or not anything listens there. Pure."""
    place = places.of(data_dir)
    name = postgres_server.NAME
    # django-environ reads a database path that starts with a slash as "host/name": a socket's directory.
    return Services(
        database_url=f"postgres://{name}@/{place.sockets}/{name}",
        redis_url=f"unix://{place.valkey_socket}?db=0",
    )


def start(*, data_dir: Path, postgres: bool = True, valkey: bool = True) -> Services:
    """
    Make the servers answer and the database exist; return their addresses.

    Healthy servers are left alone, also when whoever started them was killed; others are ended and started
    again. Two callers at once: the second waits. Raises EmbeddedError.
    """
    with _locked(data_dir):
        free = shutil.disk_usage(data_dir).free
        if free < MIN_FREE:
            raise EmbeddedError(
                f"The disk of {data_dir} has {free // 2**20} MB left and {MIN_FREE // 2**20} MB are needed: "
                "free some space, or set DATA_DIR to a directory on another disk."
            )
        place = places.of(data_dir)
        owner = places.prepare(place)
        if valkey:
            valkey_server.start(place, owner)
        if postgres:
            postgres_server.start(place, owner)
    return urls(data_dir=data_dir)


def stop(*, data_dir: Path) -> None:
    """End both servers of data_dir. Nothing happens when none runs. Raises EmbeddedError."""
    place = places.of(data_dir)
    if place.home.is_dir():
        with _locked(data_dir):
            valkey_server.stop(place)
            postgres_server.stop(place)


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with (data_dir / "embedded.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)  # the kernel drops it with the process, kill -9 included
            yield
    except PermissionError as error:
        raise EmbeddedError(
            f"{error.filename or data_dir} belongs to another user: run as that user, or set DATA_DIR to a "
            "directory of your own."
        ) from error
    except OSError as error:
        raise EmbeddedError(f"{error.filename or data_dir} cannot be used: {error.strerror}.") from error
