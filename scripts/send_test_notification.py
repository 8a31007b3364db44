#!/usr/bin/env python
"""
Send an event over REST, wait for its frame on a socket and for its mail; print the latency of each stage.

    python scripts/send_test_notification.py --count 200 --rate 20
"""

import asyncio
import math
import statistics
import sys
import time
from argparse import Namespace
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.shared import terminal
from scripts.shared.rest import Rest
from scripts.shared.sockets import Closed, SocketClient
from scripts.shared.terminal import Failed

LOOK_EVERY = 0.05  # seconds between two looks at an event: few enough not to disturb what is measured
STAGES = ("POST answered", "accepted -> persisted", "persisted -> frame", "POST -> frame", "POST -> mail handed over")
CLOCK = time.time() - time.perf_counter()  # what makes a perf_counter() comparable with the server's times


@dataclass
class Sent:
    """One event, and when things happened to it in perf_counter's seconds."""

    id: str
    posted: float
    answered: float
    report: dict[str, Any] = field(default_factory=dict)  # GET /events/{id}, once nothing is open any more
    mailed: float | None = None  # only of events that were looked at all the time

    def settle(self, rest: Rest, *, within: float) -> None:
        """Look until neither the event nor its mail is open, at least once and at most `within` seconds."""
        end = time.perf_counter() + within
        while True:
            self.report = rest.get(f"/api/v1/events/{self.id}")
            waiting = self.report["status"] in ("accepted", "processing") or self.mail() == "pending"
            if not waiting or time.perf_counter() > end:
                return
            time.sleep(LOOK_EVERY)

    def mail(self) -> str:
        """The state of its mail; empty when it has none."""
        return next(iter(self.report["channels"].get("email", {})), "")


@dataclass
class Arrivals:
    """When the frame of each event came; filled by the socket's reader, which takes the time at once."""

    client: SocketClient
    lines: dict[str, tuple[float, datetime]] = field(default_factory=dict)  # event id: frame read, created_at

    async def read(self) -> None:
        """Note every new line, for ever. Raises Closed."""
        while True:
            received = await self.client.receive()
            created = [c["notification"] for c in received.changes() if c["change"] == "created"]
            for line in created + received.frame.get("items", []):
                self.lines.setdefault(line["event"], (received.at, datetime.fromisoformat(line["created_at"])))


async def measure(options: Namespace, *, rest: Rest, client: SocketClient) -> tuple[list[Sent], Arrivals]:
    """Send all events at the rate; return when every frame has come and every mail was looked at. Raises Failed."""
    arrivals, sent = Arrivals(client), list[Sent]()
    try:
        await client.open()
        await client.hello()
        reader = asyncio.create_task(arrivals.read())
        watcher = asyncio.create_task(_watch_mail(options, rest=rest, sent=sent))
        try:
            await _send_all(options, rest=rest, sent=sent)
            await _await_frames(options, rest=rest, sent=sent, arrivals=arrivals, reader=reader)
            await watcher
        finally:
            reader.cancel()
            watcher.cancel()
    except Closed as error:
        raise Failed(f"The socket of {options.user}: {error}.") from error
    finally:
        await client.close()
    end = time.perf_counter() + options.timeout
    for one in sent:
        if not one.report:
            one.settle(rest, within=end - time.perf_counter())
    return sent, arrivals


async def _send_all(options: Namespace, *, rest: Rest, sent: list[Sent]) -> None:
    body = {
        "type": options.type,
        "recipients": {"users": [options.user]},
        "title": options.title,
        "data": {"sent_by": "scripts/send_test_notification.py"},
    }
    start = time.perf_counter()
    for number in range(options.count):
        await asyncio.sleep(start + number / options.rate - time.perf_counter())
        posted = time.perf_counter()
        answer = await asyncio.to_thread(rest.post, "/api/v1/events", body)
        sent.append(Sent(id=answer["id"], posted=posted, answered=time.perf_counter()))


async def _await_frames(
    options: Namespace, *, rest: Rest, sent: list[Sent], arrivals: Arrivals, reader: "asyncio.Task[None]"
) -> None:
    end = time.perf_counter() + options.timeout
    while missing := [one for one in sent if one.id not in arrivals.lines]:
        if reader.done():
            reader.result()
        if time.perf_counter() > end:
            raise Failed(
                f"{len(missing)} of {len(sent)} events brought no frame within {options.timeout:g} s: "
                + _why(rest.get(f"/api/v1/events/{missing[0].id}"), user=options.user)
            )
        await asyncio.sleep(0.005)


