"""The servers of one run: PostgreSQL and Valkey in a directory of their own, and the processes of a design."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection

from core import embedded, processes
from core.embedded import place as places

ROOT = Path(__file__).resolve().parents[2]


class BenchError(RuntimeError):
    """The benchmark cannot run; the message says why."""


@contextlib.contextmanager
def data_directory() -> Iterator[Path]:
    """A directory of this run, with PostgreSQL and Valkey answering in it; all gone afterwards."""
    # Not below /tmp: that may be memory, where a commit costs nothing.
    data_dir = Path(tempfile.mkdtemp(prefix=".data-bench-", dir=ROOT))
    try:
        data_dir.chmod(0o755)  # as root the servers run as another user
        embedded.start(data_dir=data_dir)
        yield data_dir
    finally:
        embedded.stop(data_dir=data_dir)
        shutil.rmtree(places.of(data_dir).sockets, ignore_errors=True)
        shutil.rmtree(data_dir, ignore_errors=True)


def connect(data_dir: Path, *, database: str) -> Connection:
    """A connection that commits each statement."""
    user = embedded.postgres_server.NAME
    connection = psycopg2.connect(host=str(places.of(data_dir).sockets), user=user, dbname=database)
    connection.autocommit = True
    return connection


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """What a process of a design gets: `own`, and of ours only what finds programs."""
    keep = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    # Celery warns its every start as root; whoever starts this as root knows.
    return keep | {"PATH": path, "PYTHONWARNINGS": "ignore"} | dict(own)


def output_of(module: str, *arguments: str, env: Mapping[str, str]) -> str:
    """Run `python -m module` to its end; what it printed. Raises BenchError."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, env=dict(env), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BenchError(f"{module} failed:\n{done.stderr[-2000:]}")
    return done.stdout


class Running:
    """The processes of a design, each leading a session of its own."""

    def __init__(self, *, env: Mapping[str, str], log: Path) -> None:
        self._env, self._log = dict(env), log
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, line: str) -> None:
        """Start a line of the Procfile."""
        with self._log.open("ab") as log:
            self._children[name] = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {line}"],  # the shell is for ${HTTP_PORT:-8000}
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def await_port(self, port: int) -> None:
        """Until something listens there. Raises BenchError when a process ended, or after a minute."""

        def answers() -> bool:
            self.check()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
            return False

        if not processes.wait_until(answers, seconds=60):
            raise BenchError(f"Nothing listens on port {port} after a minute.")

    def check(self) -> None:
        """Raises BenchError when a process has ended."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise BenchError(f"{name} ended with exit status {child.returncode}.")

    def pause(self, name: str) -> None:
        """The process and its children stand still until `resume` or `stop`."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """They go on."""
        self._signal(name, signal.SIGCONT)

    def stop(self) -> None:
        """End all of them."""
        for name, child in self._children.items():
            if child.poll() is None:
                child.terminate()
                self.resume(name)
        processes.wait_until(lambda: all(c.poll() is not None for c in self._children.values()), seconds=15)
        for name, child in self._children.items():
            self._signal(name, signal.SIGKILL)  # what is left of the session
            child.wait()

    def last_words(self) -> str:
        """The end of what they printed."""
        return self._log.read_text(errors="replace")[-2000:]

    def _signal(self, name: str, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._children[name].pid, number)
