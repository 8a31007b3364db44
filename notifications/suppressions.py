"""
Suppressions: addresses that get nothing on a channel, because they do not exist, somebody there complained, or
staff said so. The only writer of Suppression. A claim reads it (notifications/sql.py).

It is about the address and not about the person: who gets another one is reachable again. An address stands in
lower case: no mail system that matters tells Ann@ from ann@, and one that bounced must not come back in capitals.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, NamedTuple

import msgspec
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from msgspec import UNSET, Meta, UnsetType

from core import logs
from core.errors import Conflict, Invalid, NotFound
from notifications import options, redaction
from notifications.models import Suppression
from notifications.words import IN_APP, PUSH

log = logs.logger(__name__)

# When a mail server does not know many at once, it is more likely the wrong server than that they are gone, as with
# devices (notifications/devices.py). Then mails still fail, but people keep their addresses, and somebody must look.
WINDOW = timedelta(minutes=10)
SHARE = 0.3  # of those who have a mail address
FEW = 20  # may always be believed


class Cause(StrEnum):
    """Why an address gets nothing."""

    BOUNCE = "bounce"  # its server says that it does not exist
    COMPLAINT = "complaint"  # somebody there called a message spam
    STAFF = "staff"


class Said(NamedTuple):
    """Word about an address."""

    channel: str
    address: str
    cause: Cause
    detail: str = ""


# What holds longer stays; so does what was there first. A complaint takes the place of a bounce: it is a person's word.
_ADD = """
WITH given AS (
    SELECT DISTINCT ON (channel, address) v.channel, v.address, v.cause, v.detail
    FROM unnest(%(channels)s::text[], %(addresses)s::text[], %(causes)s::text[], %(details)s::text[])
        WITH ORDINALITY AS v(channel, address, cause, detail, place)
    WHERE v.address <> '' AND NOT EXISTS (
        SELECT FROM notifications_suppression s
        WHERE s.channel = v.channel AND s.address = v.address AND s.until IS NULL
            AND (s.cause <> 'bounce' OR v.cause <> 'complaint'))
    ORDER BY channel, address, cause = 'complaint' DESC, place),
recent AS (
    SELECT count(*) AS n FROM notifications_suppression
    WHERE cause = 'bounce' AND created_at > %(after)s),
placed AS (
    SELECT g.*, CASE WHEN g.cause = 'bounce' THEN
        (SELECT n FROM recent) + row_number() OVER (PARTITION BY g.cause ORDER BY channel, address) ELSE 0 END AS place
    FROM given g),
-- An installation of which only a few bounce is not counted through.
people AS (SELECT count(*) AS n FROM core_user WHERE email <> '' AND (SELECT max(place) FROM placed) > %(few)s),
believed AS (SELECT p.* FROM placed p, people WHERE p.place <= greatest(%(few)s, %(share)s * people.n)),
added AS (
    INSERT INTO notifications_suppression AS s (channel, address, cause, detail, created_at, until)
    SELECT channel, address, cause, detail, %(now)s, NULL FROM believed ORDER BY channel, address
    ON CONFLICT (channel, address) DO UPDATE
        SET cause = EXCLUDED.cause, detail = EXCLUDED.detail, created_at = EXCLUDED.created_at, until = NULL
        WHERE s.until IS NOT NULL OR (s.cause = 'bounce' AND EXCLUDED.cause = 'complaint')
    RETURNING 1)
SELECT (SELECT count(*) FROM added), (SELECT count(*) FROM placed) - (SELECT count(*) FROM believed)
"""


def add(said: Sequence[Said], *, now: datetime) -> int:
    """
    Suppress addresses for good, one statement. How many were not suppressed like that before; safe to run twice and
    at once.

    When more than SHARE of the people's addresses (and more than FEW) bounced within WINDOW, no further bounces are
    believed, and the log line is an error.
    """
    if not said:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            _ADD,
            {
                "channels": [one.channel for one in said],
                "addresses": [_kept(one.address) for one in said],
                "causes": [one.cause for one in said],
                "details": [_scrubbed(one.detail, one.address) for one in said],
                "after": now - WINDOW,
                "few": FEW,
                "share": SHARE,
                "now": now,
            },
        )
        added, doubted = cursor.fetchone()
    if doubted:
        log.error("suppressions.mass_bounce", kept=doubted, minutes=WINDOW.total_seconds() / 60)
    return int(added)


def of(channel: str, addresses: Sequence[str], *, now: datetime) -> set[str]:
    """Those of the addresses that get nothing now, as they were given."""
    kept = {_kept(address): address for address in addresses}
    found = Suppression.objects.filter(channel=channel, address__in=kept)
    return {kept[row.address] for row in found if row.until is None or row.until > now}


def remove(channel: str, addresses: Sequence[str]) -> int:
    """Let these addresses have messages again. How many were on the list."""
    return Suppression.objects.filter(channel=channel, address__in=[_kept(one) for one in addresses]).delete()[0]


def _kept(address: str) -> str:
    return address.strip().lower()[:320]


def _scrubbed(detail: str, address: str) -> str:
    """What a server said, without credentials, and without the address: that stands beside it."""
    plain = " ".join(redaction.redact(detail).replace("\0", "").split())
    return plain.replace(address, redaction.mask(address))[:500] if address else plain[:500]


# --- By hand --------------------------------------------------------------------------------------------------


class AlreadyThere(Conflict):
    """The address is on the list already: change or delete the one whose id is in details."""

    code = "already_there"


Address = Annotated[
    str, Meta(min_length=1, max_length=320, pattern=r"^[^\s\x00]+$(?!\n)", examples=["ann@example.com"])
]
Detail = Annotated[str, Meta(max_length=500, pattern=r"^[^\r\n]*$(?!\n)", description="For people.")]


class SuppressionBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An address that gets nothing on a channel, until a moment or for good."""

    channel: options.Channel
    address: Address
    detail: Detail = ""
    until: options.Moment | None = None


class SuppressionPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Until null: for good."""

    detail: Detail | UnsetType = UNSET
    until: options.Moment | UnsetType | None = UNSET


def rows() -> QuerySet[Suppression]:
    """The list, those whose time has come included."""
    return Suppression.objects.all()


def create(given: SuppressionBody, *, now: datetime) -> Suppression:
    """Put an address on the list by hand. Raises Invalid, and AlreadyThere with the id of the one there is."""
    known = options.known_channels() - {IN_APP, PUSH}
    if given.channel not in known:
        sentence = f"{given.channel!r} has no addresses of this kind. Known: {', '.join(sorted(known))}."
        raise Invalid("The body is not valid: see details.", channel=[sentence])
    row = Suppression(
        channel=given.channel,
        address=_kept(given.address),
        cause=Cause.STAFF,
        detail=given.detail,
        created_at=now,
        until=given.until,
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        there = rows().filter(channel=row.channel, address=row.address).first()
        raise AlreadyThere(**({"id": str(there.pk)} if there else {})) from error
    return row


def change(id: int, given: SuppressionPatch) -> Suppression:
    """Change how long an address stays on the list, and the words about it. Raises NotFound."""
    fields = {name: value for name, value in msgspec.structs.asdict(given).items() if value is not UNSET}
    with transaction.atomic():
        row = rows().select_for_update().filter(pk=id).first()
        if row is None:
            raise NotFound
        for name, value in fields.items():
            setattr(row, name, value)
        row.save(update_fields=list(fields))
    return row


def delete(id: int) -> None:
    """Take an address off the list. Raises NotFound."""
    if not rows().filter(pk=id).delete()[0]:
        raise NotFound
