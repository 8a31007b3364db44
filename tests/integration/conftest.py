"""Redis when it does not answer, and a mail server that does what it is told."""

import socket
from collections.abc import Iterator

import pytest
from django.test import override_settings

from core import redis
from tests import mail


class BlackHole:
    """A listener that takes connections into its backlog and never says a word."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def callers(self) -> int:
        """How many connections have come since the last look."""
        count = 0
        while True:
            try:
                self._listener.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def dead_redis() -> Iterator[BlackHole]:
    """Redis's address leads nowhere; every process remembers its client, so that is forgotten before and after."""
    hole = BlackHole()
    with override_settings(REDIS_URL=hole.url):
        _forget()
        yield hole
    _forget()
    hole.close()


def _forget() -> None:
    redis._client.cache_clear()
    redis._closed_until = 0.0


@pytest.fixture
def server() -> Iterator[mail.MailServer]:
    """A mail server that does what it is told, and settings that name it."""
    with mail.MailServer() as server, override_settings(EMAIL_URL=server.url, EMAIL_TIMEOUT=0.4):
        yield server
