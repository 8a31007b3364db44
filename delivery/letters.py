"""From a claimed delivery and its items to the Message a provider gets."""

from collections.abc import Sequence
from urllib.parse import urljoin

from django.conf import settings
from django.template.loader import render_to_string

from core import logs
from notifications.ledger import Claimed, Item
from notifications.values import Message

log = logs.logger(__name__)

LISTED = 20  # items of a digest; of more there is only the number


def write_all(letters: Sequence[tuple[Claimed, Sequence[Item]]]) -> list[Message | Exception]:
    """
    The messages of deliveries, each with its items: one, or those of a digest. In order; what cannot be written
    is the error instead, so that one bad letter does not hold up the others of its claim.
    """
    written: list[Message | Exception] = []
    for delivery, items in letters:
        try:
            written.append(_digest(delivery, items) if len(items) > 1 else _letter(delivery, items[0]))
        except Exception as error:
            log.exception("letter.failed", trace_id=delivery.trace_id, delivery=delivery.id)
            written.append(error)
    return written


def _words(item: Item) -> dict[str, str]:
    return {
        "title": item.title,
        "body": item.body,
        "action_url": item.action_url and urljoin(settings.PUBLIC_URL, item.action_url),
    }


def _letter(delivery: Claimed, item: Item) -> Message:
    """Text from producers is escaped in the HTML part; links are absolute."""
    words = _words(item)
    return Message(
        key=delivery.key,
        address=delivery.address,
        subject=item.title,
        text=render_to_string("bellhop/email.txt", words),
        html=render_to_string("bellhop/email.html", words),
        trace_id=delivery.trace_id,
    )


def _digest(delivery: Claimed, items: Sequence[Item]) -> Message:
    """The newest are named, of the others the number."""
    listed = [_words(item) for item in items[-LISTED:]]
    subject = f"{len(items)} notifications in {delivery.digest_category}"
    words = {"subject": subject, "items": listed, "more": len(items) - len(listed)}
    return Message(
        key=delivery.key,
        address=delivery.address,
        subject=subject,
        text=render_to_string("bellhop/digest.txt", words),
        html=render_to_string("bellhop/digest.html", words),
        trace_id=delivery.trace_id,
    )
