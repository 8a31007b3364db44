"""One event, end to end: the producer's write, the row, the frame, the mail."""

import email
import email.policy

from notifications.models import Delivery, Notification
from tests import rest
from tests.processes import Bellhop
from tests.sockets import Client
from tests.waiting import wait_until


async def test_a_write_becomes_a_row_a_frame_and_a_mail(bellhop: Bellhop) -> None:
    token = bellhop.token("alice")
    producer = bellhop.token("producer")
    async with Client(bellhop, token) as alice:
        answer = rest.call(
            bellhop,
            "POST",
            "/events",
            {"type": "task.assigned", "recipients": {"users": ["alice"]}, "title": "Water the plants"},
            token=producer,
            X_Request_ID="trace-0123456789",
        )
        assert (answer.status, set(answer.body)) == (202, {"id", "status"})
        await alice.until(lambda: alice.live)
    frame = alice.frames[-1]
    assert frame["seq"] == 1
    assert frame["change"] == "created"
    assert frame["counts"] == {"unread": 1, "unseen": 1}
    assert frame["trace"] == "trace-0123456789"
    assert frame["notification"]["event"] == answer.body["id"]
    listed = rest.call(bellhop, "GET", "/notifications", token=token).body
    assert listed == {"results": [frame["notification"]], "next": None, "previous": None}

    (path,) = wait_until(bellhop.mails, what="the mail")
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert (mail["To"], mail["Subject"]) == ("alice@example.com", "Water the plants")
    assert mail["X-Request-ID"] == "trace-0123456789"
    wait_until(Delivery.objects.filter(state="sent").exists, what="the delivery recorded as sent")
    report = rest.call(bellhop, "GET", f"/events/{answer.body['id']}", token=producer).body
    assert report["status"] == "processed"
    assert report["channels"] == {"in_app": {"created": 1}, "email": {"sent": 1}}

    assert Notification.objects.count() == 1
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.lost_claims, delivery.due_at) == ("sent", 1, 0, None)
    wait_until(lambda: bellhop.logs().count("trace-0123456789") >= 2, what="the id in the workers' logs")
