"""`make bench`, or `python -m scripts.bench [--quick]`: Bellhop beside a naive design, in one table."""

import argparse
import functools
import operator
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from scripts.bench import designs, limits, load, servers, table

PER_SECOND = 20  # events of the latency run
ROUNDS = 3  # the designs take turns, so that other load on the machine meets both

Measured = TypeVar("Measured", load.Run, load.Latency)


@dataclass(frozen=True)
class Size:
    """How long each measure takes, and how much of it there is at most."""

    latency: float  # seconds of a round
    singles: float  # seconds of a round
    batches: int
    limits: float  # seconds, four times
    naive_people: int  # of an event, in each round


FULL = Size(latency=5.0, singles=2.0, batches=10, limits=1.5, naive_people=350)
QUICK = Size(latency=2.0, singles=0.7, batches=3, limits=0.5, naive_people=70)


class Bench:
    """One design being measured, step by step."""

    def __init__(self, design: designs.Design, *, people: int) -> None:
        self.design = design
        self.people = people
        self.posted = load.warm_up(design)  # notifications that must exist in the end

    def latency(self, size: Size) -> load.Latency:
        """One round of POST to frame."""
        latency = load.latency(self.design, seconds=size.latency, per_second=PER_SECOND)
        self.posted += latency.posted
        return latency

    def singles(self, size: Size) -> load.Run:
        """One round of single POSTs."""
        singles = load.singles(self.design, seconds=size.singles)
        self.posted += singles.count
        return singles

    def batches(self, size: Size) -> load.Run:
        """The batches, in one go."""
        batches = load.batches(self.design, seconds=size.singles * ROUNDS, most=size.batches)
        self.posted += batches.count
        return batches

    def process(self, *, before: int) -> load.Run:
        """Wake the worker; what was accepted while it stood still must be published."""
        started = time.perf_counter()
        self.design.running.resume("worker")
        return load.until_published(self.design, total=self.posted, before=before, started=started)

    def broadcast(self) -> load.Run:
        """One round of one event to many people."""
        self.posted += self.people
        return load.broadcast(self.design, people=self.people)


def measure(benches: list[Bench], *, size: Size) -> list[table.Figures]:
    """Each measure on every design before the next measure begins."""

    def in_turn(what: str, step: Callable[[Bench], Measured], *, rounds: int = 1) -> list[Measured]:
        done: list[list[Measured]] = [[] for _ in benches]
        for nth in range(rounds):
            for bench, own in zip(benches, done, strict=True):
                _say(f"{what}, {bench.design.name}" + (f", round {nth + 1}" if rounds > 1 else ""))
                own.append(step(bench))
        return [functools.reduce(operator.add, own) for own in done]

    latency = in_turn("POST to frame", lambda b: b.latency(size), rounds=ROUNDS)
    before = {}
    for bench in benches:
        load.until_published(bench.design, total=bench.posted)
        bench.design.running.pause("worker")
        before[bench.design.name] = bench.posted
    singles = in_turn("single POSTs", lambda b: b.singles(size), rounds=ROUNDS)
    batches = in_turn("batches", lambda b: b.batches(size))
    processed = in_turn("processing", lambda b: b.process(before=before[b.design.name]))
    broadcast = in_turn("one event to many", Bench.broadcast, rounds=ROUNDS)
    rows = [bench.design.counter.rows() for bench in benches]
    expected = [bench.posted for bench in benches]
    return [
        table.Figures(*figures)
        for figures in zip(singles, batches, processed, broadcast, latency, rows, expected, strict=True)
    ]


def run(size: Size) -> str:
    """The whole suite; the table."""
    with servers.data_directory() as data_dir:
        _say("starting both designs")
        with designs.bellhop(data_dir) as ours, designs.naive(data_dir) as theirs:
            benches = [Bench(ours, people=designs.PEOPLE), Bench(theirs, people=size.naive_people)]
            bellhop, naive = measure(benches, size=size)
        _say("raw limits")
        raw = limits.measure(data_dir, seconds=size.limits)
    return table.text(bellhop=bellhop, naive=naive, limits=raw, per_second=PER_SECOND)


def main() -> None:
    """Read the command line, measure, print. Figures never make it fail."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description="Bellhop beside a naive design.")
    parser.add_argument("--quick", action="store_true", help="shorter rounds, coarser figures")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is stopped
    started = time.perf_counter()
    try:
        text = run(QUICK if options.quick else FULL)
    except servers.BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    load_average = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n{text}")
    print(f"{os.cpu_count()} cores; load average {load_average}; {time.perf_counter() - started:.0f} s in all.")


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
