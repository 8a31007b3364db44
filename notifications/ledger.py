"""
The ledger: deliveries and their attempts. The only writer of both.

A delivery is claimed with a lease and a token, and recorded by compare-and-set on that token: whoever
lost the lease can no longer say what became of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection

from notifications import redaction, sql
from notifications.choices import Raw
from notifications.models import Delivery
from notifications.values import Outcome
from notifications.words import DeliveryState, Lane, Reason


class Planned(NamedTuple):
    """A delivery to be written."""

    notification_id: int
    channel: str
    address: str
    lane: str
    reason: str
    rule: str
    due_at: datetime


class Added(NamedTuple):
    """A delivery that was written."""

    id: int
    notification_id: int
    channel: str
    address: str


def add(planned: Sequence[Planned], *, now: datetime) -> list[Added]:
    """Write deliveries in one statement, in the transaction of their notifications. What is there stays."""
    if not planned:
        return []
    columns = list(zip(*planned, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(
            sql.ADD_DELIVERIES,
            {
                "notifications": list(columns[0]),
                "channels": list(columns[1]),
                "addresses": list(columns[2]),
                "lanes": list(columns[3]),
                "reasons": list(columns[4]),
                "rules": list(columns[5]),
                "due": list(columns[6]),
                "now": now,
            },
        )
        return [Added(*row) for row in cursor.fetchall()]


class Item(NamedTuple):
    """A notification as a message needs it, with what decides whether it still goes. Columns of sql.ITEM."""

    notification_id: int
    event_id: UUID
    trace_id: str
    type: str
    category: str
    priority: str
    title: str
    body: str
    data: str  # JSON text
    template_data: str  # JSON text
    action_url: str
    actor: str
    object: str
    tags: list[str]
    created_at: datetime
    expires_at: datetime | None
    cancelled: bool
    retracted: bool
    read: bool  # or deleted
    only_unread: bool  # wanted only while it is not read
    digest_key: str
    topic: str | None
    type_channels: list[str]
    channels: list[str] | None
    required: list[str]
    not_allowed: list[str]
    resend_unknown: bool


@dataclass(frozen=True, slots=True)
class Device:
    """Where a push goes: there, and the person's."""

    id: int
    address: str = field(repr=False)  # JSON text, for the provider
    locale: str


class Claimed(NamedTuple):
    """A delivery in a worker's hands, with what it needs to decide and to write the message."""

    id: int
    token: int
    attempts: int
    lost: bool  # a holder before had begun and has no answer; it may have been sent
    channel: str
    address: str
    digest_id: int | None  # set: it carries a digest, and has no item
    digest_category: str | None
    user_id: int
    username: str
    first_name: str
    last_name: str
    stamp: int  # of the person's choices
    suppressed: bool  # the address is on the suppression list
    raw: Raw
    item: Item | None
    never_twice: bool = False  # something in the digest must not arrive twice
    device: Device | None = None  # of a push; None when it is gone, or somebody else's

    @property
    def key(self) -> str:
        """The same at every attempt: the dedupe handle."""
        return f"{self.item.event_id.hex if self.item else f'digest-{self.digest_id}'}.{self.id}"

    @property
    def trace_id(self) -> str:
        return self.item.trace_id if self.item else f"digest-{self.digest_id}"

    @property
    def resend_unknown(self) -> bool:
        return self.item.resend_unknown if self.item else not self.never_twice

    @property
    def expires_at(self) -> datetime | None:
        return self.item.expires_at if self.item else None


