"""`manage.py up`: everything this checkout needs to run, in one terminal."""

import contextlib
import fcntl
import http.client
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from honcho.environ import parse_procfile

from core import embedded, processes
from core.embedded import EmbeddedError
from core.management import banner
from core.supervisor import Supervisor

if TYPE_CHECKING:
    from core.demo import Login

MARK = "BELLHOP_UP"  # carried by all that `up` starts: a killed `up` leaves processes that the next one finds
GRACE = 12.0  # seconds; the sockets close within 10, a running task within 10
START = 90.0  # seconds for web and ws to answer on a busy machine
FIRST = ("web", "ws", "mail")  # what people wait for; the others start when these answer


class Command(BaseCommand):
    """
    Starts the embedded servers, migrates, runs the Procfile; Ctrl-C or SIGTERM ends all of it.

    One per DATA_DIR. What a killed predecessor left running is ended first.
    """

    help = "Start the embedded servers and every process of the Procfile; Ctrl-C stops all of it."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until a signal. Raises CommandError with one sentence when something is in the way."""
        hurry = threading.Event()
        _on_signal(hurry)
        try:
            with _only_one(settings.DATA_DIR):
                self._run(hurry)
        except EmbeddedError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{error.filename or settings.DATA_DIR}: {error.strerror}.") from error

    def _run(self, hurry: threading.Event) -> None:
        data_dir: Path = settings.DATA_DIR
        processes.kill(processes.carrying(MARK, value=str(data_dir)))
        commands = _commands()
        _check_ports(commands)
        root = settings.BASE_DIR
        supervisor = Supervisor(root=root, env=_environment(), width=max(map(len, commands)))
        try:
            embedded.start(
                data_dir=data_dir,
                postgres=not os.environ.get("DATABASE_URL"),
                valkey=not os.environ.get("REDIS_URL"),
            )
            logins = self._prepare_database()
            first = [name for name in FIRST if name in commands]
            for name in first:
                supervisor.start(name, commands[name])
            _await_answers(supervisor)
            for name in [name for name in commands if name not in first]:
                supervisor.start(name, commands[name])
            self.stdout.write(banner.text(logins=logins, flower="flower" in commands))
            self.stdout.flush()
            _watch(supervisor)
        finally:
            supervisor.stop(grace=GRACE, hurry=hurry)
            processes.kill(processes.carrying(MARK, value=str(data_dir)))
            embedded.stop(data_dir=data_dir)

    def _prepare_database(self) -> "list[Login]":
        if not settings.DEMO:
            self.check()
        executor = MigrationExecutor(connections["default"])
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            self.stdout.write("up: preparing the database")
            self.stdout.flush()
            call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
        logins: list[Login] = []
        if settings.DEMO:
            from core import demo

            logins = demo.ensure(now=datetime.now(UTC))
        connections.close_all()
        return logins


def _on_signal(hurry: threading.Event) -> None:
    def stop(number: int, frame: object) -> NoReturn:
        for again in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(again, lambda *_: hurry.set())
        with contextlib.suppress(OSError):
            print("up: stopping", file=sys.stderr, flush=True)
        raise SystemExit(0)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


@contextlib.contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "up.lock").open("a+") as lock:
        if not _lock(lock):
            print("up: another one runs here; waiting for it to end", file=sys.stderr, flush=True)
        if not processes.wait_until(lambda: _lock(lock), seconds=GRACE + 5):
            lock.seek(0)
            raise CommandError(
                f"Bellhop already runs in {data_dir} (process {lock.read()}): stop it with Ctrl-C in its "
                "terminal, or set DATA_DIR and the ports to run another one."
            )
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _lock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _commands() -> dict[str, str]:
    commands = dict(parse_procfile((settings.BASE_DIR / "Procfile").read_text()).processes)
    if settings.DEMO and not os.environ.get("EMAIL_URL"):
        commands["mail"] = "python scripts/smtp_sink.py"
    if not settings.DEMO and not os.environ.get("FLOWER_BASIC_AUTH"):
        del commands["flower"]  # it would show every task to everybody on this machine
    return commands


def _environment() -> dict[str, str]:
    demo = {}
    if settings.DEMO:
        demo = {"FLOWER_BASIC_AUTH": "admin:admin", "EMAIL_URL": f"smtp://127.0.0.1:{_port('SMTP_PORT')}"}
    return {
        "PYTHONWARNINGS": "ignore:You're running the worker",  # as root: whoever starts `up` as root knows
        **demo,
        **os.environ,
        "PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        "DATA_DIR": str(settings.DATA_DIR),
        "SMTP_PORT": str(_port("SMTP_PORT")),
        MARK: str(settings.DATA_DIR),
    }


def _port(name: str) -> int:
    defaults = {"HTTP_PORT": 8000, "WS_PORT": 8001, "FLOWER_PORT": 5555, "SMTP_PORT": 1025}
    value = os.environ.get(name, str(defaults[name]))
    if not value.isdigit() or not 0 < int(value) < 65536:
        raise CommandError(f"{name} is {value!r}: set it to a number from 1 to 65535.")
    return int(value)


def _check_ports(commands: dict[str, str]) -> None:
    host = os.environ.get("BIND_HOST", "127.0.0.1")
    users = {"web": "HTTP_PORT", "ws": "WS_PORT", "flower": "FLOWER_PORT", "mail": "SMTP_PORT"}
    for command, name in users.items():
        if command not in commands:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            address = host if command in ("web", "ws") else "127.0.0.1"
            try:
                probe.bind((address, _port(name)))
            except OSError as error:
                raise CommandError(
                    f"Port {_port(name)} on {address} cannot be used ({error.strerror}): set {name} to another one."
                ) from error


def _await_answers(supervisor: Supervisor) -> None:
    def answered() -> bool:
        if any(map(supervisor.ended, ("web", "ws"))):
            raise CommandError("web or ws ended before it answered: its last lines above say why.")
        return _live() and _connects(_port("WS_PORT"))

    if not processes.wait_until(answered, seconds=START):
        raise CommandError(f"web or ws did not answer within {START:.0f} s: their lines above may say why.")


def _live() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", _port("HTTP_PORT"), timeout=5)
    try:
        connection.request("GET", "/health/live")
        connection.getresponse()  # whatever it says: ALLOWED_HOSTS may not name this address
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _connects(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def _watch(supervisor: Supervisor) -> None:
    # Nobody else would stop us when the `make` that started us is killed.
    make = os.getppid() if "MAKELEVEL" in os.environ else None
    while make is None or os.getppid() == make:
        supervisor.revive()
        time.sleep(0.2)
