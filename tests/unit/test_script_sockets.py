"""The check of sequence numbers in scripts/shared/sockets.py: it must find what it is there to find."""

from typing import Any

from scripts.shared.sockets import Seen


def live(*numbers: int) -> dict[str, Any]:
    events = [{"type": "event", "seq": number} for number in numbers]
    return events[0] if len(events) == 1 else {"type": "events", "events": events}


def sync(mode: str, start: int, to: int, *revs: int) -> dict[str, Any]:
    return {"type": "sync", "mode": mode, "from": start, "to": to, "items": [{"rev": rev} for rev in revs]}


def seen(*frames: dict[str, Any]) -> Seen:
    made = Seen()
    for frame in frames:
        made.take(frame)
    return made


def test_in_order_across_a_reconnect() -> None:
    found = seen(
        {"type": "welcome", "epoch": "e"},
        sync("reset", 0, 10, 9, 10),
        live(11),
        live(12, 13),
        {"type": "welcome", "epoch": "e"},
        sync("delta", 13, 17, 15, 17),
        live(18),
    )
    assert found == Seen(frames=7, events=4, items=2, resets=1, first=10, last=18, epoch="e")


def test_a_number_left_out_is_a_gap() -> None:
    found = seen(sync("reset", 0, 10), live(11), live(14))
    assert (found.gaps, found.doubles, found.last) == (2, 0, 14)


def test_a_number_that_comes_again_is_a_double() -> None:
    found = seen(sync("reset", 0, 10), live(11, 11), live(10))
    assert (found.gaps, found.doubles, found.last) == (0, 2, 11)


def test_a_delta_that_begins_after_the_position_is_a_gap() -> None:
    assert seen(sync("reset", 0, 10), sync("delta", 12, 15, 13)).gaps == 2


def test_a_delta_that_repeats_a_known_line_is_a_double() -> None:
    assert seen(sync("reset", 0, 10), sync("delta", 8, 12, 9, 12)).doubles == 1
