"""A socket client for tests: says hello, remembers every frame, checks the order as it goes."""

import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.processes import Bellhop


class Client:
    """One device of one person. Use as `async with Client(...) as client`."""

    def __init__(self, bellhop: Bellhop, token: str, *, position: dict[str, Any] | None = None) -> None:
        self._url, self._token = bellhop.ws_url, token
        self.position = position
        self.frames: list[dict[str, Any]] = []
        self.items: dict[str, dict[str, Any]] = {}
        self.counts: dict[str, int] = {}
        self.preferences: dict[str, Any] | None = None
        self.live: list[int] = []  # every live sequence number, in the order it came
        self._socket: ClientConnection | None = None

    @property
    def seq(self) -> int:
        """The number of the last change this client has."""
        assert self.position is not None
        return int(self.position["seq"])

    async def __aenter__(self) -> "Client":
        self._socket = await connect(
            self._url,
            subprotocols=["bellhop.v1.json"],  # type: ignore[list-item]
            additional_headers={"Authorization": f"Bearer {self._token}"},
            compression=None,
            max_size=None,
        )
        await self.send({"type": "hello", "device": "test", "position": self.position})
        await self.until(lambda: any(frame["type"] == "sync" for frame in self.frames))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drop()

    async def drop(self) -> None:
        """Lose the connection without a word."""
        if self._socket is not None:
            self._socket.transport.abort()
            self._socket = None

    async def send(self, frame: dict[str, Any]) -> None:
        assert self._socket is not None
        await self._socket.send(json.dumps(frame))

    async def receive(self) -> dict[str, Any]:
        """The next frame, applied to this client's state as the protocol asks."""
        assert self._socket is not None
        frame: dict[str, Any] = json.loads(await self._socket.recv())
        self.frames.append(frame)
        match frame["type"]:
            case "sync":
                self._sync(frame)
            case "event":
                self._event(frame)
            case "events":
                for event in frame["events"]:
                    self._event(event)
            case "lag":
                assert self.seq < frame["head"]
            case "ping":
                await self.send({"type": "pong", "seq": (self.position or {}).get("seq", 0)})
        return frame

    async def until(self, condition: Any, *, within: float = 30.0) -> None:
        """Receive until `condition()` is true."""
        import asyncio

        async with asyncio.timeout(within):
            while not condition():
                await self.receive()

    def _sync(self, frame: dict[str, Any]) -> None:
        epoch = next(f["epoch"] for f in reversed(self.frames) if f["type"] == "welcome")
        if frame["mode"] == "reset":
            self.items = {}
        for item in frame["items"]:
            self._keep(item)
        for mark in frame["read_all"]:
            self._read_all(mark["seq"], mark["at"])
        self.counts = frame["counts"]
        if frame["preferences"] or frame["mode"] == "reset":
            self.preferences = frame["preferences"]
        self.position = {"epoch": epoch, "seq": frame["to"]}

    def _event(self, event: dict[str, Any]) -> None:
        assert self.position is not None
        assert event["seq"] == self.position["seq"] + 1, "a live change came out of order"
        self.live.append(event["seq"])
        if event["change"] == "read_all":
            self._read_all(event["seq"], event["at"])
        elif event["change"] == "preferences":
            self.preferences = event["preferences"]
        else:
            self._keep(event["notification"])
        self.counts = event["counts"]
        self.position = self.position | {"seq": event["seq"]}

    def _keep(self, item: dict[str, Any]) -> None:
        if item.get("deleted"):
            self.items.pop(item["id"], None)
        elif item["rev"] >= self.items.get(item["id"], {"rev": 0})["rev"]:
            self.items[item["id"]] = item

    def _read_all(self, seq: int, at: str) -> None:
        for item in self.items.values():
            if item["rev"] <= seq:
                item["read_at"] = item["read_at"] or at
                item["seen_at"] = item["seen_at"] or at
