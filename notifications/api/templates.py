"""Templates and layouts: the words of messages, kept by staff."""

from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from msgspec import UNSET, Meta, UnsetType
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.authentication import caller
from core.bodies import read
from core.errors import Invalid, NotFound
from core.openapi import describe
from notifications import catalog, languages, layouts, templates
from notifications.api import rows
from notifications.api.catalog import CatalogPage, Key, find, list_by
from notifications.models import Layout, Template
from notifications.submission import Line, check_data
from notifications.words import IN_APP

Subject = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\r\n]*$(?!\n)")]
FILTERS = {
    "type": "task.assigned",
    "channel": "email or in_app",
    "locale": "de",
    "current": "true or false; without it every version",
}


class MessageTemplateNew(msgspec.Struct, forbid_unknown_fields=True):
    """The words of a type on a channel in a language; the next version of them when there are some."""

    type: str
    channel: str
    locale: Annotated[str, Meta(max_length=35)]
    subject: Subject
    source: str = ""
    layout: str | None = None


class MessageTemplateChange(msgspec.Struct, forbid_unknown_fields=True):
    """What the next version says differently; or `current` alone, to use this version again."""

    subject: Subject | UnsetType = UNSET
    source: str | UnsetType = UNSET
    layout: str | UnsetType | None = UNSET
    current: Literal[True] | UnsetType = UNSET

    def __post_init__(self) -> None:
        words = any(field is not UNSET for field in (self.subject, self.source, self.layout))
        if words == (self.current is not UNSET):
            raise ValueError("Give new words, or `current` alone")


class MessageTemplate(msgspec.Struct):
    """One version."""

    id: str
    type: str
    channel: str
    locale: str
    version: int
    current: bool
    subject: str
    source: str
    layout: str | None
    created_by: str | None
    created_at: datetime


class MessageTemplatePage(CatalogPage):
    results: list[MessageTemplate]


class TemplateExample(msgspec.Struct, forbid_unknown_fields=True):
    """What to preview with; what is left out comes from the type's sample."""

    sample: dict[str, Any] | UnsetType = UNSET
    title: Line | UnsetType = UNSET
    body: Annotated[str, Meta(max_length=10_000)] | UnsetType = UNSET
    locale: Annotated[str, Meta(max_length=35)] = ""
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        check_data("sample", self.sample or {})


class TemplatePreview(msgspec.Struct):
    """What would be said; `missing` names the variables that the sample does not have."""

    subject: str
    text: str
    html: str
    missing: list[str]


class LayoutBody(msgspec.Struct, forbid_unknown_fields=True):
    """MJML around the words of a mail, with one {{ content }}."""

    key: Key
    source: str


class LayoutChange(msgspec.Struct, forbid_unknown_fields=True):
    source: str


class LayoutPage(CatalogPage):
    results: list[LayoutBody]


def _template(row: Template) -> MessageTemplate:
    return MessageTemplate(
        id=str(row.pk),
        type=row.type_id,
        channel=row.channel,
        locale=row.locale,
        version=row.version,
        current=row.current,
        subject=row.subject,
        source=row.source,
        layout=row.layout_id,
        created_by=row.created_by.username if row.created_by else None,
        created_at=row.created_at,
    )


def _layout(row: Layout) -> LayoutBody:
    return LayoutBody(key=row.key, source=row.source)


def _narrow(given: QuerySet[Template], request: Request) -> QuerySet[Template]:
    """Apply the filters of a list. Raises Invalid for an unknown one."""
    for name, value in request.query_params.dict().items():
        if name in ("limit", "cursor"):
            continue
        if name not in FILTERS or "\0" in value or (name == "current" and value not in ("true", "false")):
            raise Invalid(
                "The query is not valid: see details.", **{name: [FILTERS.get(name, "There is no such filter.")]}
            )
        wanted: Any = value == "true" if name == "current" else value
        given = given.filter(**{name: languages.canonical(value) or value if name == "locale" else wanted})
    return given


def _one(id: str) -> Template:
    row = Template.objects.select_related("type", "layout", "created_by").filter(pk=rows.key(id)).first()
    if row is None:
        raise NotFound
    return row


