"""
The words of messages, as staff write them: per type, channel and language, in versions. The only writer of Template.

A version never changes; saving makes the next one and makes it the current one, in one transaction under the row
lock of its type. Two who save at once get two versions, and there is never more than one current.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from core import logs
from core.errors import Conflict, Invalid
from notifications import catalog, languages, rendering
from notifications.filters import Reader
from notifications.markup import Unusable
from notifications.models import Layout, Template, Type
from notifications.rendering import EMAIL, Rendered, Source
from notifications.sandbox import Failed
from notifications.words import IN_APP, Priority

log = logs.logger(__name__)


class Outdated(Conflict):
    """This is not the current version any more; read the current one and change that."""

    code = "outdated"


def variables(
    *,
    type: str,
    category: str,
    priority: str,
    title: str,
    body: str,
    action_url: str,
    actor: str,
    object: str,
    tags: list[str],
    created_at: datetime,
    data: Mapping[str, Any],
    template_data: Mapping[str, Any],
) -> dict[str, Any]:
    """What a template may say of an event, by name. Mail knows its `recipient` and `unsubscribe_url` too."""
    return {
        "type": type,
        "category": category,
        "priority": priority,
        "title": title,
        "body": body,
        "action_url": action_url,
        "actor": actor,
        "object": object,
        "tags": tags,
        "created_at": created_at,
        "data": data,
        "vars": template_data,
    }


_EXAMPLE = {
    "priority": Priority.NORMAL.value,
    "title": "An example",
    "body": "What an event says, in more words.",
    "action_url": "/example",
    "actor": "alice",
    "object": "task:42",
    "tags": ["example"],
    "created_at": datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
    "data": {},
}
_RECIPIENT = {"username": "bob", "first_name": "Bob", "last_name": "Builder"}
_UNSUBSCRIBE = "/unsubscribe/example"


def example(type: Type, *, channel: str, sample: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The variables of an example event of a type, with its own sample or another."""
    given = dict(_EXAMPLE, type=type.key, category=type.category_id)
    made = variables(**given, template_data=type.sample if sample is None else sample)  # type: ignore[arg-type]
    # The words of an inbox line are written once for all people with the same language and time zone.
    if channel == IN_APP:
        return made
    return {**made, "recipient": _RECIPIENT} | ({"unsubscribe_url": _UNSUBSCRIBE} if channel == EMAIL else {})


def problem(source: Source, *, type: Type) -> str | None:
    """Why a source cannot be used for a type, in a sentence; None when it can."""
    given = example(type, channel=source.channel)
    try:
        compiled = rendering.check(source, known={**given, "data": rendering.ANYTHING})
        rendering.render(compiled, variables=given, reader=_reader(source.locale, locale="", zone=UTC))
    except Unusable as error:
        return str(error)
    except Failed as error:
        return f"With the sample of its type and nothing in `data`: {error}."
    return None


def save(
    *,
    type: str,
    channel: str,
    locale: str,
    subject: str,
    source: str,
    layout: str | None,
    by: int | None,
    now: datetime,
    after: Template | None = None,
) -> Template:
    """
    Make the next version and make it the current one. Safe at once: both savers get a version of their own, unless
    they name the version they started from, `after`: then the second gets Outdated. Raises Invalid.
    """
    tag = languages.canonical(locale)
    if tag is None:
        raise _invalid(locale=f"{locale!r} is not a language tag such as de or pt-BR.")
    with transaction.atomic():
        kind = _locked(type)
        around = Layout.objects.select_for_update(no_key=True).filter(pk=layout).first() if layout else None
        if layout and around is None:
            raise _invalid(layout=f"{layout!r} does not exist.")
        written = Source(channel, tag, subject, source, around.source if around else None)
        if why := problem(written, type=kind):
            raise _invalid(source=why)
        rows = Template.objects.filter(type=kind, channel=channel, locale=tag)
        if after is not None and not rows.filter(pk=after.pk, current=True).exists():
            raise Outdated
        version = (rows.aggregate(last=Max("version"))["last"] or 0) + 1
        rows.filter(current=True).update(current=False)
        return Template.objects.create(
            type=kind,
            channel=channel,
            locale=tag,
            version=version,
            layout=around,
            subject=subject,
            source=source,
            created_by_id=by,
            created_at=now,
        )


def make_current(row: Template) -> None:
    """Use an old version again. Safe to run twice and at once. Raises Invalid when it no longer fits its type."""
    with transaction.atomic():
        kind = _locked(row.type_id)
        if why := problem(source_of(row), type=kind):
            raise _invalid(source=why)
        rows = Template.objects.filter(type=kind, channel=row.channel, locale=row.locale)
        rows.filter(current=True).exclude(pk=row.pk).update(current=False)
        rows.filter(pk=row.pk).update(current=True)


