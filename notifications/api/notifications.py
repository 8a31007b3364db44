"""A person's inbox over REST. Every query starts from the caller's own rows."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.authentication import caller
from core.bodies import read
from core.errors import Invalid, NotFound
from core.openapi import describe
from core.paging import Page, bad_cursor
from notifications import changes, inbox, shapes
from notifications.models import Notification
from notifications.submission import EARLIEST, LATEST
from notifications.words import Priority


class NotificationBody(msgspec.Struct):
    """One inbox line."""

    id: str
    rev: int
    event: str
    type: str
    category: str
    tags: list[str]
    priority: Priority
    title: str
    body: str
    data: dict[str, Any]
    action_url: str
    actor: str
    object: str
    created_at: datetime
    seen_at: datetime | None
    read_at: datetime | None
    archived_at: datetime | None
    snoozed_until: datetime | None
    expires_at: datetime | None


class NotificationPage(msgspec.Struct):
    results: list[NotificationBody]
    next: str | None
    previous: str | None


class NotificationPatch(msgspec.Struct, forbid_unknown_fields=True):
    """What a person may change; what is left out stays."""

    read: bool | None = None
    seen: Literal[True] | None = None
    archived: bool | None = None


class Bulk(msgspec.Struct, forbid_unknown_fields=True):
    """One action on many lines: give exactly one of `ids`, `filter` and `all`."""

    action: Literal["read", "unread", "seen", "archive", "unarchive", "delete"]
    ids: list[str] | None = None
    filter: dict[str, Any] | None = None
    all: Literal[True] | None = None

    def __post_init__(self) -> None:
        if sum(x is not None for x in (self.ids, self.filter, self.all)) != 1:
            raise ValueError("Give exactly one of `ids`, `filter` and `all`")


class Counts(msgspec.Struct):
    """Exact, from the same rows that the sockets tell."""

    unread: int
    unseen: int
    by_category: dict[str, int]


class BulkResult(msgspec.Struct):
    changed: int
    counts: Counts


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
FILTERS = {
    "read": "true or false",
    "seen": "true or false",
    "archived": "true or false; without it both",
    "type": "task.assigned",
    "category": "tasks",
    "tag": "may be given several times: all must be there",
    "priority": "low, normal, high or critical",
    "since": "created at or after, RFC 3339",
    "until": "created before, RFC 3339",
    "q": "words in title and body",
}


def _boolean(name: str, value: Any) -> bool:
    text = str(value).lower()
    if text not in _BOOLEANS:
        raise Invalid("The query is not valid: see details.", **{name: ["Either true or false."]})
    return _BOOLEANS[text]


def _moment(name: str, value: str) -> datetime:
    try:
        moment = parse_datetime(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not EARLIEST <= moment < LATEST:
        raise Invalid("The query is not valid: see details.", **{name: ["A time like 2026-01-31T09:00:00Z."]})
    return moment


def narrow(rows: QuerySet[Notification], given: dict[str, list[Any]]) -> QuerySet[Notification]:
    """Apply the filters of a list or of a bulk action. Raises Invalid for an unknown one."""
    for name, values in given.items():
        if not values or not all(isinstance(v, bool) or (isinstance(v, str) and "\0" not in v) for v in values):
            raise Invalid("The query is not valid: see details.", **{name: ["Text without NUL, or true or false."]})
        value = values[-1]
        match name:
            case "read":
                rows = inbox.read(rows, _boolean(name, value))
            case "seen":
                rows = inbox.seen(rows, _boolean(name, value))
            case "archived":
                rows = rows.filter(archived_at__isnull=not _boolean(name, value))
            case "type" | "category":
                rows = rows.filter(**{f"event__{name}_id": value})
            case "tag":
                rows = rows.filter(event__tags__contains=[str(tag).strip().lower() for tag in values])
            case "priority":
                rows = rows.filter(event__priority=value)
            case "since":
                rows = rows.filter(created_at__gte=_moment(name, str(value)))
            case "until":
                rows = rows.filter(created_at__lt=_moment(name, str(value)))
            case "q":
                # What the producer said, or what this person reads of it.
                said = SearchVector("event__title", "event__body", config="simple")
                read = SearchVector("title", "body", config="simple")
                query = SearchQuery(value, config="simple")
                rows = rows.annotate(said=said, shown=read).filter(Q(said=query) | Q(shown=query))
            case _:
                raise Invalid(f"There is no filter {name!r}. There are: {', '.join(FILTERS)}.")
    return rows


def _key(id: str) -> int:
    """Ids are opaque strings outside; one that cannot be ours is simply not there."""
    if not (id.isascii() and id.isdecimal() and len(id) < 19):
        raise NotFound
    return int(id)


def _edge(cursor: str) -> int:
    try:
        return _key(cursor)
    except NotFound:
        raise bad_cursor() from None


def own(user_id: int, id: str) -> Notification:
    """The caller's line, or NotFound: somebody else's looks the same as one that never was."""
    row = inbox.visible(user_id).filter(pk=_key(id)).first()
    if row is None:
        raise NotFound
    return row


class NotificationsView(APIView):
    @describe(
        "list_notifications",
        "Your inbox, newest first",
        answers={200: NotificationPage},
        errors=(400, 401, 429),
        query=FILTERS | {"limit": "1 to 100", "cursor": ""},
    )
    def get(self, request: Request) -> Response:
        given = {n: v for n, v in request.query_params.lists() if n not in ("limit", "cursor")}
        rows = narrow(inbox.visible(caller(request)), given)

        def newest_first(before: str | None, after: str | None, limit: int) -> list[Notification]:
            if after:
                return list(rows.filter(pk__gt=_edge(after)).order_by("pk")[:limit])[::-1]
            return list((rows.filter(pk__lt=_edge(before)) if before else rows).order_by("-pk")[:limit])

        return Page(request).respond(newest_first=newest_first, id_of=lambda row: str(row.pk), shape=shapes.as_json)


class NotificationView(APIView):
    @describe("get_notification", "One line of your inbox", answers={200: NotificationBody})
    def get(self, request: Request, id: str) -> Response:
        return Response(shapes.as_json(own(caller(request), id)))

    @describe(
        "change_notification",
        "Mark it read, seen or archived",
        request=NotificationPatch,
        answers={200: NotificationBody},
    )
    def patch(self, request: Request, id: str) -> Response:
        given = read(NotificationPatch, request.data)
        row = own(caller(request), id)
        with transaction.atomic():
            for wanted, yes, no in (
                (given.seen, "seen", ""),
                (given.read, "read", "unread"),
                (given.archived, "archive", "unarchive"),
            ):
                if wanted is not None:
                    changes.apply(caller(request), action=yes if wanted else no, ids=[row.pk], now=timezone.now())
        return Response(shapes.as_json(own(caller(request), id)))

    @describe("delete_notification", "Delete it", answers={204: None})
    def delete(self, request: Request, id: str) -> Response:
        row = own(caller(request), id)
        changes.apply(caller(request), action="delete", ids=[row.pk], now=timezone.now())
        return Response(status=204)


class BulkView(APIView):
    @describe(
        "change_notifications",
        "One action on many lines",
        request=Bulk,
        answers={200: BulkResult},
        errors=(400, 401, 429),
    )
    def post(self, request: Request) -> Response:
        given, user_id = read(Bulk, request.data), caller(request)
        ids: list[int] | None = None
        if given.ids is not None:
            ids = [int(id) for id in given.ids if id.isascii() and id.isdecimal() and len(id) < 19]
        elif given.filter is not None:
            wanted = {n: v if isinstance(v, list) else [v] for n, v in given.filter.items()}
            ids = list(narrow(inbox.visible(user_id), wanted).values_list("pk", flat=True))
        applied = changes.apply(user_id, action=given.action, ids=ids, now=timezone.now())
        return Response({"changed": applied.changed, "counts": inbox.counts(user_id)})


class CountsView(APIView):
    @describe("get_counts", "Unread and unseen", answers={200: Counts}, errors=(401, 429))
    def get(self, request: Request) -> Response:
        return Response(inbox.counts(caller(request)))
