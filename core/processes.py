"""Processes of this machine: found by what they work on, waited for, ended."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil


def in_directory(name: str, *, cwd: Path) -> list[psutil.Process]:
    """The living processes called `name` that work in `cwd`."""
    return list(_matching(lambda process: process.name() == name and process.cwd() == str(cwd.resolve())))


def carrying(variable: str, *, value: str) -> list[psutil.Process]:
    """This user's living processes that were started with an environment variable of that value."""
    mine = psutil.Process().uids().real
    return list(_matching(lambda p: p.uids().real == mine and p.environ().get(variable) == value))


def in_group(leader: int) -> list[psutil.Process]:
    """The living processes of a process group, whether its leader lives or not."""
    return list(_matching(lambda process: os.getpgid(process.pid) == leader and alive(process)))


def alive(process: psutil.Process) -> bool:
    """Whether it still does anything. In a container without an init, orphans stay zombies forever."""
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL them and wait until they are gone. Gone ones are no error."""
    doomed = list(processes)
    for process in doomed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until(lambda: not any(map(alive, doomed)), seconds=10)


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Ask every 20 ms until the condition holds; False when it did not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _matching(condition: Callable[[psutil.Process], bool]) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if condition(process):
                yield process
