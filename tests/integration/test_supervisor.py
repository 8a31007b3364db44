"""The supervisor of `manage.py up`: what ends comes back, what stops leaves nothing."""

import os
import sys
import threading
import uuid
from pathlib import Path

import psutil
import pytest

from core import processes
from core.supervisor import Supervisor

MARK = "BELLHOP_TEST"


class Stage:
    """A supervisor whose processes can be found again by a mark of their own.

    It prints to the stdout it was made under, which capsys replaces: make it inside the test.
    """

    def __init__(self, root: Path, **env: str) -> None:
        self.mark = uuid.uuid4().hex
        self.supervisor = Supervisor(root=root, env={**os.environ, **env, MARK: self.mark}, width=4)

    def names(self) -> list[str]:
        return sorted(name for p in processes.carrying(MARK, value=self.mark) if (name := last_word(p)))

    def stop(self, *, grace: float) -> None:
        self.supervisor.stop(grace=grace, hurry=threading.Event())


def last_word(process: psutil.Process) -> str:
    """The last word of its command line; empty when it has ended since it was found."""
    try:
        return (process.cmdline() or [""])[-1]
    except psutil.NoSuchProcess:
        return ""


def python(code: str, name: str) -> str:
    return f"{sys.executable} -c '{code}' {name}"


SLEEP = "import time; time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
PARENT = 'import subprocess, sys; subprocess.run([sys.executable, "-c", "import time; time.sleep(60)", "child"])'


def test_output_is_shown_with_its_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    stage = Stage(tmp_path, N="3")
    shown = ""

    def says() -> bool:
        nonlocal shown
        shown += capsys.readouterr().out
        return "web  | hello from 3\n" in shown

    stage.supervisor.start("web", "echo hello from ${N:-8}")
    assert processes.wait_until(says, seconds=10), shown
    stage.stop(grace=5)


def test_a_killed_command_and_its_children_are_replaced(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.supervisor.start("web", python(PARENT, "parent"))
    assert processes.wait_until(lambda: stage.names() == ["child", "parent"], seconds=10)
    before = processes.carrying(MARK, value=stage.mark)
    next(process for process in before if last_word(process) == "parent").kill()

    def replaced() -> bool:
        stage.supervisor.revive()
        return stage.names() == ["child", "parent"] and not any(map(processes.alive, before))

    assert processes.wait_until(replaced, seconds=10), stage.names()
    stage.stop(grace=5)
    assert stage.names() == []


def test_stop_is_polite_then_thorough(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.supervisor.start("mild", python(SLEEP, "mild"))
    stage.supervisor.start("hard", python(STUBBORN, "hard"))
    shown = ""

    def ignores_the_signal() -> bool:
        nonlocal shown
        shown += capsys.readouterr().out
        return "hard | 1" in shown

    assert processes.wait_until(ignores_the_signal, seconds=10), shown
    stage.stop(grace=0.5)
    assert stage.names() == []
    assert "hard | did not end in time; killed" in capsys.readouterr().out


def test_hurry_ends_the_wait(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.supervisor.start("hard", python(STUBBORN, "hard"))
    assert processes.wait_until(lambda: stage.names() == ["hard"], seconds=10)
    hurry = threading.Event()
    hurry.set()
    stage.supervisor.stop(grace=3600, hurry=hurry)
    assert stage.names() == []
