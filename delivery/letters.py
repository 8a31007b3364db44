"""
From a claimed delivery and its items to the Message a provider gets: in the words of the type's template, else in
the event's own.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin
from uuid import UUID

import msgspec
from django.conf import settings
from django.template.loader import render_to_string

from core import logs
from notifications import choices, rendering, templates, unsubscribing
from notifications.ledger import Claimed, Item
from notifications.values import Message
from notifications.words import PUSH, Priority

log = logs.logger(__name__)

LISTED = 20  # items of a digest; of more there is only the number


def write_all(letters: Sequence[tuple[Claimed, Sequence[Item]]]) -> list[Message | Exception]:
    """
    The messages of deliveries, each with its items: one, or those of a digest. In order; what cannot be written
    is the error instead, so that one bad letter does not hold up the others of its claim.

    One query for the templates of all, and none when there are no letters.
    """
    if not letters:
        return []
    shelf = templates.current(
        types={items[0].type for _, items in letters}, channels={delivery.channel for delivery, _ in letters}
    )
    told: dict[UUID, dict[str, Any]] = {}
    written: list[Message | Exception] = []
    for delivery, items in letters:
        try:
            link = _link(delivery, items)
            if len(items) > 1:
                written.append(_digest(delivery, items, link))
                continue
            event_id = items[0].event_id
            if event_id not in told:
                told[event_id] = _variables(items[0])
            filled_in = _from_template(delivery, items[0], told[event_id], link, shelf=shelf)
            written.append(filled_in or _letter(delivery, items[0], link))
        except Exception as error:
            log.exception("letter.failed", trace_id=delivery.trace_id, delivery=delivery.id)
            written.append(error)
    return written


def _link(delivery: Claimed, items: Sequence[Item]) -> str:
    """Where the person ends mails like this; empty when they cannot, and for other channels than mail."""
    if delivery.channel != rendering.EMAIL:
        return ""
    category = items[0].category
    link = unsubscribing.link(
        items, user_id=delivery.user_id, channel=delivery.channel, category=category, raw=delivery.raw
    )
    return unsubscribing.url(link) if link else ""


def _from_template(
    delivery: Claimed, item: Item, told: dict[str, Any], link: str, *, shelf: templates.Shelf
) -> Message | None:
    """None: there is no template, or it could not be filled in."""
    person = choices.read(delivery.raw)
    recipient = {
        "username": delivery.username,
        "first_name": delivery.first_name,
        "last_name": delivery.last_name,
    }
    rendered = templates.write(
        shelf,
        channel=delivery.channel,
        given={**told, "recipient": recipient, "unsubscribe_url": link},
        locale=(delivery.device and delivery.device.locale) or person.locale,
        zone=person.zone,
    )
    if rendered is None:
        return None
    return _message(delivery, item, link, subject=rendered.subject, text=rendered.text + "\n", html=rendered.html)


def _variables(item: Item) -> dict[str, Any]:
    return templates.variables(
        type=item.type,
        category=item.category,
        priority=item.priority,
        title=item.title,
        body=item.body,
        action_url=item.action_url,
        actor=item.actor,
        object=item.object,
        tags=item.tags,
        created_at=item.created_at,
        data=msgspec.json.decode(item.data),
        template_data=msgspec.json.decode(item.template_data),
    )


def _words(item: Item) -> dict[str, str]:
    return {
        "title": item.title,
        "body": item.body,
        "action_url": item.action_url and urljoin(settings.PUBLIC_URL, item.action_url),
    }


def _letter(delivery: Claimed, item: Item, link: str) -> Message:
    """Text from producers is escaped in the HTML part; links are absolute. The frame of a push is the device's."""
    if delivery.channel == PUSH:
        return _message(delivery, item, link, subject=item.title, text=item.body, html="")
    return _built_in(delivery, item, link, subject=item.title, name="email", words=_words(item))


def _digest(delivery: Claimed, items: Sequence[Item], link: str) -> Message:
    """The newest are named, of the others the number. On a device they come first: of many lines it shows a few."""
    listed = [_words(item) for item in items[-LISTED:]]
    subject = f"{len(items)} notifications in {delivery.digest_category}"
    if delivery.channel == PUSH:
        titles = "\n".join(one["title"] for one in listed[::-1])
        return _message(delivery, None, link, subject=subject, text=titles, html="")
    words = {"subject": subject, "items": listed, "more": len(items) - len(listed)}
    return _built_in(delivery, None, link, subject=subject, name="digest", words=words)


def _built_in(
    delivery: Claimed, item: Item | None, link: str, *, subject: str, name: str, words: dict[str, Any]
) -> Message:
    words = {**words, "unsubscribe_url": link}
    text, html = (render_to_string(f"bellhop/{name}.{kind}", words) for kind in ("txt", "html"))
    return _message(delivery, item, link, subject=subject, text=text, html=html)


def _message(delivery: Claimed, item: Item | None, link: str, *, subject: str, text: str, html: str) -> Message:
    """`item` is None for several: they lead nowhere in particular, and replace nothing."""
    message = Message(
        key=delivery.key,
        address=delivery.device.address if delivery.device else delivery.address,
        subject=subject,
        text=text,
        html=html,
        trace_id=delivery.trace_id,
        unsubscribe=link,
    )
    if item is None:
        return message
    return replace(
        message,
        url=_words(item)["action_url"],
        priority=Priority(item.priority),
        expires_at=item.expires_at,
        collapse=item.object or item.event_id.hex,
    )
