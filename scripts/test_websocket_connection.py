#!/usr/bin/env python
"""
Verify that a socket can be set up, step by step; say which step failed and what to do.

    python scripts/test_websocket_connection.py --user alice --password alice
"""

import asyncio
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.shared import terminal
from scripts.shared.rest import Rest
from scripts.shared.sockets import SUBPROTOCOL, Closed, SocketClient
from scripts.shared.terminal import Failed

WITHIN = 10.0  # seconds for an answer on the open socket
PING_WITHIN = 30.0  # seconds; the server pings every 25


class Steps:
    """Prints one line a step; knows which one is under way."""

    def __init__(self) -> None:
        self.name = ""

    def begin(self, name: str) -> None:
        self.name = name
        self._begun = time.perf_counter()

    def end(self, sentence: str) -> None:
        print(f"ok    {self.name:<8} {sentence} ({(time.perf_counter() - self._begun) * 1000:.0f} ms)", flush=True)


async def check(options: Namespace, steps: Steps) -> None:
    """Every step in order. Raises Failed at the first that does not work."""
    target = terminal.target(options)
    with Rest(target.http) as rest:
        steps.begin("reach")
        rest.get("/health/live")
        steps.end(f"{target.http} answers")
        steps.begin("token")
        token = rest.sign_in(user=options.user, password=options.password)
        steps.end(f"{options.user} signed in")
        client = SocketClient(url=target.ws, token=token)
        try:
            await _check_socket(client, steps, wait_ping=options.wait_ping)
        finally:
            await client.close()


async def _check_socket(client: SocketClient, steps: Steps, *, wait_ping: bool) -> None:
    steps.begin("upgrade")
    try:
        await client.open()
    except Closed as error:
        raise Failed(f"{error}; start the ws process (`make run` does), or name its address with --ws-url.") from error
    steps.end(f"101 from {client.url}, subprotocol {SUBPROTOCOL}")
    steps.begin("welcome")
    try:
        welcome = (await client.hello()).frame
    except Closed as error:
        raise Failed(
            f"{error}; 4500 means that the token was not accepted (do HTTP and ws use the same "
            "DATABASE_URL?), 4000 that the database is away."
        ) from error
    steps.end(f"the token was accepted, connection {welcome['connection']}, heartbeat {welcome['heartbeat']} s")
    try:
        steps.begin("sync")
        sync = await _wait(client, "sync", within=WITHIN)
        unread = sync["counts"]["unread"]
        steps.end(f"{sync['mode']} to {sync['to']}, {len(sync['items'])} lines, {unread} unread")
        steps.begin("ping")
        if wait_ping:
            ping = await _wait(client, "ping", within=PING_WITHIN)
            steps.end(f"the server's ping came, head {ping['head']}, and was answered with pong")
        else:
            await client.send({"type": "resume", "seq": sync["to"]})
            await _wait(client, "sync", within=WITHIN)
            steps.end("sent resume, the server answered with sync; --wait-ping waits for its own ping instead")
    except Closed as error:
        raise Failed(f"{error}; the log of the ws process tells why.") from error


async def _wait(client: SocketClient, kind: str, *, within: float) -> dict[str, Any]:
    try:
        async with asyncio.timeout(within):
            while (received := await client.receive()).frame["type"] != kind:
                pass
    except TimeoutError as error:
        raise Failed(
            f"no {kind} within {within:.0f} s; look for PostgreSQL or Redis trouble in the log of the ws process."
        ) from error
    return received.frame


def main() -> int:
    """Read the command line, check."""
    parser = terminal.parser("Verify that a socket can be set up, step by step. Status 1 when a step fails.")
    terminal.add_socket(parser)
    terminal.add_login(parser, user="alice", who="the person whose socket is opened")
    parser.add_argument(
        "--wait-ping", action="store_true", help="wait up to 30 s for the server's ping instead of sending resume"
    )
    options = parser.parse_args()
    steps = Steps()
    try:
        asyncio.run(check(options, steps))
    except Failed as failure:
        if not steps.name:
            raise
        print(f"FAIL  {steps.name:<8} {failure}")
        return 1
    print("All steps passed.")
    return 0


if __name__ == "__main__":
    terminal.run(main)
