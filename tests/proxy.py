"""A proxy in front of Redis that a test can watch and cut: the way to act at one very line of another process."""

import contextlib
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit


class Proxy:
    """
    Forwards bytes both ways. `on_request` sees every piece a client sends before Redis does; what it does
    then (kill the client, wait) happens at that moment, and False drops the piece.
    """

    def __init__(self, redis_url: str) -> None:
        self._target = redis_url
        self._server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"redis://127.0.0.1:{self._server.getsockname()[1]}/0"
        self.on_request: Callable[[bytes], bool] = lambda piece: True
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                try:
                    upstream = self._connect()
                except OSError:
                    client.close()
                    continue
                self._open |= {client, upstream}
                threading.Thread(target=self._pump, args=(client, upstream, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(upstream, client, False), daemon=True).start()

    def _connect(self) -> socket.socket:
        parts = urlsplit(self._target)
        if parts.scheme == "unix":
            upstream = socket.socket(socket.AF_UNIX)
            upstream.connect(parts.path)
            return upstream
        return socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379))

    def _pump(self, source: socket.socket, sink: socket.socket, watched: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if not watched or self.on_request(piece):
                    sink.sendall(piece)
        self._close(source, sink)

    def _close(self, *sockets: socket.socket) -> None:
        for one in sockets:
            self._open.discard(one)
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def cut(self) -> None:
        """Break every connection that is open now; new ones are welcome."""
        self._close(*tuple(self._open))

    def stop(self) -> None:
        self._server.close()
        self.cut()
