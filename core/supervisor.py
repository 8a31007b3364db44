"""Keeps commands running, each with its children, and shows what they print on one screen."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from core import processes

LONGEST_PAUSE = 30.0  # seconds between two starts of a command that keeps ending


@dataclass
class _Command:
    line: str
    colour: str
    child: "subprocess.Popen[bytes]"
    started: float = field(default_factory=time.monotonic)
    pause: float = 1.0
    ended: float | None = None


class Supervisor:
    """
    Runs commands of a Procfile. Each one leads a session of its own: a terminal's Ctrl-C reaches none of
    them, and one signal reaches all of its children.
    """

    def __init__(self, *, root: Path, env: Mapping[str, str], width: int) -> None:
        self._root = root
        self._env = dict(env)
        self._commands: dict[str, _Command] = {}
        self._colours = get_colours()
        self._printer = Printer(sys.stdout, width=width)
        self._screen = threading.Lock()

    def start(self, name: str, line: str) -> None:
        """Start a command by its name; its output appears line by line."""
        self._commands[name] = _Command(line, next(self._colours), self._spawn(line))
        self._follow(name)

    def ended(self, name: str) -> bool:
        """Whether the command is not running at the moment."""
        return self._commands[name].child.poll() is not None

    def revive(self) -> None:
        """Start again what ended, after a pause that doubles while it keeps ending. Call it often."""
        for name, command in self._commands.items():
            if command.child.poll() is None:
                continue
            now = time.monotonic()
            if command.ended is None:
                command.ended = now
                command.pause = 1.0 if now - command.started > LONGEST_PAUSE else command.pause
                self._kill_children(command)
                self._show(name, f"ended with {_status(command.child)}; starting again in {command.pause:.0f} s")
            elif now - command.ended >= command.pause:
                command.child, command.started, command.ended = self._spawn(command.line), now, None
                command.pause = min(command.pause * 2, LONGEST_PAUSE)
                self._follow(name)

    def stop(self, *, grace: float, hurry: threading.Event) -> None:
        """Ask every command to end, wait up to `grace` seconds or until `hurry` is set, kill the rest."""
        for command in self._commands.values():
            if command.child.poll() is None:
                # The leader only: a Celery child that gets this signal itself drops its work.
                command.child.terminate()
        processes.wait_until(lambda: hurry.is_set() or all(map(self.ended, self._commands)), seconds=grace)
        for name, command in self._commands.items():
            if command.child.poll() is None:
                self._show(name, "did not end in time; killed")
            self._kill_children(command)
            command.child.wait()

    def _spawn(self, line: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", f"exec {line}"],  # the shell is for ${HTTP_PORT:-8000}
            cwd=self._root,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _kill_children(self, command: _Command) -> None:
        """Kill what is left of its group, and wait: the signal takes a moment, and they may hold its port."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(command.child.pid, signal.SIGKILL)
        processes.wait_until(lambda: not processes.in_group(command.child.pid), seconds=10)

    def _follow(self, name: str) -> None:
        output = self._commands[name].child.stdout

        def follow() -> None:
            for line in output or ():
                self._show(name, line.decode(errors="replace").rstrip("\n"))

        threading.Thread(target=follow, name=f"output of {name}", daemon=True).start()

    def _show(self, name: str, text: str) -> None:
        message = Message("line", f"{text}\n", datetime.now().astimezone(), name, self._commands[name].colour)
        # A closed screen (`make run | head`) is no reason to stop reading: the command would block.
        with self._screen, contextlib.suppress(OSError, ValueError):
            self._printer.write(message)


def _status(child: "subprocess.Popen[bytes]") -> str:
    code = child.returncode
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"
