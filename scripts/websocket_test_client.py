#!/usr/bin/env python
"""
A client simulator: opens sockets, prints every frame, ends with a table of what each client saw.

    python scripts/websocket_test_client.py --clients 3 --duration 60 --drop-every 5
"""

import asyncio
import contextlib
import json
import random
import signal
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.shared import terminal
from scripts.shared.rest import Rest
from scripts.shared.sockets import Closed, Seen, SocketClient
from scripts.shared.terminal import Failed

LONGEST_PAUSE = 5.0  # seconds between two tries to reconnect
Show = Callable[[int, dict[str, Any]], None]


@dataclass
class Simulated:
    """A client, and how often it came back."""

    number: int
    client: SocketClient
    reconnects: int = 0

    @property
    def seen(self) -> Seen:
        return self.client.seen

    def row(self) -> dict[str, Any]:
        """What it saw, as a line of the table."""
        row = asdict(self.seen)
        del row["epoch"]
        return {"client": self.number, "reconnects": self.reconnects} | row

    async def live(self, *, drop_every: float | None, show: Show) -> None:
        """Connect, print, come back with the position; for ever. Raises Failed when it may not come back."""
        failures = 0
        connected_before = False
        while True:
            try:
                await self.client.open()
                show(self.number, (await self.client.hello()).frame)
                self.reconnects += connected_before
                connected_before, failures = True, 0
                await self._read(drop_every=drop_every, show=show)
            except Closed as closed:
                if closed.final or not connected_before:
                    raise Failed(f"client {self.number}: {closed}.") from closed
                failures += 1
                print(f"client {self.number}: {closed}; reconnecting from {self.seen.last}", file=sys.stderr)
            await self.client.close()
            await asyncio.sleep(self._pause(failures))

    async def _read(self, *, drop_every: float | None, show: Show) -> None:
        dropping = drop_every and asyncio.get_running_loop().call_later(drop_every, self.client.drop)
        try:
            while True:
                show(self.number, (await self.client.receive()).frame)
        finally:
            if dropping:
                dropping.cancel()

    def _pause(self, failures: int) -> float:
        if self.client.retry_ms:
            return random.uniform(*self.client.retry_ms) / 1000
        return random.uniform(0, min(LONGEST_PAUSE, 0.1 * 2**failures))


async def simulate(options: Namespace, *, token: str, show: Show) -> list[dict[str, Any]]:
    """Run the clients until --duration or a signal; what each saw. Raises Failed."""
    url = terminal.target(options).ws
    clients = [Simulated(number=n, client=SocketClient(url=url, token=token)) for n in range(1, options.clients + 1)]
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    stopping = asyncio.create_task(stopped.wait())
    running = [asyncio.create_task(c.live(drop_every=options.drop_every, show=show)) for c in clients]
    done, _ = await asyncio.wait([stopping, *running], timeout=options.duration, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopping, *running):
        task.cancel()
    for task in running:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await asyncio.gather(*(client.client.close() for client in clients))
    for task in done - {stopping}:
        task.result()
    return [client.row() for client in clients]


def _show(*, as_json: bool) -> Show:
    def line(number: int, frame: dict[str, Any]) -> None:
        now = datetime.now(UTC)
        if as_json:
            print(json.dumps({"client": number, "at": now.isoformat(), "frame": frame}), flush=True)
        else:
            print(f"{now:%H:%M:%S.%f} #{number} {json.dumps(frame, ensure_ascii=False)}", flush=True)

    return line


def main() -> int:
    """Read the command line, simulate, print the table. Status 1 when a number was missing or came twice."""
    parser = terminal.parser(
        "Open sockets, print every frame, end with a table of what each client saw.",
        epilog="Status 1 when a change was missing (gaps) or came twice (doubles). first: the number the client "
        "began at; last: the last one it has; events: live changes; items: lines brought by a delta instead.",
    )
    terminal.add_socket(parser)
    terminal.add_login(parser, user="alice", who="the person all clients belong to")
    parser.add_argument("--clients", type=terminal.whole, default=1, metavar="N", help="how many sockets")
    parser.add_argument("--duration", type=terminal.positive, metavar="S", help="seconds; without it until Ctrl-C")
    parser.add_argument(
        "--drop-every", type=terminal.positive, metavar="S", help="break each connection after so many seconds"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line: the frames, then the table")
    options = parser.parse_args()
    with Rest(terminal.target(options).http) as rest:
        token = rest.sign_in(user=options.user, password=options.password)
        rows = asyncio.run(simulate(options, token=token, show=_show(as_json=options.json)))
    if options.json:
        print(json.dumps({"clients": rows}))
    else:
        print("\n" + terminal.table(list(rows[0]), [["-" if v is None else v for v in row.values()] for row in rows]))
    return 1 if any(row["gaps"] or row["doubles"] for row in rows) else 0


if __name__ == "__main__":
    terminal.run(main)