class TemplatesView(APIView):
    permission_classes = (IsAdminUser,)

    @describe(
        "list_templates",
        "Every version, newest first",
        answers={200: MessageTemplatePage},
        errors=(400, 401, 403, 429),
        query={"limit": "1 to 100", "cursor": "", **FILTERS},
    )
    def get(self, request: Request) -> Response:
        found = _narrow(Template.objects.select_related("created_by"), request)
        return rows.page(request, found, shape=_template)

    @describe(
        "create_template",
        "Save words: the next version, used from now on",
        request=MessageTemplateNew,
        answers={201: MessageTemplate},
        errors=(400, 401, 403, 429),
    )
    def post(self, request: Request) -> Response:
        given = read(MessageTemplateNew, request.data)
        catalog.check_channels([given.channel], known={IN_APP, *settings.DELIVERY_CHANNELS}, field="channel")
        made = templates.save(**msgspec.structs.asdict(given), by=caller(request), now=timezone.now())
        return Response(_template(made), status=201)


class TemplateView(APIView):
    permission_classes = (IsAdminUser,)

    @describe("get_template", "One version", answers={200: MessageTemplate})
    def get(self, request: Request, id: str) -> Response:
        return Response(_template(_one(id)))

    @describe(
        "change_template",
        "Make the next version of the current one, or use an old one again",
        request=MessageTemplateChange,
        answers={200: MessageTemplate},
        errors=(400, 401, 403, 404, 409, 429),
    )
    def patch(self, request: Request, id: str) -> Response:
        given, row = read(MessageTemplateChange, request.data), _one(id)
        if given.current is not UNSET:
            templates.make_current(row)
            return Response(_template(_one(id)))
        made = templates.save(
            type=row.type_id,
            channel=row.channel,
            locale=row.locale,
            subject=row.subject if given.subject is UNSET else given.subject,
            source=row.source if given.source is UNSET else given.source,
            layout=row.layout_id if given.layout is UNSET else given.layout,
            by=caller(request),
            now=timezone.now(),
            after=row,
        )
        return Response(_template(made))

    @describe("delete_template", "Delete one version", answers={204: None}, errors=(401, 403, 404, 429))
    def delete(self, request: Request, id: str) -> Response:
        templates.delete(_one(id))
        return Response(status=204)


class RenderView(APIView):
    permission_classes = (IsAdminUser,)

    @describe("render_template", "What a version would say", request=TemplateExample, answers={200: TemplatePreview})
    def post(self, request: Request, id: str) -> Response:
        given, row = read(TemplateExample, request.data or {}), _one(id)
        try:
            zone = ZoneInfo(given.timezone)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise Invalid("The body is not valid: see details.", timezone=["A name like Europe/Berlin."]) from None
        written, missing = templates.preview(
            row,
            sample=None if given.sample is UNSET else given.sample,
            words={name: value for name in ("title", "body") if (value := getattr(given, name)) is not UNSET},
            locale=given.locale,
            zone=zone,
        )
        return Response(TemplatePreview(written.subject, written.text, written.html, missing))


class LayoutsView(APIView):
    permission_classes = (IsAdminUser,)

    @describe("list_layouts", "All layouts", answers={200: LayoutPage}, query={"limit": "1 to 100", "cursor": ""})
    def get(self, request: Request) -> Response:
        return list_by(request, Layout.objects.all(), by="key", shape=_layout)

    @describe(
        "create_layout", "A new layout", request=LayoutBody, answers={201: LayoutBody}, errors=(400, 401, 403, 409, 429)
    )
    def post(self, request: Request) -> Response:
        given = read(LayoutBody, request.data)
        row = layouts.save(given.key, source=given.source, new=True, now=timezone.now())
        return Response(_layout(row), status=201)


class LayoutView(APIView):
    permission_classes = (IsAdminUser,)

    @describe("get_layout", "One layout", answers={200: LayoutBody})
    def get(self, request: Request, key: str) -> Response:
        return Response(_layout(find(Layout, key)))

    @describe(
        "change_layout",
        "Change a layout; every mail that names it has the new one from now on",
        request=LayoutChange,
        answers={200: LayoutBody},
    )
    def patch(self, request: Request, key: str) -> Response:
        given, row = read(LayoutChange, request.data), find(Layout, key)
        return Response(_layout(layouts.save(row.key, source=given.source, now=timezone.now())))

    @describe(
        "delete_layout", "Delete a layout that no template names", answers={204: None}, errors=(401, 403, 404, 409, 429)
    )
    def delete(self, request: Request, key: str) -> Response:
        layouts.delete(find(Layout, key))
        return Response(status=204)
