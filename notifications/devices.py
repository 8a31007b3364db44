"""
Devices: the browsers and phones that push messages go to. The only writer of Device.

One address belongs to one person at a time: to the last who registered it. A device that changes hands gets another
id, and its id is all that a delivery knows of it, so that nothing for the one before reaches the one after.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple

import msgspec
from django.db import connection, transaction
from django.db.models import F, QuerySet
from msgspec import UNSET, Meta, UnsetType

from core import logs
from core.errors import NotFound
from notifications.models import Device
from notifications.options import Locale
from notifications.words import DeviceKind

log = logs.logger(__name__)

MOST = 20  # devices of one person: somebody whose browser forgets them each day must not get a message twenty times
SHOWN = 4  # characters of an address that help to tell two devices apart, and no one to write to them

# When a push service does not know many at once, it is more likely in error than they are gone: a wrong key or
# environment looks just the same. Then people keep their devices, and somebody must look.
WINDOW = timedelta(minutes=10)
SHARE = 0.3  # of the devices of a kind
FEW = 5  # may always go: so many say nothing, however small the installation

# --- What a device says of itself -----------------------------------------------------------------------------

Name = Annotated[str, Meta(max_length=100, pattern=r"^[^\r\n]*$(?!\n)", examples=["Firefox at work"])]
# No address of a person (user:password@), and printable: it becomes a request line. Python's $ also matches before a
# last newline.
Endpoint = Annotated[str, Meta(max_length=2000, pattern=r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/[!-~]*$(?!\n)")]
# RFC 8291: an uncompressed point of P-256, which is 65 bytes and begins with 4; and 16 bytes. Padding is optional.
PublicKey = Annotated[str, Meta(pattern=r"^B[A-P][A-Za-z0-9_-]{85}=?$(?!\n)")]
AuthSecret = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{22}(==)?$(?!\n)")]
# Neither service promises a length; these are far above what they give out today (about 160, and 64).
FCMToken = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_:-]{20,4096}$(?!\n)")]
APNsToken = Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{2}){32,100}$(?!\n)")]


class Named(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What every kind has. Left out: as it was; of a new device, empty. Its repr hides the address."""

    name: Name | UnsetType = UNSET
    locale: Locale | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Keys(msgspec.Struct, forbid_unknown_fields=True):
    """What a browser's messages are encrypted with."""

    p256dh: PublicKey
    auth: AuthSecret

    def __repr__(self) -> str:
        return "Keys()"


class WebPush(Named, tag=DeviceKind.WEBPUSH.value, kw_only=True):
    """A browser: the JSON of its PushSubscription, as it is, and the kind."""

    endpoint: Endpoint
    keys: Keys
    expiration_time: float | None = msgspec.field(default=None, name="expirationTime")  # browsers send it; not used

    def identity(self) -> str:
        return self.endpoint

    def address(self) -> dict[str, Any]:
        keys = {"p256dh": self.keys.p256dh.rstrip("="), "auth": self.keys.auth.rstrip("=")}
        return {"kind": DeviceKind.WEBPUSH.value, "endpoint": self.endpoint, "keys": keys}


class FCM(Named, tag=DeviceKind.FCM.value, kw_only=True):
    """An app that registered with Firebase Cloud Messaging."""

    token: FCMToken

    def identity(self) -> str:
        return self.token

    def address(self) -> dict[str, Any]:
        return {"kind": DeviceKind.FCM.value, "token": self.token}


class APNs(Named, tag=DeviceKind.APNS.value, kw_only=True):
    """An app that registered with the Apple Push Notification service."""

    token: APNsToken

    def identity(self) -> str:
        return self.token.lower()

    def address(self) -> dict[str, Any]:
        return {"kind": DeviceKind.APNS.value, "token": self.identity()}


# Each kind's `identity` makes it this device and no other; its `address` is what its push service needs.
Registration = WebPush | FCM | APNs


# --- A person's devices ---------------------------------------------------------------------------------------


def rows(user_id: int) -> QuerySet[Device]:
    """A person's devices, without those that are gone. Nobody else's can come out of it."""
    return Device.objects.filter(user_id=user_id, gone_at=None)


def hint(device: Device) -> str:
    """The end of its address."""
    return str(device.address.get("endpoint") or device.address["token"])[-SHOWN:]


