"""Events: what producers send, and what became of it."""

import uuid
from datetime import datetime
from typing import Any

import msgspec
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core import logs
from core.authentication import IsProducer, caller
from core.bodies import read
from core.errors import AppError, Invalid, NotFound
from core.openapi import describe
from core.paging import Page, bad_cursor
from notifications import events, explanations, reports
from notifications.models import Event
from notifications.submission import Submission

LARGEST_BATCH = 1000


class AcceptedEvent(msgspec.Struct):
    """The promise: committed under this id."""

    id: str
    status: str


class EventSummary(msgspec.Struct):
    """Where an event stands."""

    id: str
    type: str
    category: str
    status: str
    error: str
    trace_id: str
    accepted_at: datetime
    due_at: datetime | None
    processed_at: datetime | None
    unknown_users: list[str]


class EventReport(EventSummary):
    """What became of an event, by channel and state."""

    recipients: int
    channels: dict[str, dict[str, int]]


class Submissions(msgspec.Struct, forbid_unknown_fields=True):
    """Up to 1,000 events; each stands alone."""

    events: list[dict[str, Any]]


class BatchDocument(msgspec.Struct):
    """Up to 1,000 events; each stands alone."""

    events: list[Submission]


class BatchResult(msgspec.Struct):
    """One answer per event, in order: an id, or an error."""

    results: list[dict[str, Any]]


class EventPage(msgspec.Struct):
    results: list[EventSummary]
    next: str | None
    previous: str | None


def idempotency_key(request: Request) -> str | None:
    """The header, when given. Raises Invalid when it is too long."""
    key = request.headers.get("Idempotency-Key") or None
    if key and (len(key) > 200 or not key.isprintable()):
        raise Invalid("The Idempotency-Key may have at most 200 printable characters.")
    return key


class EventsView(APIView):
    permission_classes = (IsProducer,)

    @describe(
        "create_event",
        "Accept one event",
        request=Submission,
        answers={202: AcceptedEvent},
        errors=(400, 401, 403, 409, 413, 429),
        headers={"Idempotency-Key": "The same key and body give the same id; another body is refused."},
    )
    def post(self, request: Request) -> Response:
        (answer,) = events.accept(
            [read(Submission, request.data)],
            producer_id=caller(request),
            keys=[idempotency_key(request)],
            trace_id=logs.trace_id(),
            now=timezone.now(),
        )
        if isinstance(answer, AppError):
            raise answer
        return Response(AcceptedEvent(id=str(answer.id), status=answer.status), status=202)

    @describe(
        "list_events", "Your events, newest first", answers={200: EventPage}, query={"limit": "1 to 100", "cursor": ""}
    )
    def get(self, request: Request) -> Response:
        def newest_first(before: str | None, after: str | None, limit: int) -> list[Event]:
            rows = Event.objects.filter(producer_id=caller(request))
            if after:
                return list(rows.filter(id__gt=_uuid(after)).order_by("id")[:limit])[::-1]
            return list((rows.filter(id__lt=_uuid(before)) if before else rows).order_by("-id")[:limit])

        return Page(request).respond(newest_first=newest_first, id_of=lambda event: event.id.hex, shape=reports.summary)


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise bad_cursor() from None


class BatchView(APIView):
    permission_classes = (IsProducer,)

    @describe(
        "create_events",
        "Accept up to 1,000 events",
        request=BatchDocument,
        answers={202: BatchResult},
        errors=(400, 401, 403, 413, 429),
        headers={"Idempotency-Key": "Stands for each event together with its place in the list."},
    )
    def post(self, request: Request) -> Response:
        given = read(Submissions, request.data).events
        if not 1 <= len(given) <= LARGEST_BATCH:
            raise Invalid(f"Send from 1 to {LARGEST_BATCH} events.", events=[f"{len(given)} were given."])
        key = idempotency_key(request)
        good: list[Submission] = []
        results: list[Any] = []
        for one in given:
            try:
                good.append(read(Submission, one))
                results.append(None)
            except Invalid as error:
                results.append({"error": error.as_json()})
        places = [place for place, result in enumerate(results) if result is None]
        answers = events.accept(
            good,
            producer_id=caller(request),
            # A character that no header can hold keeps these apart from the keys of single events.
            keys=[key and f"{key}\x1f{place}" for place in places],
            trace_id=logs.trace_id(),
            now=timezone.now(),
        )
        for place, answer in zip(places, answers, strict=True):
            results[place] = {"error": answer.as_json()} if isinstance(answer, AppError) else {"id": str(answer.id)}
        return Response(BatchResult(results=results), status=202)


class Cancelled(msgspec.Struct):
    """What cancelling stopped."""

    status: str
    deliveries: int


class ExplanationBody(msgspec.Struct):
    """The short answer, and what it rests on, oldest first."""

    event: str
    user: str
    answer: str
    timeline: list[explanations.Moment]


class EventView(APIView):
    permission_classes = (IsProducer,)

    @describe("get_event", "What became of an event", answers={200: EventReport})
    def get(self, request: Request, id: uuid.UUID) -> Response:
        return Response(reports.report(_own(request, id)))


class CancelView(APIView):
    permission_classes = (IsProducer,)

    @describe("cancel_event", "Stop what has not been sent", answers={200: Cancelled})
    def post(self, request: Request, id: uuid.UUID) -> Response:
        stopped = events.cancel(_own(request, id).id, now=timezone.now())
        return Response(Cancelled(status=_own(request, id).state, deliveries=stopped))


class ExplainView(APIView):
    permission_classes = (IsProducer,)

    @describe(
        "explain_event",
        "Did they get it, and if not, why?",
        answers={200: ExplanationBody},
        query={"user": "the user name"},
    )
    def get(self, request: Request, id: uuid.UUID) -> Response:
        username = request.query_params.get("user", "")
        if not username or "\0" in username:
            raise Invalid("The query is not valid: see details.", user=["Name the user: ?user=alice."])
        return Response(explanations.explain(_own(request, id), username=username))


def _own(request: Request, id: uuid.UUID) -> Event:
    """The caller's event, or for staff anybody's. NotFound: somebody else's looks the same as one that never was."""
    rows = Event.objects.filter(id=id)
    event = (rows if request.user.is_staff else rows.filter(producer_id=caller(request))).first()
    if event is None:
        raise NotFound
    return event
