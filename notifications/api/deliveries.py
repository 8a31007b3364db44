"""The delivery log, and sending dead deliveries again. For staff."""

from typing import Any

import msgspec
from django.utils import timezone
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.authentication import caller
from core.bodies import read
from core.errors import Invalid, NotFound
from core.openapi import describe
from notifications import deliveries, replays
from notifications.api import rows

FILTERS = {
    "state": "pending, sent, failed, ...; may be given several times: any of them",
    "channel": "email",
    "lane": "urgent, normal, bulk or digest",
    "reason": "retrying",
    "provider": "who carried it last",
    "event": "the event's id",
    "user": "the user name",
    "type": "task.assigned",
    "category": "tasks",
    "code": "what the provider answered last, like 5.1.1",
    "result": "of the last attempt: sent, retry, throttled, gone, failed, config or unknown",
    "since": "ended at or after, RFC 3339; what is open: planned",
    "until": "ended before",
    "min_attempts": "a number",
}


class DeliveryPage(msgspec.Struct):
    results: list[deliveries.Line]
    next: str | None
    previous: str | None


def _filter(request: Request) -> deliveries.Filter:
    """The filter in the query. Raises Invalid for what is none."""
    given: dict[str, Any] = {}
    for name, values in request.query_params.lists():
        if name not in ("limit", "cursor"):
            given[name] = values if name == "state" else values[-1]
    number = given.get("min_attempts", "")
    if number.isascii() and number.isdecimal() and len(number) < 10:
        given["min_attempts"] = int(number)
    try:
        return read(deliveries.Filter, given)
    except Invalid as error:
        raise Invalid("The query is not valid: see details.", **error.details) from error


class DeliveriesView(APIView):
    permission_classes = (IsAdminUser,)

    @describe(
        "list_deliveries",
        "The delivery log, newest first",
        answers={200: DeliveryPage},
        errors=(400, 401, 403, 429),
        query=FILTERS | {"limit": "1 to 100", "cursor": ""},
    )
    def get(self, request: Request) -> Response:
        return rows.page(request, deliveries.told(deliveries.find(_filter(request))), shape=deliveries.line)


class DeliveryView(APIView):
    permission_classes = (IsAdminUser,)

    @describe(
        "get_delivery",
        "One delivery, with every attempt and what the provider said",
        answers={200: deliveries.Report},
        errors=(401, 403, 404, 429),
    )
    def get(self, request: Request, id: str) -> Response:
        found = deliveries.report(rows.key(id))
        if found is None:
            raise NotFound
        return Response(found)


class ReplayView(APIView):
    permission_classes = (IsAdminUser,)

    @describe(
        "replay_deliveries",
        "Send failed or unknown deliveries of a window again; a dry run unless told otherwise",
        request=replays.Order,
        answers={200: replays.Replayed},
        errors=(400, 401, 403, 429),
    )
    def post(self, request: Request) -> Response:
        order = read(replays.Order, request.data)
        return Response(replays.run(order, by=caller(request), now=timezone.now()))