def claim(*, channel: str, lane: Lane, limit: int, now: datetime) -> list[Claimed]:
    """
    Take up to `limit` due deliveries for LEASE, oldest first. Another worker's are left out, not waited for.

    Attempts are counted here, before the call. Safe to run at once: no row is in two hands.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            sql.CLAIM_DELIVERIES,
            {"channel": channel, "lane": lane, "limit": limit, "now": now, "until": now + settings.LEASE},
        )
        return sorted((_claimed(row) for row in cursor.fetchall()), key=lambda claimed: claimed.id)


def _claimed(row: tuple[Any, ...]) -> Claimed:
    device = Claimed._fields.index("raw")
    raw = device + len(fields(Device))
    item = raw + len(Raw._fields)
    about = Item(*row[item:]) if row[item] is not None else None
    where = Device(*row[device:raw]) if row[device] is not None else None
    return Claimed._make((*row[:device], Raw(*row[raw:item]), about, False, where))


def begin(claimed: Sequence[Claimed]) -> set[int]:
    """
    Mark deliveries just before their calls, one statement. The ids that may go; the others must not be sent: the
    lease was lost, or since the claim the person changed what they chose or the device went away.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            sql.BEGIN_DELIVERIES,
            {
                "ids": [one.id for one in claimed],
                "tokens": [one.token for one in claimed],
                "users": [one.user_id for one in claimed],
                "stamps": [one.stamp for one in claimed],
            },
        )
        return {row[0] for row in cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a delivery becomes. `outcome` None: nobody was called, so there is no attempt to write down."""

    state: DeliveryState
    reason: Reason | None = None
    due_at: datetime | None = None
    rule: str = ""
    outcome: Outcome | None = None
    started_at: datetime | None = None
    uncounted: bool = False  # the attempt that the claim counted did not take place
    provider: str = ""  # who was called


def record(verdicts: Sequence[tuple[Claimed, Verdict]], *, now: datetime) -> set[int]:
    """
    Write what became of claimed deliveries, one statement. The ids written; of the others the lease was lost.
    """
    if not verdicts:
        return set()
    # In one order, as whoever cancels or retracts them locks them.
    verdicts = sorted(verdicts, key=lambda one: one[0].id)
    outcomes = [verdict.outcome for _, verdict in verdicts]
    with connection.cursor() as cursor:
        cursor.execute(
            sql.RECORD_DELIVERIES,
            {
                "ids": [claimed.id for claimed, _ in verdicts],
                "tokens": [claimed.token for claimed, _ in verdicts],
                "states": [verdict.state for _, verdict in verdicts],
                "reasons": [verdict.reason or "" for _, verdict in verdicts],
                "rules": [verdict.rule for _, verdict in verdicts],
                "providers": [verdict.provider for _, verdict in verdicts],
                "users": [claimed.user_id for claimed, _ in verdicts],
                "stamps": [claimed.stamp for claimed, _ in verdicts],
                "sleepers": [held.user_id for held, verdict in verdicts if verdict.reason == Reason.QUIET_HOURS],
                "due": [verdict.due_at for _, verdict in verdicts],
                "refunds": [int(verdict.uncounted) for _, verdict in verdicts],
                "results": [outcome.result if outcome else "" for outcome in outcomes],
                "codes": [_kept(outcome.code, 100) if outcome else "" for outcome in outcomes],
                "details": [_kept(redaction.redact(outcome.detail), 500) if outcome else "" for outcome in outcomes],
                "provider_ids": [_kept(outcome.provider_id, 255) if outcome else "" for outcome in outcomes],
                "started": [verdict.started_at or now for _, verdict in verdicts],
                "ended": [now for _ in verdicts],
                "now": now,
            },
        )
        return {row[0] for row in cursor.fetchall()}


def _kept(text: str, length: int) -> str:
    """What a column can hold of a provider's words: PostgreSQL stores no NUL."""
    return text.replace("\0", "")[:length]


class Due(NamedTuple):
    """A lane of a channel that has due deliveries."""

    channel: str
    lane: Lane


def due(*, now: datetime) -> list[Due]:
    """Where deliveries are waiting to be claimed, from the index of the open ones."""
    waiting = Delivery.objects.filter(due_at__lte=now).order_by().values_list("channel", "lane").distinct()
    return [Due(channel=channel, lane=Lane(lane)) for channel, lane in waiting]


def cancel(event_id: UUID, *, now: datetime) -> int:
    """End an event's open deliveries, but for those in a provider's hands. How many; safe to run twice."""
    return Delivery.objects.filter(notification__event_id=event_id, due_at__isnull=False, in_flight=False).update(
        state=DeliveryState.CANCELLED, reason=Reason.CANCELLED, due_at=None, ended_at=now
    )


def end_switched_off(*, channels: Sequence[str], now: datetime) -> int:
    """Due deliveries of a channel that is no longer configured come to an end. How many; safe to run twice."""
    with connection.cursor() as cursor:
        cursor.execute(sql.END_SWITCHED_OFF, {"channels": list(channels), "now": now})
        return int(cursor.fetchone()[0])
