"""Errors of the REST API: every one in the same shape, ours and the framework's."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from core import logs
from core.errors import AppError, Invalid, NotFound, RateLimited

log = logs.logger(__name__)


class LengthMiddleware:
    """
    Refuse a body that does not say how long it is (RFC 9110, 15.5.12): the framework would read it as empty,
    and the caller be told of missing fields.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
            error = AppError("Send a Content-Length instead of a chunked body.")
            error.code = "length_required"
            return JsonResponse(error.as_json(), status=411)
        return self.get_response(request)


def nowhere(request: HttpRequest) -> JsonResponse:
    """An address under /api that does not exist: an error like every other, and not a page."""
    return JsonResponse(NotFound("There is no such address; /api/v1/docs lists them.").as_json(), status=404)


_CODES = {
    400: "invalid",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
}


def _as_app_error(error: Exception) -> AppError | None:
    """Django's and the framework's errors in our shape; None for a bug."""
    if isinstance(error, AppError):
        return error
    if isinstance(error, exceptions.Throttled):
        return RateLimited(retry_after=int(getattr(error, "wait", None) or 1))
    if isinstance(error, Http404):
        return NotFound()
    if isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        return None
    if isinstance(error, exceptions.ValidationError):
        details = error.detail if isinstance(error.detail, dict) else {"body": error.detail}
        return Invalid("The body is not valid: see details.", **cast("dict[str, Any]", details))
    found = AppError(str(error.detail))
    found.status = error.status_code
    found.code = _CODES.get(error.status_code, str(error.default_code))
    return found


def handle_exception(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Every error of the API in one shape, with the headers the protocol asks for."""
    known = _as_app_error(error)
    if known is None:
        log.error("api.crashed", view=type(context["view"]).__name__, exc_info=error)
        known = AppError("Something broke on our side. It has been logged; the request id finds it.")
        known.status, known.code = 500, "internal"
    set_rollback()
    headers = {}
    if isinstance(known, RateLimited):
        headers["Retry-After"] = str(known.retry_after)
    if known.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(known.as_json(), status=known.status, headers=headers)