def _why(report: dict[str, Any], *, user: str) -> str:
    if user in report["unknown_users"]:
        return f"there is no user {user}; name another one with --user."
    if report["status"] == "processed":
        return "it was persisted, so look at the ws process: it needs the REDIS_URL of the workers."
    return f"event {report['id']} is {report['status']} {report['error']}; look at the worker and the dispatcher."


async def _watch_mail(options: Namespace, *, rest: Rest, sent: list[Sent]) -> None:
    """Look at the newest event until its mail is out, then at the next newest: one request at a time."""
    watched = 0  # how many had been sent when the last one looked at was chosen
    while watched < options.count:
        if len(sent) == watched:
            await asyncio.sleep(LOOK_EVERY / 10)
            continue
        watched, newest = len(sent), sent[-1]
        await asyncio.to_thread(newest.settle, rest, within=options.timeout)
        if newest.mail() == "sent":
            newest.mailed = time.perf_counter()


def stages(sent: list[Sent], arrivals: Arrivals) -> dict[str, list[float]]:
    """Milliseconds of each stage, one for each event (for mails: for those that were watched)."""
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for one in sent:
        framed, persisted = arrivals.lines[one.id]
        accepted = datetime.fromisoformat(one.report["accepted_at"])
        ends = (
            one.answered - one.posted,
            (persisted - accepted).total_seconds(),
            framed + CLOCK - persisted.timestamp(),
            framed - one.posted,
            one.mailed and one.mailed - one.posted,
        )
        for stage, seconds in zip(STAGES, ends, strict=True):
            if seconds is not None:
                found[stage].append(seconds * 1000)
    return found


def show(sent: list[Sent], arrivals: Arrivals) -> str:
    """The table: one column of milliseconds for one event, percentiles for several."""
    measured = {stage: values for stage, values in stages(sent, arrivals).items() if values}
    if len(sent) == 1:
        header, rows = ["ms", ""], [[stage, f"{values[0]:.1f}"] for stage, values in measured.items()]
    else:
        header = ["ms", "p50", "p95", "max", "n"]
        rows = [
            [stage, *(f"{v:.1f}" for v in (statistics.median(values), _p95(values), max(values))), str(len(values))]
            for stage, values in measured.items()
        ]
    mails = Counter(one.mail() or "none" for one in sent)
    seconds = sent[-1].posted - sent[0].posted
    return "\n".join(
        [
            f"event {sent[0].id}"
            if len(sent) == 1
            else f"{len(sent)} events, {(len(sent) - 1) / seconds:.1f} a second",
            terminal.table(header, rows),
            "mail: " + ", ".join(f"{number} {state}" for state, number in sorted(mails.items())),
        ]
    )


def _p95(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def main() -> int:
    """Read the command line, send, print the latencies."""
    parser = terminal.parser(
        "Send an event, wait for its frame on a socket and for its mail, print the latency of each stage.",
        epilog="Persisted is the created_at of the notification: the worker's clock when it took the event. The two "
        "stages beside it compare clocks, so run this on the server's machine. Mails are watched one at a time, "
        "every 50 ms.",
    )
    terminal.add_socket(parser)
    terminal.add_login(parser, user="producer", prefix="producer", who="the producer who sends it")
    terminal.add_login(parser, user="alice", who="the person who gets it")
    parser.add_argument("--type", default="task.assigned", help="the event's type")
    parser.add_argument("--title", default="A test notification", help="the event's title")
    parser.add_argument("--count", type=terminal.whole, default=1, metavar="N", help="how many events")
    parser.add_argument("--rate", type=terminal.positive, default=20.0, metavar="R", help="events a second")
    parser.add_argument(
        "--timeout", type=terminal.positive, default=15.0, metavar="S", help="seconds to wait for frames and mails"
    )
    options = parser.parse_args()
    target = terminal.target(options)
    with Rest(target.http) as rest, Rest(target.http) as theirs:
        rest.sign_in(user=options.producer, password=options.producer_password)
        token = theirs.sign_in(user=options.user, password=options.password)
        sent, arrivals = asyncio.run(measure(options, rest=rest, client=SocketClient(url=target.ws, token=token)))
    print(show(sent, arrivals))
    return 0


if __name__ == "__main__":
    terminal.run(main)
