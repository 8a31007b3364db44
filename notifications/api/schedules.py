"""Schedules: events that a producer wants again and again."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from django.db.models import QuerySet
from django.utils import timezone
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.authentication import IsProducer, caller
from core.bodies import read
from core.errors import NotFound
from core.openapi import describe
from notifications import schedules, timetables
from notifications.api import rows
from notifications.models import Schedule
from notifications.submission import Submission

Title = Annotated[str, Meta(min_length=1, max_length=200)]
CronLine = Annotated[str, Meta(min_length=1, max_length=600, examples=["0 9 * * 1-5"])]
Zone = Annotated[str, Meta(min_length=1, max_length=63)]


class Recurring(Submission, forbid_unknown_fields=True, kw_only=True):
    """The body of POST /events, without its moments: they follow from the occurrence."""

    expires_after: Annotated[int, Meta(ge=1, le=366 * 86400)] | None = None

    def __post_init__(self) -> None:
        Submission.__post_init__(self)
        if self.send_at:
            raise ValueError("`send_at` is for one event: the schedule says when")
        if self.expires_at:
            raise ValueError("`expires_at` is for one event: give `expires_after`, in seconds from each occurrence")


class IntervalBody(msgspec.Struct, forbid_unknown_fields=True):
    """An interval: from one minute to 366 days."""

    n: Annotated[int, Meta(ge=1, le=366 * 86400)]
    unit: Literal["seconds", "minutes", "hours", "days"]


class ScheduleBody(msgspec.Struct, forbid_unknown_fields=True):
    """An event and when it comes back: exactly one of `cron` and `every`."""

    name: Title
    event: Recurring
    cron: CronLine | UnsetType = UNSET
    every: IntervalBody | UnsetType = UNSET
    timezone: Zone | UnsetType = UNSET
    enabled: bool = True


class SchedulePatch(msgspec.Struct, forbid_unknown_fields=True):
    name: Title | UnsetType = UNSET
    event: Recurring | UnsetType = UNSET
    cron: CronLine | UnsetType = UNSET
    every: IntervalBody | UnsetType = UNSET
    timezone: Zone | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class ScheduleReport(msgspec.Struct):
    """A schedule, when it comes next, and what went wrong the last time."""

    id: str
    name: str
    event: dict[str, Any]
    cron: str | None
    every: IntervalBody | None
    timezone: str | None
    enabled: bool
    next_at: datetime | None
    last_at: datetime | None
    error: str


class SchedulePage(msgspec.Struct):
    results: list[ScheduleReport]
    next: str | None
    previous: str | None


def _report(row: Schedule) -> ScheduleReport:
    interval = row.interval
    return ScheduleReport(
        id=str(row.pk),
        name=row.name,
        event=row.submission,
        cron=timetables.line_of(row.crontab) if row.crontab is not None else None,
        every=IntervalBody(n=interval.every, unit=interval.period) if interval is not None else None,
        timezone=timetables.zone_of(row),
        enabled=row.enabled,
        next_at=row.due_at and row.due_at.astimezone(UTC),
        last_at=row.last_at and row.last_at.astimezone(UTC),
        error=row.error,
    )


def _given(body: ScheduleBody | SchedulePatch, data: Any) -> dict[str, Any]:
    """The arguments of create() and change() that a body gives; the event as it was written, not as it was read."""
    names = {"timezone": "zone"}
    found = {names.get(n, n): v for n, v in msgspec.structs.asdict(body).items() if v is not UNSET}
    if "event" in found:
        found["event"] = data["event"]
    if "every" in found:
        found["every"] = (found["every"].n, found["every"].unit)
    return found


class SchedulesView(APIView):
    permission_classes = (IsProducer,)

    @describe(
        "list_schedules",
        "Your schedules, newest first; for staff, everybody's",
        answers={200: SchedulePage},
        query={"limit": "1 to 100", "cursor": ""},
    )
    def get(self, request: Request) -> Response:
        return rows.page(request, _visible(request), shape=_report)

    @describe(
        "create_schedule",
        "A new schedule",
        request=ScheduleBody,
        answers={201: ScheduleReport},
        errors=(400, 401, 403, 409, 429),
    )
    def post(self, request: Request) -> Response:
        given = _given(read(ScheduleBody, request.data), request.data)
        row = schedules.create(producer_id=caller(request), **given, now=timezone.now())
        return Response(_report(row), status=201)


class ScheduleView(APIView):
    permission_classes = (IsProducer,)

    @describe("get_schedule", "One schedule", answers={200: ScheduleReport})
    def get(self, request: Request, id: str) -> Response:
        return Response(_report(_own(request, id)))

    @describe(
        "change_schedule",
        "Change a schedule; what is left out stays",
        request=SchedulePatch,
        answers={200: ScheduleReport},
    )
    def patch(self, request: Request, id: str) -> Response:
        given = _given(read(SchedulePatch, request.data), request.data)
        row = schedules.change(_own(request, id).pk, **given, now=timezone.now())
        return Response(_report(row))

    @describe("delete_schedule", "No more of it; its events stay", answers={204: None}, errors=(401, 403, 404, 429))
    def delete(self, request: Request, id: str) -> Response:
        schedules.delete(_own(request, id).pk)
        return Response(status=204)


def _visible(request: Request) -> QuerySet[Schedule]:
    all_ = Schedule.objects.select_related("crontab", "interval")
    return all_ if request.user.is_staff else all_.filter(producer_id=caller(request))


def _own(request: Request, id: str) -> Schedule:
    """The caller's schedule, or for staff anybody's. NotFound: somebody else's looks like one that never was."""
    row = _visible(request).filter(pk=rows.key(id)).first()
    if row is None:
        raise NotFound
    return row
