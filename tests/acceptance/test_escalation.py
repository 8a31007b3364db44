"""`email_if_unread_after` and a real socket: read in time there is no mail; read too late there is one; never both."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.db import connection
from django.test import override_settings

from core.models import User
from notifications.models import Attempt, Delivery, Notification
from tests import factories, mail
from tests.deciding import deliver
from tests.factories import NOW, accept, submission
from tests.processes import Bellhop
from tests.sockets import Client

DUE = NOW + timedelta(seconds=300)


@pytest.fixture
def sockets(committed: None, tmp_path: Path) -> Iterator[Bellhop]:
    """A socket process; the engine runs in the test, with the test's clock."""
    bellhop = Bellhop(tmp_path)
    try:
        bellhop.start("ws")
        yield bellhop
    finally:
        bellhop.stop()


async def read_it(sockets: Bellhop, token: str) -> None:
    """Open a socket, find the line in the first frames, mark it read and wait for the answer."""
    async with Client(sockets, token) as client:
        (id,) = client.items
        await client.send({"type": "command", "id": "once", "name": "mark_read", "args": {"ids": [id]}})
        await client.until(lambda: client.counts == {"unread": 0, "unseen": 0})


class Meanwhile(mail.MailServer):
    """A mail server in the middle of whose call she reads it."""

    def __init__(self, sockets: Bellhop, token: str) -> None:
        super().__init__()
        self._reading: tuple[Any, ...] = (sockets, token)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        other = threading.Thread(target=lambda: asyncio.run(read_it(*self._reading)))
        other.start()
        other.join()
        return await super().handle_DATA(server, session, envelope)


@pytest.fixture
def waiting(producer: User, alice: User) -> str:
    """A mail that goes out if Alice does not read the line within five minutes; her token."""
    accept(producer, submission("alice", email_if_unread_after=300))
    factories.process()
    return factories.token(alice)


def ends() -> list[tuple[str, str]]:
    return list(Delivery.objects.values_list("state", "reason"))


async def test_read_on_a_socket_one_moment_before_it_is_due(sockets: Bellhop, waiting: str) -> None:
    assert deliver(now=DUE - timedelta(microseconds=1)) == 0
    await read_it(sockets, waiting)
    with mail.MailServer() as server, override_settings(EMAIL_URL=server.url, EMAIL_TIMEOUT=2):
        assert deliver(now=DUE) == 1
        assert server.received == []
    assert (ends(), Attempt.objects.count()) == ([("suppressed", "already_read")], 0)


def test_read_on_a_socket_in_the_middle_of_the_call(sockets: Bellhop, waiting: str) -> None:
    with Meanwhile(sockets, waiting) as server, override_settings(EMAIL_URL=server.url, EMAIL_TIMEOUT=20):
        assert deliver(now=DUE) == 1
        assert len(server.received) == 1
        assert deliver(now=DUE + timedelta(days=1)) == 0
    assert (ends(), Attempt.objects.count()) == ([("sent", "")], 1)
    assert Notification.objects.filter(read_at__isnull=False).count() == 1
    connection.close()
