"""What a producer and a reader do, timed. The same client serves both designs."""

import contextlib
import http.client
import itertools
import json
import re
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from core import processes
from scripts.bench.designs import PEOPLE, Design
from scripts.bench.servers import BenchError

CLIENTS = 16  # connections of the single POSTs: one for each thread of gunicorn
BATCH = 1000
WARM_UP = 40
PATIENCE = 60.0  # seconds for anything to be done

_numbers = itertools.count()
_TITLE = re.compile(r'"bench (\d+)"')


@dataclass(frozen=True)
class Run:
    """So much work in so many seconds."""

    count: int
    seconds: float
    complete: bool = True

    def __add__(self, other: "Run") -> "Run":
        return Run(self.count + other.count, self.seconds + other.seconds, self.complete and other.complete)

    @property
    def rate(self) -> float:
        """Per second."""
        return self.count / self.seconds


@dataclass(frozen=True)
class Latency:
    """From just before the POST to the frame's arrival, in milliseconds."""

    posted: int
    counted: int  # the first is not
    milliseconds: list[float]

    def __add__(self, other: "Latency") -> "Latency":
        return Latency(self.posted + other.posted, self.counted + other.counted, self.milliseconds + other.milliseconds)

    def percentile(self, percent: int) -> float:
        """Of the frames that came; infinite when fewer than two did."""
        if len(self.milliseconds) < 2:
            return float("inf")
        return statistics.quantiles(self.milliseconds, n=100, method="inclusive")[percent - 1]


def event(*users: str) -> dict[str, Any]:
    """An event for these people, in-app only; its title carries a number of its own."""
    return {
        "type": "task.updated",
        "title": f"bench {next(_numbers)}",
        "body": "The task moved from one column to the next.",
        "data": {"task": 17, "column": "done"},
        "channels": ["in_app"],
        "recipients": {"users": list(users)},
    }


def one_each(count: int) -> list[dict[str, Any]]:
    """Events with one recipient each, going round all people but the first: the reader's latency is apart."""
    return [event(f"person{1 + n % (PEOPLE - 1)}") for n in range(count)]


class Producer:
    """One keep-alive connection."""

    def __init__(self, design: Design) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", design.http_port, timeout=PATIENCE)
        self._headers = {"Authorization": f"Bearer {design.producer}", "Content-Type": "application/json"}

    def post(self, path: str, body: bytes) -> None:
        """Raises BenchError for no answer, or one that is not 202."""
        try:
            try:
                status, answer = self._ask(path, body)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self._connection.close()  # the server ended it while it was idle
                status, answer = self._ask(path, body)
        except (OSError, http.client.HTTPException) as error:
            raise BenchError(f"{path} gave no answer ({type(error).__name__}: {error})") from error
        if status != 202:
            raise BenchError(f"{path} answered {status}: {answer[:300]!r}")

    def _ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        self._connection.request("POST", path, body, self._headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def accept(self, *events: dict[str, Any]) -> None:
        """One event by itself, several as a batch."""
        if len(events) == 1:
            self.post("/api/v1/events", json.dumps(events[0]).encode())
        else:
            self.post("/api/v1/events/batch", json.dumps({"events": events}).encode())


def singles(design: Design, *, seconds: float) -> Run:
    """Single POSTs of events with one recipient, CLIENTS at once."""
    end = time.perf_counter() + seconds

    def keep_posting(start: int) -> int:
        producer, count = Producer(design), 0
        while time.perf_counter() < end:
            producer.accept(event(f"person{1 + (start + count * CLIENTS) % (PEOPLE - 1)}"))
            count += 1
        return count

    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        count = sum(pool.map(keep_posting, range(CLIENTS)))
    return Run(count, time.perf_counter() - started)


def batches(design: Design, *, seconds: float, most: int) -> Run:
    """Batches of BATCH events, one after the other, until the time is over or `most` were sent."""
    bodies = [json.dumps({"events": one_each(BATCH)}).encode() for _ in range(most)]
    producer, sent = Producer(design), 0
    started = time.perf_counter()
    while sent < most and time.perf_counter() < started + seconds:
        producer.post("/api/v1/events/batch", bodies[sent])
        sent += 1
    return Run(sent * BATCH, time.perf_counter() - started)


def until_published(design: Design, *, total: int, before: int = 0, started: float | None = None) -> Run:
    """Wait until `total` notifications are published; the Run counts those after `before`."""
    started = time.perf_counter() if started is None else started
    complete = processes.wait_until(lambda: design.counter.published() >= total, seconds=PATIENCE)
    elapsed = time.perf_counter() - started
    return Run(design.counter.published() - before, elapsed, complete)


def warm_up(design: Design) -> int:
    """Every process has done something; how many events that took. Raises BenchError when nothing moves."""
    producer = Producer(design)
    for one in one_each(WARM_UP):
        producer.accept(one)
    if not until_published(design, total=WARM_UP).complete:
        raise BenchError(f"{design.name}: {WARM_UP} events were not published within {PATIENCE:.0f} s.")
    return WARM_UP


def broadcast(design: Design, *, people: int) -> Run:
    """One event to so many people: from the POST to the last one published."""
    before = design.counter.published()
    body = json.dumps(event(*(f"person{n}" for n in range(people)))).encode()
    producer = Producer(design)
    started = time.perf_counter()
    producer.post("/api/v1/events", body)
    return until_published(design, total=before + people, before=before, started=started)


def latency(design: Design, *, seconds: float, per_second: int) -> Latency:
    """Events at a steady rate to one person with an open socket, after a first one whose frame is awaited."""
    arrived: dict[int, float] = {}
    sent: dict[int, float] = {}
    producer = Producer(design)

    def post() -> None:
        one = event("person0")
        number = int(one["title"].removeprefix("bench "))
        body = json.dumps(one).encode()
        sent[number] = time.perf_counter()
        producer.post("/api/v1/events", body)

    with _socket(design) as socket:
        threading.Thread(target=_read, args=(socket, arrived), daemon=True).start()
        post()
        processes.wait_until(lambda: sent.keys() <= arrived.keys(), seconds=10)
        started = time.perf_counter()
        for nth in range(int(seconds * per_second)):
            time.sleep(max(0.0, started + nth / per_second - time.perf_counter()))
            post()
        processes.wait_until(lambda: sent.keys() <= arrived.keys(), seconds=10)
    counted = list(sent)[1:]
    return Latency(
        posted=len(sent),
        counted=len(counted),
        milliseconds=[(arrived[n] - sent[n]) * 1000 for n in counted if n in arrived],
    )


@contextlib.contextmanager
def _socket(design: Design) -> Iterator[ClientConnection]:
    with connect(
        f"ws://127.0.0.1:{design.ws_port}/ws/notifications/",
        subprotocols=["bellhop.v1.json"],  # type: ignore[list-item]
        additional_headers={"Authorization": f"Bearer {design.reader}"},
        compression=None,
        max_size=None,
    ) as socket:
        socket.send('{"type":"hello","device":"bench"}')
        yield socket


def _read(socket: ClientConnection, arrived: dict[int, float]) -> None:
    with contextlib.suppress(ConnectionClosed):
        for frame in socket:
            now = time.perf_counter()
            for number in _TITLE.findall(str(frame)):
                arrived.setdefault(int(number), now)
            if '"type":"ping"' in str(frame):
                socket.send('{"type":"pong"}')
