"""One socket: changes in order, each once, whatever Redis and a slow reader do."""

import asyncio
import json
from typing import Any

import pytest

from delivery import protocol
from delivery.connection import AT_ONCE, REORDER, Connection
from delivery.outbox import FAREWELL, LARGEST, SLOWEST


def change(seq: int) -> tuple[int, str]:
    return seq, f'{{"seq":{seq}}}'


class Peer:
    """The other end: remembers what it was sent; reads only while its gate is open."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.gone = False
        self.transport = self  # as uvicorn's protocol, whose method `send` is, has one
        self.aborted = 0
        self.healed: list[int] = []
        self.connection = Connection(id="c", user_id=1, credential="token:x", send=self.send)
        self.connection.heal = lambda connection: self.healed.append(connection.position)

    async def send(self, message: dict[str, Any]) -> None:
        if self.gone:
            raise ConnectionResetError
        if not self.gate.is_set():
            await self.gate.wait()
        self.messages.append(message)

    def abort(self) -> None:
        self.aborted += 1

    def started(self, *, at: int = 0) -> "Peer":
        self.connection.caught_up(epoch="e", to=at, frame='{"sync":true}')
        self.messages.clear()
        return self

    @property
    def seqs(self) -> list[int]:
        """The numbers of the changes it was sent, in order."""
        frames = [json.loads(message["text"]) for message in self.messages if "text" in message]
        return [e["seq"] for f in frames for e in (f["events"] if f.get("type") == "events" else [f]) if "seq" in e]

    async def reads_everything(self) -> None:
        self.gate.set()
        await settle()


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(20):
        await asyncio.sleep(0)


class Clock:
    """The event loop's clock, moved by hand: timers are due at once, and nothing waits."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._real, self._ahead = self._loop.time, 0.0
        self._loop.time = lambda: self._real() + self._ahead  # type: ignore[method-assign]

    async def advance(self, seconds: float) -> None:
        self._ahead += seconds
        await settle()


@pytest.fixture
async def peer() -> Peer:
    return Peer()


@pytest.fixture
async def clock() -> Clock:
    return Clock()  # each test has a loop of its own


@pytest.mark.parametrize(
    ("offers", "seqs"),
    [
        ([[1], [2], [3]], [1, 2, 3]),
        ([[1, 2, 3]], [1, 2, 3]),
        ([[2], [1]], [1, 2]),
        ([[3], [2], [1]], [1, 2, 3]),
        ([[3, 2], [1]], [1, 2, 3]),
        ([[2, 3], [1, 4]], [1, 2, 3, 4]),
        ([[1], [1], [2]], [1, 2]),
        ([[1, 2], [1, 2], [2, 3]], [1, 2, 3]),
        ([[2], [2], [1]], [1, 2]),
        ([[1, 1, 2]], [1, 2]),
        ([[1, 3], [2, 2]], [1, 2, 3]),
        ([[1, 3]], [1]),
        ([[0], [-1], [1]], [1]),
    ],
)
async def test_changes_go_out_in_order_and_each_once(peer: Peer, offers: list[list[int]], seqs: list[int]) -> None:
    peer.started()
    for offer in offers:
        peer.connection.offer([change(seq) for seq in offer])
    assert peer.seqs == seqs
    assert peer.connection.position == seqs[-1]


async def test_many_at_once_are_joined_into_frames_of_a_bounded_size(peer: Peer) -> None:
    peer.started()
    peer.connection.offer([change(seq) for seq in range(1, 2 * AT_ONCE + 2)])
    sizes = [len(json.loads(m["text"]).get("events", [None])) for m in peer.messages]
    assert sizes == [AT_ONCE, AT_ONCE, 1]
    assert peer.seqs == list(range(1, 2 * AT_ONCE + 2))


async def test_what_comes_during_the_snapshot_is_held_until_it_has_been_sent(peer: Peer) -> None:
    peer.connection.offer([change(4), change(6)])
    peer.connection.offer([change(5)])
    assert peer.messages == []
    peer.connection.caught_up(epoch="e", to=4, frame='{"sync":true}')
    assert peer.messages[0]["text"] == '{"sync":true}'
    assert peer.seqs == [5, 6]


async def test_a_hole_is_healed_once_after_a_quarter_of_a_second(peer: Peer, clock: Clock) -> None:
    peer.started()
    peer.connection.offer([change(1), change(3)])
    peer.connection.offer([change(4)])
    await clock.advance(REORDER - 0.05)
    assert peer.healed == []
    await clock.advance(0.1)
    assert peer.healed == [1]
    await clock.advance(10)
    assert peer.healed == [1]


async def test_healing_brings_what_was_missing_and_then_what_was_held(peer: Peer, clock: Clock) -> None:
    peer.started()
    peer.connection.offer([change(3), change(5)])
    await clock.advance(REORDER + 0.01)
    peer.connection.catching_up = True  # as the hub does before it reads
    peer.connection.offer([change(6)])
    peer.connection.caught_up(epoch="e", to=4, frame='{"sync":true}')
    assert peer.messages[0]["text"] == '{"sync":true}'
    assert peer.seqs == [5, 6]
    await clock.advance(10)
    assert peer.healed == [0]


async def test_a_hole_that_fills_by_itself_is_not_healed(peer: Peer, clock: Clock) -> None:
    peer.started()
    peer.connection.offer([change(2)])
    await clock.advance(REORDER - 0.05)
    peer.connection.offer([change(1)])
    await clock.advance(10)
    assert (peer.seqs, peer.healed) == ([1, 2], [])


