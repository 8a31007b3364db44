"""A socket stays open while what carries its changes is lost, cut or away; and it ends with everything, in order."""

from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from core import embedded
from core.models import User
from notifications.models import Notification
from tests import rest
from tests.processes import Bellhop
from tests.proxy import Proxy
from tests.sockets import Client
from tests.waiting import wait_until


def tell(bellhop: Bellhop, token: str, name: str, **fields: object) -> None:
    """One critical event for one person, and its row."""
    before = Notification.objects.count()
    body = {"type": "task.updated", "recipients": {"users": [name]}, "channels": ["in_app"], "priority": "critical"}
    assert rest.call(bellhop, "POST", "/events", body | fields, token=token).status == 202
    wait_until(lambda: Notification.objects.count() == before + 1, what="the notification being written")


async def test_a_lost_change_is_found_when_the_sender_can_speak_again(
    bellhop: Bellhop, people: list[User], proxy: Proxy
) -> None:
    bellhop.start("web", "ws", "worker", "dispatcher")
    token, producer = bellhop.token("user0"), bellhop.token("producer")
    async with Client(bellhop, token) as client:
        proxy.on_request = drop_publishes
        tell(bellhop, producer, "user0", title="lost")
        proxy.on_request = lambda piece: True
        assert client.seq == 0
        tell(bellhop, producer, "user0", title="next")
        await client.until(lambda: client.seq == 2)
        assert [item["title"] for item in client.items.values()] == ["lost", "next"]
        assert 1 not in client.live
        assert client.counts == {"unread": 2, "unseen": 2}


def drop_publishes(piece: bytes) -> bool:
    """Let everything through but what is published with changes; the hub's own canary goes on singing."""
    return not (b"PUBLISH" in piece and b"task.updated" in piece)


async def test_a_lost_last_change_is_found_by_the_check_of_heads(
    bellhop: Bellhop, people: list[User], proxy: Proxy
) -> None:
    bellhop.start("web", "ws", "worker", "dispatcher")
    token, producer = bellhop.token("user0"), bellhop.token("producer")
    async with Client(bellhop, token) as client:

        def kill_the_sender(piece: bytes) -> bool:
            if not drop_publishes(piece):
                bellhop["worker"].kill()
                return False
            return True

        proxy.on_request = kill_the_sender
        tell(bellhop, producer, "user0", title="the last one")
        await client.until(lambda: client.seq == 1, within=60)  # HEAD_CHECK is 30 s with some chance
        assert [item["title"] for item in client.items.values()] == ["the last one"]
        assert client.live == []


async def test_what_happens_while_redis_is_away_arrives_when_it_is_back(
    bellhop: Bellhop, people: list[User], valkey_dir: Path
) -> None:
    bellhop.start("web", "ws", "worker", "dispatcher")
    token, producer = bellhop.token("user0"), bellhop.token("producer")
    async with Client(bellhop, token) as client, Client(bellhop, token) as other:
        embedded.stop(data_dir=valkey_dir)
        tell(bellhop, producer, "user0", title="meanwhile")  # the dispatcher runs the urgent lane
        async with Client(bellhop, token) as newcomer:
            assert newcomer.seq == 1  # a new socket does not need Redis either
        embedded.start(data_dir=valkey_dir, postgres=False)
        for device in (client, other):
            await device.until(lambda device=device: device.seq == 1)
            assert [item["title"] for item in device.items.values()] == ["meanwhile"]
        tell(bellhop, producer, "user0", title="after it")
        await client.until(lambda: client.seq == 2)
        assert client.counts == {"unread": 2, "unseen": 2}


async def test_a_cut_subscription_misses_nothing(bellhop: Bellhop, people: list[User], proxy: Proxy) -> None:
    bellhop.start("web", "ws", "worker", "dispatcher")
    token, producer = bellhop.token("user0"), bellhop.token("producer")
    async with Client(bellhop, token) as client:
        for number in range(1, 6):
            proxy.cut()
            tell(bellhop, producer, "user0", title=f"number {number}")
            await client.until(lambda number=number: client.seq == number)
        assert [item["title"] for item in client.items.values()] == [f"number {n}" for n in range(1, 6)]
        assert client.counts == {"unread": 5, "unseen": 5}


async def test_a_logout_nobody_heard_of_ends_the_socket_all_the_same(
    bellhop: Bellhop, people: list[User], proxy: Proxy
) -> None:
    bellhop.start("web", "ws")
    token = bellhop.token("user0")
    client = Client(bellhop, token)
    async with client:
        proxy.on_request = lambda piece: b"PUBLISH" not in piece
        assert rest.call(bellhop, "POST", "/auth/logout", token=token).status == 204
        with pytest.raises(ConnectionClosed):
            await client.until(lambda: False, within=60)
    assert (client.frames[-1]["type"], client.frames[-1]["code"]) == ("bye", 4506)
