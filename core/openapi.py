"""
The API page from the types the code uses: a body's msgspec type is its documentation.

`describe()` decorates a view's method; `add_components` is the hook that puts the types into the schema.
"""

from collections.abc import Callable
from typing import Any, TypedDict

import msgspec
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the page's "Authorize" button signs in; found by drf-spectacular because it is defined."""

    target_class = "core.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class ErrorBody(TypedDict):
    """The one shape of every error."""

    code: str
    message: str
    details: dict[str, Any]


_types: list[Any] = [ErrorBody]
_MEANINGS = {
    200: "Done.",
    201: "Made.",
    202: "Accepted: committed, and being worked on.",
    204: "Done; there is nothing to say.",
    400: "Some fields are not valid.",
    401: "No valid token.",
    403: "Not yours to do.",
    404: "Not there, or not yours.",
    409: "It contradicts what is there.",
    413: "Too large.",
    429: "Too many requests; wait as long as Retry-After says.",
}


def _content(kind: Any) -> dict[str, Any]:
    if kind not in _types:
        _types.append(kind)
    references, _ = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
    return dict(references[0])


def describe(
    operation: str,
    summary: str,
    *,
    request: Any = None,
    answers: dict[int, Any],
    errors: tuple[int, ...] = (400, 401, 403, 404, 429),
    query: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """
    Document a view method. `operation` is what generated clients call it; `answers` maps a status to the type
    of its body, or to None for no body.
    """
    bodies = {status: kind for status, kind in answers.items() if kind} | dict.fromkeys(errors, ErrorBody)
    responses: dict[Any, Any] = {
        (status, "application/json"): _content(kind) | {"description": _MEANINGS[status]}
        for status, kind in bodies.items()
    }
    responses |= {status: OpenApiResponse(description=_MEANINGS[status]) for status in answers if not answers[status]}
    return extend_schema(
        operation_id=operation,
        summary=summary,
        request={"application/json": _content(request)} if request else None,
        responses=responses,
        parameters=[
            OpenApiParameter(name, str, OpenApiParameter.QUERY, description=text)
            for name, text in (query or {}).items()
        ]
        + [
            OpenApiParameter(name, str, OpenApiParameter.HEADER, description=text)
            for name, text in (headers or {}).items()
        ],
    )


def add_components(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """drf-spectacular's post-processing hook."""
    _references, components = msgspec.json.schema_components(_types, ref_template="#/components/schemas/{name}")
    result.setdefault("components", {}).setdefault("schemas", {}).update(components)
    for item in result["paths"].values():
        for operation in item.values():
            if "requestBody" in operation:
                operation["requestBody"]["required"] = True
    return result
