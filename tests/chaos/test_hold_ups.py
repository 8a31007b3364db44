"""Who is slow or silent holds up nobody else."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest

from core.models import User
from notifications.models import Attempt, Delivery, Event
from tests import rest
from tests.processes import Bellhop
from tests.sockets import Client
from tests.waiting import wait_until


@pytest.fixture
def silence(bellhop: Bellhop) -> Iterator[list[socket.socket]]:
    """A mail server that takes every connection and never says a word."""
    server = socket.create_server(("127.0.0.1", bellhop.smtp_port))
    taken: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                taken.append(server.accept()[0])
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    yield taken
    server.close()
    for one in taken:
        one.close()


def test_a_silent_mail_server_holds_up_no_inbox(
    bellhop: Bellhop, people: list[User], silence: list[socket.socket]
) -> None:
    bellhop.start("web", "worker", "worker_delivery", "dispatcher")
    token = bellhop.token("producer")

    def post(count: int) -> None:
        body = {"type": "task.updated", "recipients": {"users": ["user0"]}}
        answer = rest.call(bellhop, "POST", "/events/batch", {"events": [body] * count}, token=token)
        assert answer.status == 202

    post(10)
    wait_until(lambda: silence, what="a delivery waiting for the mail server")
    post(200)
    wait_until(lambda: Event.objects.filter(state="processed").count() == 210, what="every inbox being served")
    # Each call waits for two seconds in vain; in that time two children cannot have begun many.
    assert Delivery.objects.filter(state="pending").count() == 210
    wait_until(lambda: Attempt.objects.filter(code="unreachable").exists(), what="the first call being given up")
    wait_until(lambda: Delivery.objects.filter(reason="provider_away").exists(), what="its claim being put off")
    assert set(Delivery.objects.filter(reason="provider_away").values_list("attempts", flat=True)) == {0}


async def test_a_reader_that_stalls_is_cut_off_and_resumes(bellhop: Bellhop, people: list[User]) -> None:
    bellhop.start("web", "ws", "worker")
    alice, producer = bellhop.token("user0"), bellhop.token("producer")
    stalled = socket.create_connection(("127.0.0.1", bellhop.ws_port))
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.sendall(
        b"GET /ws/notifications/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: bellhop.v1.json\r\nAuthorization: Bearer " + alice.encode() + b"\r\n\r\n"
    )
    stalled.sendall(frame({"type": "hello"}))
    assert b"101" in stalled.recv(64)  # and from here on it reads no more
    body = {"type": "task.updated", "recipients": {"users": ["user0"]}, "channels": ["in_app"], "body": "x" * 9000}
    async with Client(bellhop, alice) as reader:
        for _ in range(4):
            rest.call(bellhop, "POST", "/events/batch", {"events": [body] * 250}, token=producer)
        await reader.until(lambda: reader.seq == 1000)  # the same person's other device is not held up
    wait_until(lambda: is_cut(stalled), what="the stalled socket being cut off")
    async with Client(bellhop, alice, position=None) as again:
        assert again.seq == 1000
        assert again.counts == {"unread": 1000, "unseen": 1000}


def frame(message: dict[str, object]) -> bytes:
    """A masked text frame (RFC 6455, 5.2) with a mask of zeros, which leaves the text as it is."""
    text = json.dumps(message).encode()
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


def is_cut(connection: socket.socket) -> bool:
    """Whether the peer has dropped it: writing to it fails."""
    try:
        connection.sendall(frame({"type": "pong"}))
    except OSError:
        return True
    return False