def delete(row: Template) -> None:
    """Delete a version. After the current one, the next language in the chain speaks until one is made current."""
    row.delete()


def change_type(row: Type, columns: Mapping[str, Any]) -> None:
    """Change a type, unless a current template uses what its new sample no longer has. Raises Invalid."""
    with transaction.atomic():
        _locked(row.key)
        catalog.change(row, columns)
        if "sample" in columns:
            broken = [f"{one}: {why}" for one, why in problems(Template.objects.filter(type=row, current=True))]
            if broken:
                raise Invalid("The body is not valid: see details.", sample=broken)


def problems(rows: Any) -> Iterator[tuple[Template, str]]:
    """Which of these templates cannot be used, and why."""
    for row in rows.select_related("type", "layout").order_by("type", "channel", "locale", "version"):
        if why := problem(source_of(row), type=row.type):
            yield row, why


@dataclass(frozen=True, slots=True)
class Shelf:
    """The current templates of some types and channels, read at one moment."""

    rows: dict[tuple[str, str, str], Template]

    def find(self, *, type: str, channel: str, locale: str) -> Template | None:
        """The one in the person's language, else the next in the chain: pt-BR, pt, then LANGUAGE_CODE."""
        for tag in languages.chain(locale, fallback=settings.LANGUAGE_CODE):
            if row := self.rows.get((type, channel, tag)):
                return row
        return None


def current(*, types: Iterable[str], channels: Iterable[str]) -> Shelf:
    """What is current for these, in one query however many people it is for."""
    rows = Template.objects.filter(type__in=set(types), channel__in=set(channels), current=True).select_related(
        "layout"
    )
    return Shelf({(row.type_id, row.channel, row.locale): row for row in rows})


def write(shelf: Shelf, *, channel: str, given: Mapping[str, Any], locale: str, zone: tzinfo) -> Rendered | None:
    """
    The words of a template; None: nobody wrote one, or it could not be filled in, and the event's own are to be
    used. The latter is logged once by a process for each template and reason.
    """
    row = shelf.find(type=given["type"], channel=channel, locale=locale)
    if row is None:
        return None
    try:
        compiled = rendering.compile_source(source_of(row))
        return rendering.render(compiled, variables=given, reader=_reader(row.locale, locale=locale, zone=zone))
    except (Failed, Unusable) as error:
        _tell(row.pk, str(row), str(error))
        return None


def words(shelf: Shelf, *, given: Mapping[str, Any], locale: str, zone: tzinfo) -> tuple[str, str] | None:
    """Title and body of an inbox line in a language and time zone; None: the event's own are to be used."""
    written = write(shelf, channel=IN_APP, given=given, locale=locale, zone=zone)
    return (written.subject, written.text[: rendering.MAX_WORDS]) if written else None


def preview(
    row: Template, *, sample: Mapping[str, Any] | None, words: Mapping[str, str], locale: str, zone: tzinfo
) -> tuple[Rendered, list[str]]:
    """What a version would say, and which variables the sample does not have. Raises Invalid."""
    given = {**example(row.type, channel=row.channel, sample=sample), **words}
    missing: list[str] = []
    try:
        compiled = rendering.compile_source(source_of(row), strict=False)
        missing = rendering.missing(compiled, known={**given, "data": rendering.ANYTHING})
        written = rendering.render(compiled, variables=given, reader=_reader(row.locale, locale=locale, zone=zone))
    except (Failed, Unusable) as error:
        if missing:  # a filter cannot make a date of nothing: what is missing is the answer
            return Rendered(subject="", text="", html=""), missing
        raise _invalid(source=str(error)) from error
    return written, missing


def source_of(row: Template) -> Source:
    return Source(row.channel, row.locale, row.subject, row.source, row.layout.source if row.layout else None)


def _reader(written_in: str, *, locale: str, zone: tzinfo) -> Reader:
    return Reader(languages.of_reader(written_in, locale=locale), zone, settings.PUBLIC_URL)


@lru_cache(maxsize=1000)
def _tell(template_id: int, template: str, why: str) -> None:
    """Once: what was said before is remembered."""
    log.warning("template.failed", template=template, template_id=template_id, why=why)


def _locked(type: str) -> Type:
    row = Type.objects.select_for_update(no_key=True).filter(pk=type).first()
    if row is None:
        known = ", ".join(Type.objects.order_by("key").values_list("key", flat=True))
        raise _invalid(type=f"{type!r} does not exist. Known: {known}.")
    return row


def _invalid(**fields: str) -> Invalid:
    return Invalid("The body is not valid: see details.", **{name: [why] for name, why in fields.items()})
