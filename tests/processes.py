"""Bellhop as real processes, for tests that kill them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings
from django.db import connection

from core.models import User
from tests import factories
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines() if ": " in line)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One process of the Procfile, in a group of its own."""

    def __init__(self, name: str, command: str, *, env: dict[str, str], log: Path) -> None:
        self.name, self._command, self._env, self.log = name, command, env, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                f"exec {self._command}",
                shell=True,
                cwd=ROOT,
                env=self._env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """To the whole group: a worker's children too."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory is short; returns when nothing of it is left."""
        children = psutil.Process(self.pid).children(recursive=True) if psutil.pid_exists(self.pid) else []
        self.signal(signal.SIGKILL)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        assert self._process is not None
        self._process.wait(10)

    def ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


class Bellhop:
    """A whole installation on free ports, on the test database and the test Valkey."""

    def __init__(self, directory: Path, *, redis_url: str | None = None, **env: str) -> None:
        self.http_port, self.ws_port, self.smtp_port = free_port(), free_port(), free_port()
        self.http_url = f"http://127.0.0.1:{self.http_port}"
        self.ws_url = f"ws://127.0.0.1:{self.ws_port}/ws/notifications/"
        self.mail_dir = directory / "mail"
        host, name = connection.settings_dict["HOST"], connection.settings_dict["NAME"]
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "",
            "DJANGO_SETTINGS_MODULE": "core.settings",
            "SECRET_KEY": settings.SECRET_KEY,
            "DATABASE_URL": os.environ.get("TEST_DATABASE_URL") or f"postgres://bellhop@/{host}/{name}",
            "REDIS_URL": redis_url or settings.REDIS_URL,
            "DATA_DIR": str(settings.DATA_DIR),
            "HTTP_PORT": str(self.http_port),
            "WS_PORT": str(self.ws_port),
            "PUBLIC_URL": self.http_url,
            "EMAIL_URL": f"smtp://127.0.0.1:{self.smtp_port}",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "INFO",
            "RATE_API": "1000000/min",
            "LEASE_SECONDS": "20",
            "EMAIL_TIMEOUT": "2",
        } | env
        self.processes: dict[str, Process] = {}
        commands = PROCFILE | {
            "sink": f"python scripts/smtp_sink.py --port {self.smtp_port} --directory {self.mail_dir}"
        }
        self._directory = directory
        for process, command in commands.items():
            self.add(process, command)

    def add(self, name: str, command: str) -> None:
        """One more process that may be started."""
        self.processes[name] = Process(name, command, env=self.env, log=self._directory / f"{name}.log")

    def __getitem__(self, name: str) -> Process:
        return self.processes[name]

    def start(self, *names: str) -> None:
        """Start these processes and wait until those that listen answer."""
        for name in names:
            self.processes[name].start()
        if "web" in names:
            wait_until(lambda: self._answers(self.http_url), what="web answering")
        if "ws" in names:
            wait_until(lambda: self._answers(f"http://127.0.0.1:{self.ws_port}"), what="ws answering")
        if "sink" in names:
            wait_until(lambda: _listens(self.smtp_port), what="the mail sink listening")

    def stop(self) -> None:
        """End everything at once: what a test leaves needs no farewell."""
        for process in self.processes.values():
            process.stop()

    @staticmethod
    def _answers(url: str) -> bool:
        try:
            with urllib.request.urlopen(f"{url}/health/live", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def token(self, username: str) -> str:
        """A fresh token of a user who exists, or is made here."""
        found = User.objects.filter(username=username).first()
        return factories.token(found or factories.user(username, is_producer=username == "producer"))

    def ended(self) -> list[Process]:
        """What was started and has ended by itself."""
        return [process for process in self.processes.values() if process.ended()]

    def logs(self) -> str:
        return "".join(p.log.read_text(errors="replace") for p in self.processes.values() if p.log.exists())

    def mails(self) -> list[Any]:
        return sorted(self.mail_dir.glob("*.eml"))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
