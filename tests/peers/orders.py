"""What the peers have in common: they do as they were told for an address, and remember what they were sent."""

import asyncio
from typing import Any, Literal

from tests.peers import http
from tests.peers.http import Answer

Order = Answer | Exception | Literal["silent"]


class Peer:
    """`told` says what becomes of a message to a name; `received` is what came, by key, refused or not."""

    def __init__(self) -> None:
        self.told: dict[str, Order] = {}
        self.received: list[dict[str, Any]] = []
        self.hold = 1  # answer nobody before so many wait at once
        self._waiting = 0
        self._enough = asyncio.Event()

    @property
    def keys(self) -> list[str]:
        """Of the messages that came, sorted: those of one group come in any order."""
        return sorted(str(one["key"]) for one in self.received)

    async def obey(self, name: str, usual: Answer) -> Answer:
        """The answer for this name."""
        self._waiting += 1
        if self._waiting >= self.hold:
            self._enough.set()
        await self._enough.wait()
        order = self.told.get(name, usual)
        if order == "silent":
            return await http.hang()
        if isinstance(order, Exception):
            raise order
        return order
