"""Who may open a socket, and how one is refused and ended."""

import json
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY
from django.test import Client as Browser
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests import factories, rest
from tests.processes import Bellhop
from tests.sockets import Client


async def opened(bellhop: Bellhop, *, subprotocol: bool = True, **headers: str) -> ClientConnection:
    return await connect(
        bellhop.ws_url,
        subprotocols=["bellhop.v1.json"] if subprotocol else None,  # type: ignore[list-item]
        additional_headers={name.replace("_", "-"): value for name, value in headers.items()},
        compression=None,
    )


async def end_of(socket: ClientConnection) -> tuple[int, str, list[dict[str, Any]]]:
    """The close code, its reason, and every frame before it."""
    frames: list[dict[str, Any]] = []
    while True:
        try:
            frames.append(json.loads(await socket.recv()))
        except ConnectionClosed:
            return socket.close_code or 0, socket.close_reason or "", frames


async def says_hello(socket: ClientConnection, **fields: Any) -> list[str]:
    """The types of the two frames that answer a hello."""
    await socket.send(json.dumps({"type": "hello"} | fields))
    return [json.loads(await socket.recv())["type"] for _ in range(2)]


async def test_by_token(bellhop: Bellhop) -> None:
    socket = await opened(bellhop, Authorization=f"Bearer {bellhop.token('alice')}")
    assert socket.subprotocol == "bellhop.v1.json"
    assert await says_hello(socket) == ["welcome", "sync"]


async def test_by_ticket(bellhop: Bellhop) -> None:
    ticket = rest.call(bellhop, "POST", "/auth/ws-ticket", token=bellhop.token("alice")).body["ticket"]
    assert await says_hello(await opened(bellhop), ticket=ticket) == ["welcome", "sync"]


def session_cookie(bellhop: Bellhop) -> str:
    browser = Browser()
    browser.force_login(factories.user("alice"))
    assert SESSION_KEY in browser.session
    return f"sessionid={browser.session.session_key}"


async def test_by_cookie_from_our_own_origin(bellhop: Bellhop) -> None:
    socket = await opened(bellhop, Cookie=session_cookie(bellhop), Origin=bellhop.http_url)
    assert await says_hello(socket) == ["welcome", "sync"]


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://127.0.0.1", "http://127.0.0.1:1", "null", ""],
    ids=["foreign", "no port", "other port", "null", "none"],
)
async def test_a_cookie_from_elsewhere_is_worth_nothing(bellhop: Bellhop, origin: str) -> None:
    cookie = session_cookie(bellhop)
    socket = await (opened(bellhop, Cookie=cookie, Origin=origin) if origin else opened(bellhop, Cookie=cookie))
    await socket.send(json.dumps({"type": "hello"}))
    code, _, frames = await end_of(socket)
    assert code == 4500
    assert [frame["type"] for frame in frames] == ["bye"]


@pytest.mark.parametrize("ticket", ["", "nonsense", "eyJ1IjoxLCJjIjoieCJ9:1abc:forged"])
async def test_a_bad_ticket_is_refused(bellhop: Bellhop, ticket: str) -> None:
    socket = await opened(bellhop)
    await socket.send(json.dumps({"type": "hello", "ticket": ticket}))
    assert (await end_of(socket))[0] == 4500


async def test_a_ticket_dies_with_its_token(bellhop: Bellhop) -> None:
    token = bellhop.token("alice")
    ticket = rest.call(bellhop, "POST", "/auth/ws-ticket", token=token).body["ticket"]
    rest.call(bellhop, "POST", "/auth/logout", token=token)
    socket = await opened(bellhop)
    await socket.send(json.dumps({"type": "hello", "ticket": ticket}))
    assert (await end_of(socket))[0] == 4500


async def test_logging_out_ends_only_the_sockets_of_that_token(bellhop: Bellhop) -> None:
    first, second = bellhop.token("alice"), bellhop.token("alice")
    one, other = [await opened(bellhop, Authorization=f"Bearer {token}") for token in (first, second)]
    for socket in (one, other):
        await says_hello(socket)
    assert rest.call(bellhop, "POST", "/auth/logout", token=first).status == 204
    code, _, frames = await end_of(one)
    assert (code, frames[-1]["type"]) == (4506, "bye")
    assert rest.call(bellhop, "POST", "/auth/logout-all", token=second).status == 204
    assert (await end_of(other))[0] == 4506


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("no json", 4502),
        ("[]", 4502),
        ('{"type":"dance"}', 4502),
        ('{"type":"ack","seq":1}', 4502),
        (b"\x00\x01", 4502),
    ],
)
async def test_what_is_not_a_hello_is_refused(bellhop: Bellhop, frame: str | bytes, code: int) -> None:
    socket = await opened(bellhop, Authorization=f"Bearer {bellhop.token('alice')}")
    await socket.send(frame)
    assert (await end_of(socket))[0] == code


async def test_the_subprotocol_must_be_offered(bellhop: Bellhop) -> None:
    socket = await opened(bellhop, subprotocol=False, Authorization=f"Bearer {bellhop.token('alice')}")
    assert (await end_of(socket))[0] == 4503


async def test_silence_is_not_a_hello(bellhop: Bellhop) -> None:
    assert (await end_of(await opened(bellhop)))[0] == 4009


async def test_a_position_from_another_epoch_or_ahead_is_a_fresh_start(bellhop: Bellhop) -> None:
    token, producer = bellhop.token("alice"), bellhop.token("producer")
    body = {"type": "task.updated", "recipients": {"users": ["alice"]}, "channels": ["in_app"]}
    async with Client(bellhop, token) as client:
        rest.call(bellhop, "POST", "/events", body, token=producer)
        await client.until(lambda: client.live)
        right = client.position or {}
    for wrong in ({"epoch": "other", "seq": 1}, {"epoch": right["epoch"], "seq": 99}):
        async with Client(bellhop, token, position=wrong) as client:
            assert client.frames[-1]["mode"] == "reset"
            assert len(client.items) == 1
    async with Client(bellhop, token, position=right) as client:
        assert client.frames[-1] == client.frames[-1] | {"mode": "delta", "from": 1, "to": 1, "items": []}


async def test_a_resume_frame_is_answered_with_a_delta(bellhop: Bellhop) -> None:
    token, producer = bellhop.token("alice"), bellhop.token("producer")
    body = {"type": "task.updated", "recipients": {"users": ["alice"]}, "channels": ["in_app"]}
    async with Client(bellhop, token) as client:
        rest.call(bellhop, "POST", "/events", body, token=producer)
        await client.until(lambda: client.live)
        await client.send({"type": "resume", "seq": 0})
        await client.until(lambda: client.frames[-1]["type"] == "sync")
        assert (client.frames[-1]["mode"], client.frames[-1]["from"], client.frames[-1]["to"]) == ("delta", 0, 1)
        assert len(client.frames[-1]["items"]) == 1
