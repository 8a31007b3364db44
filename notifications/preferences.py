"""
Preferences: what a person chose. The only writer of Preference.

Every change of a person's choices, their settings included, is one transaction that begins with `step()`: it
locks the head, takes a number, and makes the preferences one version newer. It ends with `tell()`. Lines are
inserted under the same lock, so whoever decided before the change sees at `InboxHead.choices` that they did.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from django.db import connection, transaction

from core import queue
from core.errors import Conflict, Invalid
from notifications import choices, live, options
from notifications.models import NotificationSetting, Preference
from notifications.words import Change, Lane

BLANK: dict[str, Any] = {
    "locale": "",
    "timezone": "",
    "channels": {},
    "quiet_hours": None,
    "digests": {},
    "muted_until": None,
}
_json = msgspec.json.Encoder().encode


class Stale(Conflict):
    """It was changed since you read it: take what is in details as `present`, and send your change again."""

    code = "stale"


# --- Reading ------------------------------------------------------------------------------------------------


class EffectivePreferences(msgspec.Struct):
    """What holds for the person, the template's part included."""

    locale: str
    timezone: str
    quiet_hours: list[options.Window]
    digests: dict[str, options.Frequency]


class Preferences(msgspec.Struct):
    """What a person chose. Null, or not in a map: left to the template. Version 0: nothing was ever chosen."""

    locale: str | None
    timezone: str | None
    channels: dict[str, bool]
    quiet_hours: list[options.Window] | None
    digests: dict[str, options.Frequency]
    muted_until: datetime | None
    template: str | None
    version: int
    rev: int
    updated_at: datetime | None
    effective: EffectivePreferences


_READ = f"""
SELECT u.id, nullif(p.locale, ''), nullif(p.timezone, ''), p.channels::text, p.quiet_hours::text, p.digests::text,
    p.muted_until, p.template_id::text, coalesce(p.version, 0), coalesce(p.rev, 0), p.updated_at,
    {choices.columns(scopes="false")}
FROM core_user u {choices.JOINS} WHERE u.id = ANY(%(users)s)
"""


def read(user_ids: Sequence[int]) -> dict[int, Preferences]:
    """What these people chose, in one query."""
    with connection.cursor() as cursor:
        cursor.execute(_READ, {"users": list(user_ids)})
        return {row[0]: _shape(row[1:11], choices.Raw(*row[11:])) for row in cursor.fetchall()}


def of(user_id: int) -> Preferences:
    """What one person chose."""
    return read([user_id])[user_id]


def _shape(own: tuple[Any, ...], raw: choices.Raw) -> Preferences:
    """A row of `_READ`."""
    locale, timezone, channels, quiet_hours, digests, muted_until, template, version, rev, updated_at = own

    def decoded(text: str | None, otherwise: Any) -> Any:
        return otherwise if text is None else msgspec.json.decode(text)

    return Preferences(
        locale=locale,
        timezone=timezone,
        channels=decoded(channels, {}),
        quiet_hours=decoded(quiet_hours, None),
        digests=decoded(digests, {}),
        muted_until=muted_until,
        template=template,
        version=version,
        rev=rev,
        updated_at=updated_at,
        effective=EffectivePreferences(
            locale=raw.locale,
            timezone=raw.timezone,
            quiet_hours=decoded(raw.quiet_hours, []),
            digests=decoded(raw.digests, {}),
        ),
    )


# --- The frame of every change ----------------------------------------------------------------------------------


class Step(NamedTuple):
    """One person's change: its number, their counts, and the version it makes."""

    seq: int
    unread: int
    unseen: int
    version: int


# Heads in id order, as everywhere; the preference row only after its head, so that nobody waits crosswise.
_STEP = """
WITH head AS (
    INSERT INTO notifications_inboxhead AS h (user_id, epoch, head_seq, unread, unseen, choices, read_watermark)
    SELECT id, %(epoch)s, 1, 0, 0, 1, 0 FROM unnest(%(users)s::bigint[]) AS id ORDER BY id
    ON CONFLICT (user_id) DO UPDATE SET head_seq = h.head_seq + 1, choices = h.choices + 1
    RETURNING user_id, head_seq, unread, unseen),
preference AS (
    INSERT INTO notifications_preference AS p (
        user_id, locale, timezone, channels, digests, version, updated_at, rev)
    SELECT user_id, '', '', '{}', '{}', 1, %(now)s, head_seq FROM head
    ON CONFLICT (user_id) DO UPDATE SET
        version = p.version + 1, updated_at = EXCLUDED.updated_at, rev = EXCLUDED.rev
    RETURNING user_id, version)
SELECT user_id, head_seq, unread, unseen, version FROM head JOIN preference USING (user_id) ORDER BY user_id
"""