@pytest.mark.parametrize("ending", ["forget", "close"])
async def test_a_socket_that_has_ended_is_not_healed(peer: Peer, clock: Clock, ending: str) -> None:
    peer.started()
    peer.connection.offer([change(2)])
    if ending == "forget":
        peer.connection.forget()
    else:
        peer.connection.close(code=4001, reason="drain")
    await clock.advance(10)
    assert peer.healed == []


async def test_frames_keep_their_order_behind_a_send_that_waits(peer: Peer) -> None:
    peer.started()
    peer.gate.clear()
    peer.connection.offer([change(1)])
    peer.connection.push(protocol.ping(head=1))
    peer.connection.offer([change(2)])
    await settle()
    assert peer.messages == []
    await peer.reads_everything()
    assert [json.loads(m["text"]).get("type", "event") for m in peer.messages] == ["event", "ping", "event"]
    assert peer.seqs == [1, 2]
    # And once it has caught up, a frame is written straight away again.
    peer.connection.offer([change(3)])
    assert peer.seqs == [1, 2, 3]


def large(seq: int) -> tuple[int, str]:
    """A change of which AT_ONCE joined are a tenth of what may wait."""
    return seq, json.dumps({"seq": seq, "body": "x" * (LARGEST // AT_ONCE // 10)})


async def test_a_reader_too_slow_to_follow_lags_and_what_waits_for_it_is_bounded(peer: Peer, clock: Clock) -> None:
    peer.started()
    peer.gate.clear()
    peer.connection.offer([large(1)])  # in the hands of the socket
    for start in range(2, 2000, AT_ONCE):
        peer.connection.offer([large(seq) for seq in range(start, start + AT_ONCE)])
    assert not peer.connection.closed
    assert peer.connection.position == 1  # the rest was dropped, and stands in PostgreSQL
    assert peer.healed == []
    peer.connection.caught_up(epoch="e", to=5000, frame="a snapshot that was on its way")
    await peer.reads_everything()
    assert [json.loads(m["text"])["type"] for m in peer.messages[1:]] == ["lag"]
    assert peer.seqs == [1]
    assert peer.healed == [1]  # one delta, from the last change it has
    await clock.advance(SLOWEST + 1)
    assert (peer.connection.closed, peer.aborted) == (False, 0)


async def test_a_burst_larger_than_what_may_wait_is_no_end_for_who_reads(peer: Peer) -> None:
    peer.started()
    peer.connection.offer([large(seq) for seq in range(1, 2001)])
    assert peer.seqs == list(range(1, 2001))
    assert (peer.connection.closed, peer.healed) == (False, [])


async def test_who_takes_nothing_is_cut_off(peer: Peer, clock: Clock) -> None:
    peer.started()
    peer.gate.clear()
    peer.connection.offer([large(seq) for seq in range(1, 2001)])
    assert (peer.connection.closed, peer.aborted) == (False, 0)
    await clock.advance(SLOWEST + 1)
    assert (peer.connection.closed, peer.aborted) == (True, 1)
    peer.connection.push("too late")
    await peer.reads_everything()
    assert peer.messages == []


async def test_who_asks_much_and_reads_nothing_is_cut_off(peer: Peer) -> None:
    peer.started()
    peer.gate.clear()
    peer.connection.push("first")
    for _ in range(LARGEST // 1024):
        peer.connection.push("x" * 1024)
    assert (peer.connection.closed, peer.aborted) == (False, 0)
    peer.connection.push("x" * 1024)
    assert (peer.connection.closed, peer.aborted) == (True, 1)


@pytest.mark.parametrize("reads", [True, False])
async def test_who_does_not_take_the_goodbye_is_cut_off(peer: Peer, clock: Clock, reads: bool) -> None:
    peer.started()
    peer.gate.clear()
    peer.connection.push("first")
    peer.connection.close(code=4001, reason="drain")
    if reads:
        await peer.reads_everything()
        peer.connection.forget()  # as the hub does when the socket has ended
    await clock.advance(FAREWELL + 1)
    assert (len(peer.messages), peer.aborted) == ((3, 0) if reads else (0, 1))


async def test_what_was_written_no_longer_counts_as_waiting(peer: Peer) -> None:
    peer.started()
    half = "x" * (LARGEST // 2)
    for _ in range(5):
        peer.gate.clear()
        peer.connection.push(half)
        peer.connection.push(half)
        await peer.reads_everything()
    assert not peer.connection.closed
    assert len(peer.messages) == 10


@pytest.mark.parametrize("waits", [False, True])
async def test_closing_says_why_then_closes_and_only_once(peer: Peer, waits: bool) -> None:
    peer.started()
    if waits:
        peer.gate.clear()
    peer.connection.close(code=4506, reason="logged out")
    peer.connection.close(code=4000, reason="again")
    peer.connection.push("too late")
    await peer.reads_everything()
    bye, close = peer.messages
    assert json.loads(bye["text"]) == {"type": "bye", "code": 4506, "reason": "logged out", "retry_ms": [0, 4000]}
    assert close == {"type": "websocket.close", "code": 4506, "reason": "logged out"}


@pytest.mark.parametrize("waits", [False, True])
async def test_a_peer_that_is_gone_closes_the_connection_without_an_error(peer: Peer, waits: bool) -> None:
    peer.started()
    if waits:
        peer.gate.clear()
        peer.connection.push("first")
    peer.gone = True
    peer.connection.push("second")
    await peer.reads_everything()
    peer.connection.push("third")
    assert peer.connection.closed
    assert [m["text"] for m in peer.messages] == (["first"] if waits else [])
