"""A person's settings over REST, and what follows from them."""

import msgspec
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.authentication import caller
from core.bodies import read
from core.errors import NotFound
from core.openapi import describe
from notifications import own_settings
from notifications.api import rows
from notifications.own_settings import Effective, Setting, SettingBody
from notifications.words import Value


class SettingPatch(msgspec.Struct, forbid_unknown_fields=True):
    """Another value; for something else make another setting."""

    value: Value


class SettingPage(msgspec.Struct):
    results: list[Setting]
    next: str | None
    previous: str | None


class SettingsView(APIView):
    @describe(
        "list_settings",
        "Your settings, newest first",
        answers={200: SettingPage},
        errors=(400, 401, 429),
        query={"limit": "1 to 100", "cursor": ""},
    )
    def get(self, request: Request) -> Response:
        return rows.page(request, own_settings.rows(caller(request)), shape=own_settings.shape)

    @describe(
        "create_setting",
        "On, off or digest for a category, a type or a topic",
        request=SettingBody,
        answers={201: Setting},
        errors=(400, 401, 409, 429),
    )
    def post(self, request: Request) -> Response:
        made = own_settings.create(caller(request), read(SettingBody, request.data), now=timezone.now())
        return Response(own_settings.shape(made), status=201)


class SettingView(APIView):
    @describe("get_setting", "One of your settings", answers={200: Setting}, errors=(401, 404, 429))
    def get(self, request: Request, id: str) -> Response:
        row = own_settings.rows(caller(request)).filter(pk=rows.key(id)).first()
        if row is None:
            raise NotFound
        return Response(own_settings.shape(row))

    @describe(
        "change_setting",
        "Give a setting another value",
        request=SettingPatch,
        answers={200: Setting},
        errors=(400, 401, 404, 429),
    )
    def patch(self, request: Request, id: str) -> Response:
        value = read(SettingPatch, request.data).value
        row = own_settings.change(caller(request), rows.key(id), value=value, now=timezone.now())
        return Response(own_settings.shape(row))

    @describe(
        "delete_setting",
        "Forget a setting: the next rule of the chain decides",
        answers={204: None},
        errors=(401, 404, 429),
    )
    def delete(self, request: Request, id: str) -> Response:
        own_settings.delete(caller(request), rows.key(id), now=timezone.now())
        return Response(status=204)


class EffectiveView(APIView):
    @describe(
        "get_effective_settings",
        "What is decided for every type and channel, and by which rule",
        answers={200: Effective},
        errors=(401, 429),
    )
    def get(self, request: Request) -> Response:
        return Response(own_settings.effective(caller(request), now=timezone.now()))
