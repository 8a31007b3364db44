"""
Default preference templates, kept by staff. The only writer of PreferenceTemplate.

A person without a row of their own, a new one too, has the default template: it is joined when a decision is
made, and never copied. So a change of a template acts on the next decision.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from django.conf import settings
from django.db import connection, transaction
from msgspec import UNSET

from core.errors import Conflict, Invalid, NotFound
from core.models import User
from notifications import options, preferences
from notifications.models import Preference, PreferenceTemplate
from notifications.words import Value

BLANK: dict[str, Any] = {
    "name": "",
    "is_default": False,
    "locale": "",
    "timezone": "",
    "channels": {},
    "quiet_hours": None,
    "digests": {},
    "settings": {},
}


class AlreadyThere(Conflict):
    """There is a template with this name already; choose another name."""

    code = "already_there"


class InUse(Conflict):
    """It is the default one, or people have it: make another the default, or apply another to them."""

    code = "in_use"


class TemplateBody(msgspec.Struct):
    """Defaults for everyone who did not choose. Null, or not in a map: left to the type."""

    id: str
    name: str
    is_default: bool
    locale: str | None
    timezone: str | None
    channels: dict[str, bool]
    quiet_hours: list[options.Window] | None
    digests: dict[str, options.Frequency]
    settings: dict[str, dict[str, Value]]
    version: int
    updated_at: datetime


def shape(row: PreferenceTemplate) -> TemplateBody:
    return TemplateBody(
        id=str(row.pk),
        name=row.name,
        is_default=row.is_default,
        locale=row.locale or None,
        timezone=row.timezone or None,
        channels=row.channels,
        quiet_hours=row.quiet_hours,
        digests=row.digests,
        settings=row.settings,
        version=row.version,
        updated_at=row.updated_at,
    )


def find(id: int) -> PreferenceTemplate:
    """One template. Raises NotFound."""
    row = PreferenceTemplate.objects.filter(pk=id).first()
    if row is None:
        raise NotFound
    return row


def _lock() -> None:
    """Names and the default stand in each other's way; staff write seldom, and readers are not held up."""
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE notifications_preferencetemplate IN SHARE ROW EXCLUSIVE MODE")


@transaction.atomic
def create(given: options.TemplateChange, *, now: datetime) -> PreferenceTemplate:
    """Add a template; when it is to be the default, the one that was is no longer. Raises Invalid, AlreadyThere."""
    if given.name is UNSET:
        raise Invalid("The body is not valid: see details.", name=["It needs a name."])
    values = options.merge(BLANK, options.columns(given))
    _lock()
    return _write(PreferenceTemplate(version=1, updated_at=now), values)


@transaction.atomic
def change(id: int, given: options.TemplateChange, *, now: datetime) -> PreferenceTemplate:
    """
    Change what was given. Of two at once with the same version exactly one wins.

    Raises NotFound, Invalid, AlreadyThere, and Stale with the present template.
    """
    wanted, version = options.columns(given), preferences.named_version(given)
    _lock()
    row = find(id)
    if row.version != version:
        raise preferences.Stale(present=shape(row))
    before = {name: getattr(row, name) for name in BLANK}
    after = options.merge(before, wanted)
    if row.is_default and not after["is_default"]:
        raise Invalid("The body is not valid: see details.", is_default=["Make another one the default instead."])
    if after != before:
        row.version, row.updated_at = version + 1, now
        _write(row, after)
    return row


def _write(row: PreferenceTemplate, values: dict[str, Any]) -> PreferenceTemplate:
    others = PreferenceTemplate.objects.exclude(pk=row.pk)
    if others.filter(name=values["name"]).exists():
        raise AlreadyThere
    if values["is_default"]:
        others.filter(is_default=True).update(is_default=False)
    for name, value in values.items():
        setattr(row, name, value)
    row.save()
    return row


@transaction.atomic
def delete(id: int) -> None:
    """Delete a template that nothing rests on. Raises NotFound, and InUse with what does."""
    _lock()
    # Waits for those who are applying it: they hold on to the row until their people have it.
    row = PreferenceTemplate.objects.select_for_update().filter(pk=id).first()
    if row is None:
        raise NotFound
    people = Preference.objects.filter(template=row).count()
    if people or row.is_default:
        raise InUse(people=people, is_default=row.is_default)
    row.delete()


class Applied(NamedTuple):
    """How many people it changed something for, and the names that are nobody's."""

    applied: int
    unknown_users: list[str]


# Whom there is something to do for: applying again goes on where an interrupted one stopped.
_CHOOSE = """
SELECT u.id FROM core_user u
JOIN notifications_preferencetemplate t ON t.id = %(template)s
LEFT JOIN notifications_preference p ON p.user_id = u.id
WHERE u.is_active AND u.id > %(after)s AND (%(names)s::text[] IS NULL OR u.username = ANY(%(names)s::text[]))
    AND (p.template_id IS DISTINCT FROM t.id OR (%(reset)s AND (
        p.locale <> '' OR p.timezone <> '' OR p.channels <> '{}' OR p.quiet_hours IS NOT NULL OR p.digests <> '{}'
        OR p.muted_until IS NOT NULL
        OR EXISTS (SELECT FROM notifications_notificationsetting s WHERE s.user_id = u.id))))
ORDER BY u.id LIMIT %(limit)s
FOR KEY SHARE OF u, t
"""


def apply(id: int, *, usernames: Sequence[str] | None, reset: bool, now: datetime) -> Applied:
    """
    Give a template to these people, or to all (None); with `reset` their own choices and settings are forgotten.

    A chunk is one transaction of a fixed number of statements, and its sockets are told. Safe to repeat and to
    run at once: who has it already is passed over. Raises NotFound.
    """
    find(id)
    names = None if usernames is None else list(dict.fromkeys(usernames))
    known: set[str] = set()
    if names is not None:
        known = set(User.objects.filter(username__in=names, is_active=True).values_list("username", flat=True))
    applied = last = 0
    while True:
        people = _apply_chunk(id, names=names, reset=reset, after=last, now=now)
        applied += len(people)
        if len(people) < settings.CHUNK:
            return Applied(applied=applied, unknown_users=[name for name in names or () if name not in known])
        last = people[-1]


@transaction.atomic
def _apply_chunk(id: int, *, names: list[str] | None, reset: bool, after: int, now: datetime) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            _CHOOSE, {"template": id, "names": names, "reset": reset, "after": after, "limit": settings.CHUNK}
        )
        people = [row[0] for row in cursor.fetchall()]
    if people:
        steps = preferences.step(people, now=now)
        if reset:
            preferences.forget(people, template_id=id)
        else:
            Preference.objects.filter(pk__in=people).update(template_id=id)
        preferences.tell(steps, now=now)
    return people
