"""What comes in and goes out: JSON, bounded, checked against the type that also documents it."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from django.conf import settings
from rest_framework import parsers, renderers

from core.errors import Invalid, TooLarge

Body = TypeVar("Body", bound=msgspec.Struct)


class JSONRenderer(renderers.BaseRenderer):
    """JSON in UTF-8; times as RFC 3339 in UTC with Z."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, media_type: str | None = None, context: Mapping[str, Any] | None = None) -> bytes:
        return b"" if data is None else msgspec.json.encode(data, enc_hook=str)


class JSONParser(parsers.BaseParser):
    """JSON only. Refuses what PostgreSQL cannot store (NUL) and what is larger than the limit."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, context: Mapping[str, Any] | None = None) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise TooLarge(f"The body may have at most {limit} bytes; send less at a time.")
        if b"\\u0000" in raw:
            raise Invalid("The body contains a NUL character (\\u0000), which cannot be stored.")
        try:
            return msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Invalid(f"The body is not JSON: {error}.") from error


def read(kind: type[Body], value: Any) -> Body:
    """`value` as a `kind`. Raises Invalid naming the field that is wrong."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at `$")
        name = path.rstrip("`").lstrip(".").removeprefix("[...]") or "body"
        raise Invalid("The body is not valid: see details.", **{name: [sentence]}) from error
