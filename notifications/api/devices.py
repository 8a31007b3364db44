"""A person's devices over REST. Addresses come in, and never go out again."""

from datetime import UTC, datetime
from typing import cast

import msgspec
from django.utils import timezone
from msgspec import UNSET, UnsetType
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.authentication import caller
from core.bodies import read
from core.errors import NotFound
from core.openapi import describe
from notifications import devices
from notifications.api import rows
from notifications.models import Device
from notifications.options import Locale
from notifications.words import DeviceKind

# A union of types is itself no type to mypy.
DeviceBody = cast("type[devices.Registration]", devices.Registration)


class DevicePatch(msgspec.Struct, forbid_unknown_fields=True):
    """Another name or locale; another address is another device."""

    name: devices.Name | UnsetType = UNSET
    locale: Locale | UnsetType = UNSET


class DeviceReport(msgspec.Struct):
    """A device as its owner sees it: `hint` is how its address ends. An empty locale: the person's own."""

    id: str
    kind: DeviceKind
    name: str
    locale: str
    hint: str
    created_at: datetime
    last_seen_at: datetime


class DevicePage(msgspec.Struct):
    results: list[DeviceReport]
    next: str | None
    previous: str | None


def _report(row: Device) -> DeviceReport:
    return DeviceReport(
        id=str(row.pk),
        kind=DeviceKind(row.kind),
        name=row.name,
        locale=row.locale,
        hint=devices.hint(row),
        created_at=row.created_at.astimezone(UTC),
        last_seen_at=row.last_seen_at.astimezone(UTC),
    )


class DevicesView(APIView):
    @describe(
        "list_devices",
        "Your devices, newest first",
        answers={200: DevicePage},
        errors=(400, 401, 429),
        query={"limit": "1 to 100", "cursor": ""},
    )
    def get(self, request: Request) -> Response:
        return rows.page(request, devices.rows(caller(request)), shape=_report)

    @describe(
        "register_device",
        "Register a device, or say that it is still there",
        request=DeviceBody,
        answers={200: DeviceReport, 201: DeviceReport},
        errors=(400, 401, 429),
    )
    def post(self, request: Request) -> Response:
        row, made = devices.register(caller(request), read(DeviceBody, request.data), now=timezone.now())
        return Response(_report(row), status=201 if made else 200)


class DeviceView(APIView):
    @describe("get_device", "One of your devices", answers={200: DeviceReport}, errors=(401, 404, 429))
    def get(self, request: Request, id: str) -> Response:
        row = devices.rows(caller(request)).filter(pk=rows.key(id)).first()
        if row is None:
            raise NotFound
        return Response(_report(row))

    @describe(
        "change_device",
        "Give a device another name or locale",
        request=DevicePatch,
        answers={200: DeviceReport},
        errors=(400, 401, 404, 429),
    )
    def patch(self, request: Request, id: str) -> Response:
        given = read(DevicePatch, request.data)
        named = {field: value for field, value in msgspec.structs.asdict(given).items() if value is not UNSET}
        return Response(_report(devices.change(caller(request), rows.key(id), **named)))

    @describe("delete_device", "Forget a device", answers={204: None}, errors=(401, 404, 429))
    def delete(self, request: Request, id: str) -> Response:
        devices.delete(caller(request), rows.key(id))
        return Response(status=204)
