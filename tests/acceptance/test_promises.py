"""What Part 1 promises of volume, repetition and resuming, on the running processes."""

from collections import Counter

from django.db import connection

from core.models import User
from notifications.models import Event, InboxHead, Notification
from tests import factories, ledger, rest
from tests.processes import Bellhop
from tests.sockets import Client
from tests.threads import at_once
from tests.waiting import wait_until


def in_app(*usernames: str, **fields: object) -> dict[str, object]:
    return {
        "type": "task.updated",
        "recipients": {"users": list(usernames)},
        "title": "Moved to Friday",
        "channels": ["in_app"],
    } | fields


def test_two_thousand_events_and_ten_thousand_people(bellhop: Bellhop) -> None:
    people = factories.users(10_000)
    token = bellhop.token("producer")
    for start in (0, 1000):
        events = [in_app(people[number % 500].username) for number in range(start, start + 1000)]
        answer = rest.call(bellhop, "POST", "/events/batch", {"events": events}, token=token)
        assert answer.status == 202
    everyone = in_app(recipients={"users": [person.username for person in people]})
    assert rest.call(bellhop, "POST", "/events", everyone, token=token).status == 202
    ledger.wait_until_settled()
    ledger.assert_inboxes_exact(notifications=12_000)
    assert Counter(Event.objects.values_list("state", flat=True)) == {"processed": 2001}
    heads = Counter(InboxHead.objects.values_list("head_seq", "unread", "unseen"))
    assert heads == {(5, 5, 5): 500, (1, 1, 1): 9500}


def test_a_broadcast_reaches_everyone_once(bellhop: Bellhop) -> None:
    factories.users(1203)
    token = bellhop.token("producer")
    answer = rest.call(bellhop, "POST", "/events", in_app(recipients={"all": True}), token=token)
    wait_until(lambda: Event.objects.get().state == "processed", what="the broadcast being processed")
    assert Notification.objects.count() == User.objects.count() == 1204
    report = rest.call(bellhop, "GET", f"/events/{answer.body['id']}", token=token).body
    assert (report["recipients"], report["channels"]) == (1204, {"in_app": {"created": 1204}})


def test_the_same_event_ten_times_at_once(bellhop: Bellhop) -> None:
    factories.user("alice")
    token = bellhop.token("producer")

    def post(body: dict[str, object]) -> rest.Answer:
        return rest.call(bellhop, "POST", "/events", body, token=token, Idempotency_Key="once")

    answers = at_once(*[lambda: post(in_app("alice"))] * 10)
    assert [answer.status for answer in answers] == [202] * 10
    assert len({answer.body["id"] for answer in answers}) == 1
    other = post(in_app("alice", title="Moved to Monday"))
    assert (other.status, other.body["code"]) == (409, "idempotency_conflict")
    ledger.wait_until_settled()
    assert (Event.objects.count(), Notification.objects.count()) == (1, 1)


async def test_a_socket_dropped_in_a_burst_ends_with_everything(bellhop: Bellhop) -> None:
    token, producer = bellhop.token("alice"), bellhop.token("producer")
    client = Client(bellhop, token)
    async with client:
        for start in range(0, 500, 50):
            events = [in_app("alice", title=f"Number {number}") for number in range(start, start + 50)]
            rest.call(bellhop, "POST", "/events/batch", {"events": events}, token=producer)
            if start == 200:
                await client.until(lambda: client.seq >= 100)
    assert 100 <= client.seq < 500
    again = Client(bellhop, token, position=client.position)
    again.items = client.items
    async with again:
        await again.until(lambda: again.seq == 500)
    first_sync = next(frame for frame in again.frames if frame["type"] == "sync")
    assert (first_sync["mode"], first_sync["from"]) == ("delta", client.seq)
    assert client.live == list(range(1, client.seq + 1))
    assert again.live == list(range(first_sync["to"] + 1, 501))
    assert sorted(item["rev"] for item in again.items.values()) == list(range(1, 501))
    assert Counter(item["title"] for item in again.items.values()) == {f"Number {n}": 1 for n in range(500)}
    assert again.counts == {"unread": 500, "unseen": 500}


async def test_reading_on_one_device_is_seen_on_the_other(bellhop: Bellhop) -> None:
    token, producer = bellhop.token("alice"), bellhop.token("producer")
    async with Client(bellhop, token) as phone, Client(bellhop, token) as laptop:
        for _ in range(2):
            rest.call(bellhop, "POST", "/events", in_app("alice"), token=producer)
        await phone.until(lambda: len(phone.live) == 2)
        await laptop.until(lambda: len(laptop.live) == 2)
        (first, second) = sorted(phone.items, key=int)
        await phone.send({"type": "command", "id": "c1", "name": "mark_read", "args": {"ids": [first]}})
        await phone.until(lambda: any(frame["type"] == "result" for frame in phone.frames))
        await laptop.until(lambda: len(laptop.live) == 3)
        await phone.until(lambda: len(phone.live) == 3)
        assert laptop.counts == phone.counts == {"unread": 1, "unseen": 1}
        assert laptop.items[first]["read_at"] is not None
        assert laptop.items[second]["read_at"] is None
        result = next(frame for frame in phone.frames if frame["type"] == "result")
        assert result == {"type": "result", "id": "c1", "ok": True, "seq": 3, "data": {"changed": 1}}
        event = next(frame for frame in laptop.frames if frame.get("change") == "updated")
        assert event["origin"] == "c1"
        # Once more, as after a lost answer: nothing happens twice.
        await phone.send({"type": "command", "id": "c1", "name": "mark_read", "args": {"ids": [first]}})
        await phone.until(lambda: sum(frame["type"] == "result" for frame in phone.frames) == 2)
        assert phone.frames[-1]["data"] == {"changed": 0}
        answer = rest.call(bellhop, "POST", "/notifications/bulk", {"action": "read", "all": True}, token=token)
        assert answer.body == {"changed": 1, "counts": {"unread": 0, "unseen": 0, "by_category": {}}}
        await laptop.until(lambda: len(laptop.live) == 4)
        assert laptop.counts == {"unread": 0, "unseen": 0}
        assert all(item["read_at"] for item in laptop.items.values())


def test_accepting_reaches_the_disk_before_the_answer(bellhop: Bellhop) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit')")
        assert dict(cursor.fetchall()) == {"fsync": "on", "synchronous_commit": "on"}
