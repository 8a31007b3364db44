"""Frames: what a client may say, and that what we say is JSON of the contract's shape."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery import protocol
from delivery.protocol import Ack, BadFrame, Command, Hello, Pong, Position, Resume
from notifications import live
from notifications.words import Change


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ('{"type":"hello"}', Hello()),
        (
            '{"type":"hello","ticket":"t","device":"d","position":{"epoch":"e","seq":12},"visible":false}',
            Hello(ticket="t", device="d", position=Position(epoch="e", seq=12), visible=False),
        ),
        ('{"type":"hello","position":null,"ticket":null}', Hello()),
        ('{"type":"ack","seq":20}', Ack(seq=20)),
        ('{"type":"pong"}', Pong(seq=0)),
        ('{"type":"pong","seq":20}', Pong(seq=20)),
        ('{"type":"resume","seq":12}', Resume(seq=12)),
        ('{"type":"command","id":"c","name":"mark_read"}', Command(id="c", name="mark_read")),
        (
            '{"type":"command","id":"c","name":"x","args":{"ids":["1"]}}',
            Command(id="c", name="x", args={"ids": ["1"]}),
        ),
        # A newer client may say more than we know.
        ('{"seq":20,"type":"ack","colour":"red"}', Ack(seq=20)),
    ],
)
def test_every_frame_of_a_client(text: str, frame: protocol.Frame) -> None:
    assert protocol.parse(text) == frame


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "null",
        "{}",
        '{"type":"ack"',
        '{"type":"ack"}',
        '{"type":"ack","seq":"20"}',
        '{"type":"ack","seq":1.5}',
        '{"type":"resume","seq":null}',
        '{"type":"welcome"}',
        '{"type":7}',
        '{"type":"command","name":"mark_read"}',
        '{"type":"command","id":"c","name":"x","args":[]}',
        '{"type":"hello","position":{"seq":1}}',
        '{"type":"hello","device":"a\x00b"}',
        '{"type":"ack","seq":20}\x00',
        '{"type":"hello","device":"\\ud800"}',
        '{"type":"command","id":"c","name":"x","args":' + '{"a":' * 2000 + "1" + "}" * 2000 + "}",
    ],
)
def test_what_is_not_a_frame_is_refused(text: str) -> None:
    with pytest.raises(BadFrame):
        protocol.parse(text)


def test_a_frame_of_the_largest_size_passes_and_one_more_character_does_not() -> None:
    room = protocol.LARGEST_FRAME - len('{"type":"hello","device":""}')
    assert protocol.parse(f'{{"type":"hello","device":"{"d" * room}"}}') == Hello(device="d" * room)
    with pytest.raises(BadFrame, match="16384 bytes"):
        protocol.parse(f'{{"type":"hello","device":"{"d" * (room + 1)}"}}')


@given(st.text(max_size=200))
def test_text_that_is_no_frame_is_refused_with_a_sentence(text: str) -> None:
    refused = ""
    try:
        protocol.parse(text)
    except BadFrame as error:
        refused = str(error)
    assert refused


ODD = ["plain", 'say "hi" \\ there', "ünï — 🛎", "</script>", "a\u2028b\tc", "{}"]


def line(title: str) -> dict[str, Any]:
    return {"event": "e", "title": title, "data": {"quote": title}}


@pytest.mark.parametrize("title", ODD)
def test_an_event_frame_says_what_went_in(title: str) -> None:
    text = protocol.event(
        seq=20,
        change=Change.CREATED,
        unread=3,
        unseen=1,
        notification=live.own_text(id=7, rev=20) + live.shared_text(line(title)),
        trace_id=title,
        origin=title,
    )
    assert json.loads(text) == {
        "type": "event",
        "seq": 20,
        "change": "created",
        "counts": {"unread": 3, "unseen": 1},
        "notification": {"id": "7", "rev": 20} | line(title),
        "trace": title,
        "origin": title,
    }


def test_what_an_event_frame_does_not_have_is_left_out() -> None:
    text = protocol.event(seq=21, change=Change.READ_ALL, unread=0, unseen=0, notification="")
    assert json.loads(text) == {
        "type": "event",
        "seq": 21,
        "change": "read_all",
        "counts": {"unread": 0, "unseen": 0},
    }


def test_an_event_frame_carries_preferences_in_the_place_of_a_notification() -> None:
    text = protocol.event(seq=22, change=Change.PREFERENCES, unread=1, unseen=0, preferences='{"locale":"de"}')
    assert json.loads(text) == {
        "type": "event",
        "seq": 22,
        "change": "preferences",
        "counts": {"unread": 1, "unseen": 0},
        "preferences": {"locale": "de"},
    }


def test_events_carries_each_frame_whole() -> None:
    frames = [
        protocol.event(seq=n, change=Change.CREATED, unread=n, unseen=n, notification=json.dumps(line(title)))
        for n, title in enumerate(ODD, 1)
    ]
    said = json.loads(protocol.events(frames))
    assert said == {"type": "events", "events": [json.loads(frame) for frame in frames]}


def test_sync_says_from_where_to_where_and_with_what() -> None:
    text = protocol.sync(
        mode="delta",
        start=12,
        to=19,
        items=[line(title) for title in ODD],
        counts={"unread": 3, "unseen": 1},
        more=False,
        read_all=[{"seq": 14, "at": datetime(2026, 3, 2, 12, 0, tzinfo=UTC)}],
    )
    assert json.loads(text) == {
        "type": "sync",
        "mode": "delta",
        "from": 12,
        "to": 19,
        "items": [line(title) for title in ODD],
        "counts": {"unread": 3, "unseen": 1},
        "more": False,
        "read_all": [{"seq": 14, "at": "2026-03-02T12:00:00Z"}],
        "preferences": None,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            protocol.welcome(connection="c", epoch="e", now=datetime(2026, 3, 2, 12, 0, tzinfo=UTC)),
            {
                "type": "welcome",
                "connection": "c",
                "epoch": "e",
                "heartbeat": 25,
                "ack": {"every": 20, "within_ms": 1000},
                "window": 256,
                "server_time": "2026-03-02T12:00:00Z",
            },
        ),
        (protocol.ping(head=20), {"type": "ping", "head": 20}),
        (
            protocol.result(id='"', seq=21, data={"changed": 1}),
            {"type": "result", "id": '"', "ok": True, "seq": 21, "data": {"changed": 1}},
        ),
        (
            protocol.refusal(id='"', code="invalid", message="No."),
            {"type": "result", "id": '"', "ok": False, "error": {"code": "invalid", "message": "No."}},
        ),
        (
            protocol.refusal(id="c", code="stale", message="No.", details={"present": 1}),
            {
                "type": "result",
                "id": "c",
                "ok": False,
                "error": {"code": "stale", "message": "No.", "details": {"present": 1}},
            },
        ),
        (
            protocol.bye(code=4001, reason="drain", retry_ms=(0, 8000)),
            {"type": "bye", "code": 4001, "reason": "drain", "retry_ms": [0, 8000]},
        ),
    ],
)
def test_the_other_frames(text: str, said: dict[str, Any]) -> None:
    assert json.loads(text) == said