def register(user_id: int, given: Registration, *, now: datetime) -> tuple[Device, bool]:
    """
    A device of this person, and whether it is new to them; the same address again is the same device, seen now.

    Somebody else's becomes this person's, under another id. Above MOST the one that was seen longest ago goes.
    """
    print_ = fingerprint(given)
    named = {name: value for name in ("name", "locale") if (value := getattr(given, name)) is not UNSET}
    address = given.address()
    known = {"user_id": user_id, "address": address, "last_seen_at": now, "gone_at": None} | named
    with transaction.atomic():
        Device.objects.filter(fingerprint=print_).exclude(user_id=user_id).delete()
        device, made = Device.objects.update_or_create(
            fingerprint=print_,
            defaults=known,
            create_defaults=known | {"kind": address["kind"], "created_at": now},
        )
    # After the commit, so that nobody who holds one device waits for another. Those that are gone go first.
    newest = Device.objects.filter(user_id=user_id).order_by(
        F("gone_at").desc(nulls_first=True), "-last_seen_at", "-pk"
    )
    Device.objects.filter(pk__in=newest.values("pk")[MOST:]).delete()
    return device, made


def add(given: Sequence[tuple[int, Registration]], *, now: datetime) -> int:
    """New devices of many people, two statements; an address that is there stays as it is. How many were new."""
    made = [
        Device(
            user_id=user_id,
            kind=address["kind"],
            address=address,
            fingerprint=fingerprint(one),
            name=one.name or "",
            locale=one.locale or "",
            created_at=now,
            last_seen_at=now,
        )
        for user_id, one in given
        for address in [one.address()]
    ]
    known = Device.objects.filter(fingerprint__in=[row.fingerprint for row in made]).count()
    Device.objects.bulk_create(made, ignore_conflicts=True)
    return len(made) - known


def fingerprint(given: Registration) -> str:
    """One for each address; of a browser the endpoint alone, because its keys may be renewed."""
    kind = given.__struct_config__.tag
    return hashlib.sha256(f"{kind} {given.identity()}".encode()).hexdigest()


def change(user_id: int, id: int, **named: str) -> Device:
    """Give a device another `name` or `locale`. Raises NotFound."""
    with transaction.atomic():
        device = rows(user_id).select_for_update().filter(pk=id).first()
        if device is None:
            raise NotFound
        for field, value in named.items():
            setattr(device, field, value)
        device.save(update_fields=list(named))
    return device


def delete(user_id: int, id: int) -> None:
    """Forget a device: what waits for it will not go. Raises NotFound."""
    if not rows(user_id).filter(pk=id).delete()[0]:
        raise NotFound


# --- What push services say -----------------------------------------------------------------------------------


class Gone(NamedTuple):
    """A push service does not know a device; who registered after `since` is not meant."""

    id: int
    since: datetime


_GONE = """
WITH said AS MATERIALIZED (
    SELECT v.id, v.kind FROM notifications_device v
    JOIN unnest(%(ids)s::bigint[], %(since)s::timestamptz[]) AS s(id, since) USING (id)
    WHERE v.gone_at IS NULL AND v.last_seen_at <= s.since ORDER BY v.id FOR UPDATE OF v),
recent AS (SELECT kind, count(*) AS n FROM notifications_device WHERE gone_at > %(after)s GROUP BY kind),
placed AS (
    SELECT s.id, s.kind, coalesce(r.n, 0) AS before,
        coalesce(r.n, 0) + row_number() OVER (PARTITION BY s.kind ORDER BY s.id) AS place
    FROM said s LEFT JOIN recent r USING (kind)),
-- A kind of which only a few are gone is not counted through.
live AS (
    SELECT kind, count(*) AS n FROM notifications_device
    WHERE gone_at IS NULL AND kind IN (SELECT kind FROM placed WHERE place > %(few)s) GROUP BY kind),
judged AS (
    SELECT p.id, p.kind, p.place <= greatest(%(few)s, %(share)s * (p.before + coalesce(l.n, 0))) AS believed
    FROM placed p LEFT JOIN live l USING (kind)),
marked AS (UPDATE notifications_device v SET gone_at = %(now)s FROM judged j WHERE v.id = j.id AND j.believed)
SELECT id, kind, believed FROM judged
"""


def gone(said: Sequence[Gone], *, now: datetime) -> set[int]:
    """
    Mark the devices that their push services do not know any more, one statement. The ids marked.

    When more than SHARE of a kind (and more than FEW) are gone within WINDOW, no further ones are marked, and the log
    line is an error. Safe to run twice; two at once may each go over the share by what they were given.
    """
    if not said:
        return set()
    since = {one.id: one.since for one in sorted(said, key=lambda one: one.since)}
    with connection.cursor() as cursor:
        cursor.execute(
            _GONE,
            {
                "ids": list(since),
                "since": list(since.values()),
                "after": now - WINDOW,
                "few": FEW,
                "share": SHARE,
                "now": now,
            },
        )
        judged = cursor.fetchall()
    for kind in sorted({kind for _, kind, believed in judged if not believed}):
        kept = sum(one == kind and not believed for _, one, believed in judged)
        log.error("devices.mass_gone", kind=kind, kept=kept, minutes=WINDOW.total_seconds() / 60)
    return {id for id, _, believed in judged if believed}
