"""The suppression list over REST, for staff."""

from datetime import UTC, datetime

import msgspec
from django.utils import timezone
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.bodies import read
from core.errors import NotFound
from core.openapi import describe
from notifications import suppressions
from notifications.api import rows
from notifications.models import Suppression
from notifications.suppressions import Cause, SuppressionBody, SuppressionPatch

FILTERS = {"channel": "email", "address": "whole, in any case", "cause": "bounce, complaint or staff"}


class SuppressionReport(msgspec.Struct):
    """An address that gets nothing on a channel. `until` null: for good."""

    id: str
    channel: str
    address: str
    cause: Cause
    detail: str
    created_at: datetime
    until: datetime | None


class SuppressionPage(msgspec.Struct):
    results: list[SuppressionReport]
    next: str | None
    previous: str | None


def _report(row: Suppression) -> SuppressionReport:
    return SuppressionReport(
        id=str(row.pk),
        channel=row.channel,
        address=row.address,
        cause=Cause(row.cause),
        detail=row.detail,
        created_at=row.created_at.astimezone(UTC),
        until=row.until and row.until.astimezone(UTC),
    )


class SuppressionsView(APIView):
    permission_classes = (IsAdminUser,)

    @describe(
        "list_suppressions",
        "Addresses that get nothing, newest first",
        answers={200: SuppressionPage},
        errors=(400, 401, 403, 429),
        query=FILTERS | {"limit": "1 to 100", "cursor": ""},
    )
    def get(self, request: Request) -> Response:
        given = {name: request.query_params[name] for name in FILTERS if name in request.query_params}
        if "address" in given:
            given["address"] = given["address"].strip().lower()
        found = suppressions.rows().none() if "\0" in "".join(given.values()) else suppressions.rows().filter(**given)
        return rows.page(request, found, shape=_report)

    @describe(
        "create_suppression",
        "Put an address on the list",
        request=SuppressionBody,
        answers={201: SuppressionReport},
        errors=(400, 401, 403, 409, 429),
    )
    def post(self, request: Request) -> Response:
        made = suppressions.create(read(SuppressionBody, request.data), now=timezone.now())
        return Response(_report(made), status=201)


class SuppressionView(APIView):
    permission_classes = (IsAdminUser,)

    @describe(
        "get_suppression", "One address of the list", answers={200: SuppressionReport}, errors=(401, 403, 404, 429)
    )
    def get(self, request: Request, id: str) -> Response:
        row = suppressions.rows().filter(pk=rows.key(id)).first()
        if row is None:
            raise NotFound
        return Response(_report(row))

    @describe(
        "change_suppression",
        "Change how long, or the words about it",
        request=SuppressionPatch,
        answers={200: SuppressionReport},
        errors=(400, 401, 403, 404, 429),
    )
    def patch(self, request: Request, id: str) -> Response:
        return Response(_report(suppressions.change(rows.key(id), read(SuppressionPatch, request.data))))

    @describe("delete_suppression", "Take an address off the list", answers={204: None}, errors=(401, 403, 404, 429))
    def delete(self, request: Request, id: str) -> Response:
        suppressions.delete(rows.key(id))
        return Response(status=204)
