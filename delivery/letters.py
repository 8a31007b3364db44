"""From a claimed delivery to the Message a provider gets."""

from urllib.parse import urljoin

from django.conf import settings
from django.template.loader import render_to_string

from notifications.ledger import Claimed
from notifications.values import Message


def write(delivery: Claimed) -> Message:
    """The message of a delivery. Text from producers is escaped in the HTML part; links are absolute."""
    words = {
        "title": delivery.title,
        "body": delivery.body,
        "action_url": delivery.action_url and urljoin(settings.PUBLIC_URL, delivery.action_url),
    }
    return Message(
        key=f"{delivery.event_id.hex}.{delivery.id}",
        address=delivery.address,
        subject=delivery.title,
        text=render_to_string("bellhop/email.txt", words),
        html=render_to_string("bellhop/email.html", words),
        trace_id=delivery.trace_id,
    )