def step(user_ids: Sequence[int], *, now: datetime) -> dict[int, Step]:
    """
    Begin a change of these people's choices: lock their heads until the commit, take a number and a version each.

    One statement; who has no head or no row gets them. Whoever finds that nothing changes rolls it back.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STEP, {"users": list(user_ids), "epoch": secrets.token_hex(4), "now": now})
        return {row[0]: Step(*row[1:]) for row in cursor.fetchall()}


def tell(steps: Mapping[int, Step], *, now: datetime, origin: str = "") -> dict[int, Preferences]:
    """End a change: what waited for quiet hours is decided again, and after the commit every socket is told."""
    reconsider(list(steps), now=now)
    present = read(list(steps))
    lines = [
        live.Line(
            user_id=user_id,
            seq=step.seq,
            change=Change.PREFERENCES,
            unread=step.unread,
            unseen=step.unseen,
            own=_json(present[user_id]).decode(),
        )
        for user_id, step in steps.items()
    ]
    transaction.on_commit(lambda: live.publish(lines, origin=origin))
    return present


# Those in a provider's hands are left alone, and those that somebody is claiming or recording right now are
# decided there. A digest's delivery has no notification, and its digest knows whose it is.
_RECONSIDER = """
WITH held AS (
    SELECT d.id FROM notifications_delivery d
    WHERE d.state = 'pending' AND d.reason = 'quiet_hours' AND NOT d.in_flight AND d.due_at > %(now)s
        AND d.id IN (
            SELECT i.id FROM notifications_delivery i JOIN notifications_notification n ON n.id = i.notification_id
            WHERE n.user_id = ANY(%(users)s) AND i.due_at IS NOT NULL
            UNION ALL
            SELECT c.id FROM notifications_delivery c JOIN notifications_digest g ON g.id = c.digest_id
            WHERE g.user_id = ANY(%(users)s) AND c.notification_id IS NULL AND c.due_at IS NOT NULL)
    FOR UPDATE SKIP LOCKED)
UPDATE notifications_delivery d SET due_at = %(now)s FROM held WHERE d.id = held.id RETURNING d.channel, d.lane
"""


def reconsider(user_ids: Sequence[int], *, now: datetime) -> int:
    """Deliveries of these people that wait for the end of quiet hours become due, and are decided again. How many."""
    with connection.cursor() as cursor:
        cursor.execute(_RECONSIDER, {"users": list(user_ids), "now": now})
        found = cursor.fetchall()
    for channel, lane in sorted(set(found)):
        queue.hint(queue.DELIVER, lane=Lane(lane), channel=channel)
    return len(found)


# --- Changing -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Changed:
    """The number of the change (None: nothing changed), and the preferences as they are now."""

    seq: int | None
    preferences: Preferences


def change(
    user_id: int, given: options.PreferenceChange, *, now: datetime, replace: bool = False, origin: str = ""
) -> Changed:
    """
    Change what was given, or `replace` all of a person's own choices by it. What changes nothing takes no number.

    Of two at once with the same version exactly one wins. Raises Invalid, and Stale with the present preferences.
    """
    wanted, version = options.columns(given), named_version(given)
    with transaction.atomic():
        steps = step([user_id], now=now)
        fresh = steps[user_id].version == version + 1
        if fresh:
            row = Preference.objects.get(pk=user_id)
            before = {name: getattr(row, name) for name in BLANK}
            after = options.merge(BLANK if replace else before, wanted)
            if after != before:
                Preference.objects.filter(pk=user_id).update(**after)
                return Changed(seq=steps[user_id].seq, preferences=tell(steps, now=now, origin=origin)[user_id])
        transaction.set_rollback(True)
    if not fresh:
        raise Stale(present=of(user_id))
    return Changed(seq=None, preferences=of(user_id))


def named_version(given: options.PreferenceChange | options.TemplateChange) -> int:
    """The version a change names. Raises Invalid when it names none."""
    if isinstance(given.version, int):
        return given.version
    message = "Send the version you last read, here or as If-Match; of somebody who never chose it is 0."
    raise Invalid("The body is not valid: see details.", version=[message])


def restore(user_id: int, *, now: datetime, origin: str = "") -> int | None:
    """
    Back to the default template: a person's own choices and settings are forgotten. The number of the change;
    None when there was nothing to forget.
    """
    with transaction.atomic():
        steps = step([user_id], now=now)
        own = Preference.objects.filter(pk=user_id, template=None, **BLANK_IN_QUERY).exists()
        settings = forget([user_id], template_id=None)
        if not own or settings:
            tell(steps, now=now, origin=origin)
            return steps[user_id].seq
        transaction.set_rollback(True)
    return None


BLANK_IN_QUERY = {name: value for name, value in BLANK.items() if value is not None} | {
    f"{name}__isnull": True for name, value in BLANK.items() if value is None
}


def forget(user_ids: Iterable[int], *, template_id: int | None) -> int:
    """Let go of these people's own choices and give them a template. How many settings there were."""
    Preference.objects.filter(pk__in=user_ids).update(template_id=template_id, **BLANK)
    return NotificationSetting.objects.filter(user_id__in=user_ids).delete()[0]
