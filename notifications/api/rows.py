"""What views over rows with a number share: ids, lists, and the version a change names."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Invalid, NotFound
from core.paging import Page, bad_cursor
from notifications.options import PreferenceChange, TemplateChange

Change = TypeVar("Change", PreferenceChange, TemplateChange)


def key(id: str) -> int:
    """Ids are opaque strings outside; one that cannot be ours is simply not there."""
    if not (id.isascii() and id.isdecimal() and len(id) < 19):
        raise NotFound
    return int(id)


def page(request: Request, rows: QuerySet[Any], *, shape: Callable[[Any], Any]) -> Response:
    """A page of rows, newest first."""

    def newest_first(before: str | None, after: str | None, limit: int) -> list[Any]:
        if after:
            return list(rows.filter(pk__gt=_edge(after)).order_by("pk")[:limit])[::-1]
        return list((rows.filter(pk__lt=_edge(before)) if before else rows).order_by("-pk")[:limit])

    return Page(request).respond(newest_first=newest_first, id_of=lambda row: str(row.pk), shape=shape)


def _edge(cursor: str) -> int:
    try:
        return key(cursor)
    except NotFound:
        raise bad_cursor() from None


def named(request: Request, change: Change) -> Change:
    """The change, its version from If-Match when the body names none. Raises Invalid for what is no version."""
    header = request.headers.get("If-Match", "")
    if header and not isinstance(change.version, int):
        text = header.removeprefix("W/").strip('"')
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise Invalid('If-Match is the version you last read, like "3".', version=[f"{header!r} is not one."])
        change.version = int(text)
    return change


def tagged(body: Any) -> Response:
    """The body, and its version as the ETag that If-Match takes."""
    return Response(body, headers={"ETag": f'"{body.version}"'})
