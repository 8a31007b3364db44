"""The words of inbox lines: an event is written once for each language and time zone among its recipients."""

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from notifications import templates
from notifications.events import Claimed
from notifications.recipients import Recipient
from notifications.words import IN_APP

Words = tuple[str | None, str | None]
AS_IT_IS: Words = (None, None)


class Writer:
    """The words of one turn of a worker: which templates are current is read once in it, when there are any."""

    def __init__(self) -> None:
        self._shelves: dict[str, templates.Shelf] = {}
        self._written: dict[tuple[UUID, str, str], Words] = {}

    def words(self, event: Claimed, recipient: Recipient, *, now: datetime) -> Words:
        """Title and body for this person; AS_IT_IS when nobody wrote a template, or it could not be filled in."""
        if not event.worded:
            return AS_IT_IS
        key = event.id, recipient.raw.locale, recipient.raw.timezone
        found = self._written.get(key)
        if found is None:
            found = self._written[key] = self._write(event, recipient, now=now)
        return found

    def _write(self, event: Claimed, recipient: Recipient, *, now: datetime) -> Words:
        shelf = self._shelves.get(event.type)
        if shelf is None:
            shelf = self._shelves[event.type] = templates.current(types={event.type}, channels={IN_APP})
        given = templates.variables(
            type=event.type,
            category=event.category,
            priority=event.priority,
            title=event.title,
            body=event.body,
            action_url=event.action_url,
            actor=event.actor,
            object=event.object,
            tags=event.tags,
            created_at=now,
            data=msgspec.json.decode(event.data),
            template_data=msgspec.json.decode(event.template_data),
        )
        raw = recipient.raw
        return templates.words(shelf, given=given, locale=raw.locale, zone=ZoneInfo(raw.timezone)) or AS_IT_IS
