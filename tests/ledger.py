"""The final reckoning of a test: nothing lost, nothing doubled, every count exact."""

import email
import email.policy
from collections import Counter
from typing import Any

from django.db import connection

from notifications.models import Attempt, Delivery, Event, InboxHead, Notification
from tests.processes import Bellhop
from tests.waiting import wait_until


def settled() -> bool:
    """No row is open any more."""
    return (
        not Event.objects.filter(due_at__isnull=False).exists()
        and not Delivery.objects.filter(due_at__isnull=False).exists()
    )


def wait_until_settled(*, within: float = 90.0) -> None:
    wait_until(settled, what="every row coming to an end", within=within)


def assert_inboxes_exact(*, notifications: int) -> None:
    """So many lines; each head's number and counts are what a recount of its lines gives, without holes."""
    assert Notification.objects.count() == notifications
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*) FROM notifications_inboxhead h
            LEFT JOIN LATERAL (
                SELECT count(*) AS lines, count(*) FILTER (WHERE read_at IS NULL AND rev > h.read_watermark) AS unread,
                       count(DISTINCT rev) AS revs, max(rev) AS top
                FROM notifications_notification n WHERE n.user_id = h.user_id) n ON true
            WHERE h.head_seq <> n.lines OR h.unread <> n.unread OR h.unseen <> n.unread
                OR n.revs <> n.lines OR n.top <> h.head_seq
            """
        )
        assert cursor.fetchone() == (0,)
    assert InboxHead.objects.count() == Notification.objects.values("user_id").distinct().count()


def assert_mail_complete(bellhop: Bellhop) -> Counter[str]:
    """
    At least one mail for each delivery; more than one only where a claim was lost, and no more than that many.
    Returns the surplus by Message-ID.
    """
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert Attempt.objects.filter(result="sent").count() == Delivery.objects.count()
    mails: Counter[str] = Counter(message_id(path) for path in bellhop.mails())
    deliveries: dict[str, Any] = {
        f"<{delivery.notification.event_id.hex}.{delivery.pk}@localhost>": delivery
        for delivery in Delivery.objects.select_related("notification")
        if delivery.notification
    }
    assert set(mails) == set(deliveries)
    surplus = Counter({key: count - 1 for key, count in mails.items() if count > 1})
    for key, extra in surplus.items():
        assert deliveries[key].lost_claims >= extra, "a duplicate that was not counted"
    return surplus


def message_id(path: Any) -> str:
    return str(email.message_from_bytes(path.read_bytes(), policy=email.policy.default)["Message-ID"])
