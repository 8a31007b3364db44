"""The delivery log: what became of every message. Reads the ledger, and changes nothing."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from django.db.models import OuterRef, Q, QuerySet, Subquery
from msgspec import Meta

from notifications import redaction
from notifications.models import Attempt, Delivery
from notifications.submission import EARLIEST, LATEST
from notifications.values import Result
from notifications.words import DeliveryState, Lane, Reason

Text = Annotated[str, Meta(min_length=1, max_length=320, pattern=r"^[^\x00]*$")]
Moment = Annotated[datetime, Meta(tz=True)]


class Filter(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Which deliveries: all that is given must be so. `since` and `until` mean their end; of open ones, the start."""

    state: list[DeliveryState] = []  # any of these
    channel: Text | None = None
    lane: Lane | None = None
    reason: Reason | None = None
    provider: Text | None = None
    event: UUID | None = None
    user: Text | None = None
    type: Text | None = None
    category: Text | None = None
    code: Text | None = None
    result: Result | None = None  # of the last attempt
    since: Moment | None = None
    until: Moment | None = None
    min_attempts: Annotated[int, Meta(ge=1, le=30_000)] | None = None

    def __post_init__(self) -> None:
        if not all(EARLIEST <= moment < LATEST for moment in (self.since, self.until) if moment):
            raise ValueError("`since` and `until` are from 1970 to 9998")


def find(wanted: Filter) -> QuerySet[Delivery]:
    """The deliveries that fit, in no order."""
    rows = Delivery.objects.all()
    for name in ("channel", "lane", "reason", "provider", "code"):
        value = getattr(wanted, name)
        if value is not None:
            rows = rows.filter(**{name: value})
    if wanted.state:
        rows = rows.filter(state__in=wanted.state)
    if wanted.event is not None:
        rows = rows.filter(notification__event_id=wanted.event)
    if wanted.type is not None:
        rows = rows.filter(notification__event__type_id=wanted.type)
    if wanted.category is not None:
        of_digest = Q(notification=None, digest__category_id=wanted.category)
        rows = rows.filter(Q(notification__event__category_id=wanted.category) | of_digest)
    if wanted.user is not None:
        # Not OR: each half has an index, together they have none.
        own = Delivery.objects.filter(notification__user__username=wanted.user).values("pk")
        carried = Delivery.objects.filter(notification=None, digest__user__username=wanted.user).values("pk")
        rows = rows.filter(pk__in=own.union(carried, all=True))
    if wanted.result is not None:
        tried = Attempt.objects.filter(delivery=OuterRef("pk")).order_by("-token")
        rows = rows.annotate(result=Subquery(tried.values("result")[:1])).filter(result=wanted.result)
    if wanted.since is not None:
        rows = rows.filter(Q(ended_at__gte=wanted.since) | Q(ended_at=None, created_at__gte=wanted.since))
    if wanted.until is not None:
        rows = rows.filter(Q(ended_at__lt=wanted.until) | Q(ended_at=None, created_at__lt=wanted.until))
    if wanted.min_attempts is not None:
        rows = rows.filter(attempts__gte=wanted.min_attempts)
    return rows


class Line(msgspec.Struct, kw_only=True):
    """One delivery. `event` and `type` are null on one that carries a digest."""

    id: str
    event: str | None
    user: str
    type: str | None
    channel: str
    address: str  # masked
    lane: Lane
    state: DeliveryState
    reason: str
    rule: str
    due_at: datetime | None
    attempts: int  # since it was planned, or sent again by a replay
    lost_claims: int
    code: str
    provider: str
    provider_id: str
    digest: str | None
    created_at: datetime
    ended_at: datetime | None


class Try(msgspec.Struct):
    """One attempt, and what the provider said."""

    number: int
    result: Result
    code: str
    detail: str
    started_at: datetime
    ended_at: datetime


class Report(Line, kw_only=True):
    """One delivery with every attempt, oldest first, those before a replay too."""

    history: list[Try]


def told(rows: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """The rows with what line() needs, in the same query."""
    return rows.select_related("notification__event", "notification__user", "digest__user").only(
        *(name for name in Line.__struct_fields__ if name not in ("event", "user", "type")),
        *("notification__event__type", "notification__user__username", "digest__user__username"),
    )


def line(row: Delivery) -> Line:
    """A row of told() as it is shown."""
    item = row.notification
    of = item or row.digest
    assert of is not None  # delivery_is_of_something
    return Line(
        id=str(row.pk),
        event=str(item.event_id) if item else None,
        user=of.user.username,
        type=item.event.type_id if item else None,
        channel=row.channel,
        address=redaction.mask(row.address),
        lane=Lane(row.lane),
        state=DeliveryState(row.state),
        reason=row.reason,
        rule=row.rule,
        due_at=row.due_at,
        attempts=row.attempts,
        lost_claims=row.lost_claims,
        code=row.code,
        provider=row.provider,
        provider_id=row.provider_id,
        digest=str(row.digest_id) if row.digest_id else None,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def report(id: int) -> Report | None:
    """One delivery and its attempts, two queries; None if there is none."""
    row = told(Delivery.objects.filter(pk=id)).first()
    if row is None:
        return None
    history = [
        Try(
            number=attempt.token,
            result=Result(attempt.result),
            code=attempt.code,
            detail=attempt.detail.replace(row.address, redaction.mask(row.address)),  # servers like to repeat it
            started_at=attempt.started_at,
            ended_at=attempt.ended_at,
        )
        for attempt in Attempt.objects.filter(delivery=row).order_by("token")
    ]
    return Report(**msgspec.structs.asdict(line(row)), history=history)
