"""The figures of a run as one table of plain text."""

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.bench.designs import PEOPLE
from scripts.bench.limits import CHUNK, CLIENTS, Limits
from scripts.bench.load import BATCH, Latency, Run

HEADERS = ("", "Bellhop", "naive", "ratio", "raw limit", "of it")


@dataclass(frozen=True)
class Figures:
    """What one design did."""

    singles: Run
    batches: Run
    processed: Run
    broadcast: Run
    latency: Latency
    rows: int
    rows_expected: int


def text(*, bellhop: Figures, naive: Figures, limits: Limits, per_second: int) -> str:
    """The table and its notes."""
    broadcast = [_for_everyone(figures.broadcast) for figures in (bellhop, naive)]
    lines = [
        HEADERS,
        _rate("accepted, single POSTs, events/s", bellhop.singles, naive.singles, limits.inserts_at_once),
        _rate(f"accepted, batches of {BATCH:,}, events/s", bellhop.batches, naive.batches, limits.rows),
        _rate("processed by one worker process, events/s", bellhop.processed, naive.processed, limits.rows),
        _seconds(f"one event to {PEOPLE:,} people, s", broadcast[0], broadcast[1], PEOPLE / limits.rows),
        _milliseconds(f"POST to frame at {per_second}/s, p50, ms", bellhop.latency, naive.latency, 50),
        _milliseconds(f"POST to frame at {per_second}/s, p95, ms", bellhop.latency, naive.latency, 95),
    ]
    raw = [
        ("PostgreSQL, INSERT and COMMIT of one row, one connection, rows/s", f"{limits.inserts:,.0f}"),
        (f"PostgreSQL, the same on {CLIENTS} connections, rows/s", f"{limits.inserts_at_once:,.0f}"),
        (f"PostgreSQL, INSERT of {CHUNK} rows and COMMIT, one connection, rows/s", f"{limits.rows:,.0f}"),
        ("Valkey, PUBLISH of 500 bytes, one connection, messages/s", f"{limits.publishes:,.0f}"),
    ]
    return "\n".join([*_aligned(lines), "", "raw limits", *_aligned(raw), "", *_notes(bellhop, naive)])


def _rate(name: str, bellhop: Run, naive: Run, limit: float) -> tuple[str, ...]:
    return (
        name,
        f"{bellhop.rate:,.0f}",
        f"{naive.rate:,.0f}",
        f"{bellhop.rate / naive.rate:.1f} x",
        f"{limit:,.0f}",
        f"{bellhop.rate / limit:.0%}",
    )


def _seconds(name: str, bellhop: float, naive: float, limit: float) -> tuple[str, ...]:
    return (
        name,
        f"{bellhop:.2f}",
        f"{naive:.2f}",
        f"{naive / bellhop:.1f} x",
        f"{limit:.2f}",
        f"{limit / bellhop:.0%}",
    )


def _milliseconds(name: str, bellhop: Latency, naive: Latency, percent: int) -> tuple[str, ...]:
    ours, theirs = bellhop.percentile(percent), naive.percentile(percent)
    return (name, f"{ours:.1f}", f"{theirs:.1f}", f"{theirs / ours:.1f} x", "", "")


def _for_everyone(run: Run) -> float:
    """Seconds for PEOPLE, linearly from what was measured."""
    return PEOPLE / run.rate


def _notes(bellhop: Figures, naive: Figures) -> list[str]:
    notes = [
        "ratio: above 1, Bellhop is better.",
        f"naive: {naive.broadcast.count:,} people, in all rounds together, took {naive.broadcast.seconds:.2f} s; "
        f"the table has that extrapolated linearly to {PEOPLE:,}.",
        "naive: its view makes the rows, so its worker's figure is publishing alone; Bellhop's is both.",
    ]
    for name, figures in (("Bellhop", bellhop), ("naive", naive)):
        notes.append(
            f"{name}: {figures.processed.count:,} events processed in {figures.processed.seconds:.2f} s; "
            f"{len(figures.latency.milliseconds)} of {figures.latency.counted} frames came; "
            f"{figures.rows:,} rows of {figures.rows_expected:,}."
        )
        if not (figures.processed.complete and figures.broadcast.complete):
            notes.append(f"{name}: not everything was published in time; its rates count what was.")
    return notes


def _aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]).rstrip()
        for line in lines
    ]
