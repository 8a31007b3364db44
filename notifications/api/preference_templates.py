"""Default preference templates over REST, for staff."""

from typing import Annotated, Literal

import msgspec
from django.utils import timezone
from msgspec import UNSET, Meta, UnsetType
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.bodies import read
from core.openapi import describe
from notifications import preference_templates
from notifications.api import rows
from notifications.api.preferences import IF_MATCH
from notifications.models import PreferenceTemplate
from notifications.options import TemplateChange
from notifications.preference_templates import TemplateBody
from notifications.submission import MAX_USERS, Name


class TemplatesPage(msgspec.Struct):
    results: list[TemplateBody]
    next: str | None
    previous: str | None


class Application(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to give it: exactly one of `users` and `all`. With `reset` what they chose themselves is forgotten."""

    users: Annotated[list[Name], Meta(min_length=1, max_length=MAX_USERS)] | UnsetType = UNSET
    all: Literal[True] | UnsetType = UNSET
    reset: bool = False

    def __post_init__(self) -> None:
        if (self.users is UNSET) == (self.all is UNSET):
            raise ValueError("Give exactly one of `users` and `all`")


class AppliedBody(msgspec.Struct):
    """How many people it changed something for, and the names that are nobody's."""

    applied: int
    unknown_users: list[str]


class TemplatesView(APIView):
    permission_classes = (IsAdminUser,)

    @describe(
        "list_preference_templates",
        "All templates, newest first",
        answers={200: TemplatesPage},
        errors=(400, 401, 403, 429),
        query={"limit": "1 to 100", "cursor": ""},
    )
    def get(self, request: Request) -> Response:
        return rows.page(request, PreferenceTemplate.objects.all(), shape=preference_templates.shape)

    @describe(
        "create_preference_template",
        "A new template",
        request=TemplateChange,
        answers={201: TemplateBody},
        errors=(400, 401, 403, 409, 429),
    )
    def post(self, request: Request) -> Response:
        made = preference_templates.create(read(TemplateChange, request.data), now=timezone.now())
        return Response(preference_templates.shape(made), status=201)


class TemplateView(APIView):
    permission_classes = (IsAdminUser,)

    @describe("get_preference_template", "One template", answers={200: TemplateBody}, errors=(401, 403, 404, 429))
    def get(self, request: Request, id: str) -> Response:
        return rows.tagged(preference_templates.shape(preference_templates.find(rows.key(id))))

    @describe(
        "change_preference_template",
        "Change a template; what is left out stays, null takes an entry out of a map",
        request=TemplateChange,
        answers={200: TemplateBody},
        errors=(400, 401, 403, 404, 409, 429),
        headers=IF_MATCH,
    )
    def patch(self, request: Request, id: str) -> Response:
        given = rows.named(request, read(TemplateChange, request.data))
        row = preference_templates.change(rows.key(id), given, now=timezone.now())
        return rows.tagged(preference_templates.shape(row))

    @describe(
        "delete_preference_template",
        "Delete a template that nobody has",
        answers={204: None},
        errors=(401, 403, 404, 409, 429),
    )
    def delete(self, request: Request, id: str) -> Response:
        preference_templates.delete(rows.key(id))
        return Response(status=204)


class ApplyView(APIView):
    permission_classes = (IsAdminUser,)

    @describe(
        "apply_preference_template",
        "Give it to people; the others keep what they have",
        request=Application,
        answers={200: AppliedBody},
        errors=(400, 401, 403, 404, 429),
    )
    def post(self, request: Request, id: str) -> Response:
        given = read(Application, request.data)
        applied = preference_templates.apply(
            rows.key(id),
            usernames=None if given.users is UNSET else given.users,
            reset=given.reset,
            now=timezone.now(),
        )
        return Response(AppliedBody(applied=applied.applied, unknown_users=applied.unknown_users))
