"""What a person chooses on one device is on the others at once."""

from tests import rest
from tests.processes import Bellhop
from tests.sockets import Client


async def test_a_change_reaches_every_socket_in_order_and_a_client_that_was_away(bellhop: Bellhop) -> None:
    token, producer = bellhop.token("alice"), bellhop.token("producer")
    body = {"type": "task.updated", "recipients": {"users": ["alice"]}, "channels": ["in_app"]}
    async with Client(bellhop, token) as phone, Client(bellhop, token) as laptop, Client(bellhop, token) as away:
        assert phone.preferences is None
        rest.call(bellhop, "POST", "/events", body, token=producer)
        for client in (phone, laptop, away):
            await client.until(lambda client=client: client.live == [1])
        await away.drop()

        by_rest = rest.call(bellhop, "PATCH", "/preferences", {"version": 0, "locale": "de"}, token=token).body
        for client in (phone, laptop):
            await client.until(lambda client=client: client.live == [1, 2])
            assert client.preferences == by_rest
        frame = phone.frames[-1]
        assert frame == {
            "type": "event",
            "seq": 2,
            "change": "preferences",
            "counts": {"unread": 1, "unseen": 1},
            "preferences": by_rest,
        }

        await phone.send(
            {"type": "command", "id": "c1", "name": "set_preferences", "args": {"version": 1, "timezone": "Asia/Tokyo"}}
        )
        await phone.until(lambda: any(f["type"] == "result" for f in phone.frames) and phone.live == [1, 2, 3])
        (result,) = [frame for frame in phone.frames if frame["type"] == "result"]
        assert (result["ok"], result["seq"]) == (True, 3)
        await laptop.until(lambda: laptop.live == [1, 2, 3])
        assert laptop.frames[-1]["origin"] == "c1"
        assert laptop.preferences == phone.preferences == result["data"]["preferences"]
        assert laptop.preferences == rest.call(bellhop, "GET", "/preferences", token=token).body

        setting = {"type": "task.updated", "channel": "in_app", "value": "off"}
        assert rest.call(bellhop, "POST", "/settings", setting, token=token).status == 201
        await laptop.until(lambda: laptop.live == [1, 2, 3, 4])
        rest.call(bellhop, "POST", "/events", body, token=producer)
        rest.call(bellhop, "POST", "/events", body | {"type": "task.assigned"}, token=producer)
        await laptop.until(lambda: laptop.live == [1, 2, 3, 4, 5])
        assert len(laptop.items) == 2, "what was muted did not come"

    async with Client(bellhop, token, position=away.position) as back:
        sync = back.frames[-1]
        assert (sync["mode"], sync["from"], sync["to"]) == ("delta", 1, 5)
        assert sync["preferences"] == laptop.preferences
