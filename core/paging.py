"""Cursor pagination, the same for every list."""

from collections.abc import Callable, Sequence
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Invalid


def bad_cursor() -> Invalid:
    return Invalid("The query is not valid: see details.", cursor=["Not one of ours; follow `next` and `previous`."])


class Page:
    """
    Cursor pagination over an id that rises with time: newest first, stable while rows are added.

    `?limit=` up to 100, `?cursor=` from `next` or `previous`. The cursor is the id at the edge and a
    direction, so a page costs one indexed query however deep it is.
    """

    DEFAULT, LARGEST = 25, 100

    def __init__(self, request: Request) -> None:
        self._request = request
        self.limit = self._read_limit(request.query_params.get("limit"))
        cursor = request.query_params.get("cursor", "")
        self.direction, self.edge = cursor[:1], cursor[1:]
        if cursor and (self.direction not in "ab" or not self.edge or "\0" in cursor):
            raise bad_cursor()

    @classmethod
    def _read_limit(cls, text: str | None) -> int:
        if text is None:
            return cls.DEFAULT
        if not text.isdecimal() or len(text) > 3 or not 1 <= int(text) <= cls.LARGEST:
            raise Invalid("The query is not valid: see details.", limit=[f"A number from 1 to {cls.LARGEST}."])
        return int(text)

    def respond(
        self,
        *,
        newest_first: Callable[..., Sequence[Any]],
        id_of: Callable[[Any], str],
        shape: Callable[[Any], Any],
    ) -> Response:
        """`newest_first(before=, after=, limit=)` fetches one row more than a page to see whether there is another."""
        back = self.direction == "a"
        rows = list(
            newest_first(
                before=self.edge if self.direction == "b" else None,
                after=self.edge if back else None,
                limit=self.limit + 1,
            )
        )
        more = len(rows) > self.limit
        if more:
            rows = rows[1:] if back else rows[: self.limit]
        older, newer = (bool(rows), more) if back else (more, bool(self.direction) and bool(rows))
        return Response(
            {
                "results": [shape(row) for row in rows],
                "next": self._link("b" + id_of(rows[-1])) if older else None,
                "previous": self._link("a" + id_of(rows[0])) if newer else None,
            }
        )

    def _link(self, cursor: str) -> str:
        query = self._request.query_params.copy()
        query["cursor"] = cursor
        return self._request.build_absolute_uri(f"{self._request.path}?{query.urlencode()}")
