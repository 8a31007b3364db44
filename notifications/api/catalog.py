"""Categories, types and topics, kept by staff."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec
from django.conf import settings
from msgspec import UNSET, Meta, UnsetType
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.bodies import read
from core.errors import NotFound
from core.openapi import describe
from core.paging import Page
from notifications import catalog, templates
from notifications.models import Category, Topic, Type
from notifications.submission import Line, check_data
from notifications.words import IN_APP, Priority

Key = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[a-z0-9][a-z0-9._:-]*$")]
CategoryKey = Annotated[str, Meta(min_length=1, max_length=50, pattern=r"^[a-z0-9][a-z0-9._:-]*$")]


class CategoryBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a person can mute."""

    key: CategoryKey
    name: Annotated[str, Meta(min_length=1, max_length=100)]


class CategoryPatch(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=100)] | UnsetType = UNSET


class TypeBody(msgspec.Struct, forbid_unknown_fields=True):
    """A kind of event, with what it does when the event does not say otherwise."""

    key: Key
    category: str
    title: Line
    priority: Priority = Priority.NORMAL
    channels: list[str] = msgspec.field(default_factory=lambda: [IN_APP])
    required: list[str] = []
    not_allowed: list[str] = []
    sample: dict[str, Any] = {}
    resend_unknown: bool = True

    def __post_init__(self) -> None:
        check_data("sample", self.sample)


class TypePatch(msgspec.Struct, forbid_unknown_fields=True):
    category: str | UnsetType = UNSET
    title: Line | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    channels: list[str] | UnsetType = UNSET
    required: list[str] | UnsetType = UNSET
    not_allowed: list[str] | UnsetType = UNSET
    sample: dict[str, Any] | UnsetType = UNSET
    resend_unknown: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        check_data("sample", self.sample or {})


class TopicBody(msgspec.Struct, forbid_unknown_fields=True):
    """A named feed."""

    key: Key
    name: Line = ""


class TopicPatch(msgspec.Struct, forbid_unknown_fields=True):
    name: Line | UnsetType = UNSET


class CatalogPage(msgspec.Struct):
    results: list[Any]
    next: str | None
    previous: str | None


class CategoryPage(CatalogPage):
    results: list[CategoryBody]


class TypePage(CatalogPage):
    results: list[TypeBody]


class TopicPage(CatalogPage):
    results: list[TopicBody]


def _category(row: Category) -> CategoryBody:
    return CategoryBody(key=row.key, name=row.name)


def _type(row: Type) -> TypeBody:
    return TypeBody(
        key=row.key,
        category=row.category_id,
        title=row.title,
        priority=Priority(row.priority),
        channels=row.channels,
        required=row.required,
        not_allowed=row.not_allowed,
        sample=row.sample,
        resend_unknown=row.resend_unknown,
    )


def _topic(row: Topic) -> TopicBody:
    return TopicBody(key=row.key, name=row.name)


def _columns(given: msgspec.Struct) -> dict[str, Any]:
    """The fields that were given, by column. Raises Invalid for what the tables do not know."""
    found = {name: value for name, value in msgspec.structs.asdict(given).items() if value is not UNSET}
    for field in ("channels", "required", "not_allowed"):
        catalog.check_channels(found.get(field, ()), known={IN_APP, *settings.DELIVERY_CHANNELS}, field=field)
    if "category" in found:
        key = found["category_id"] = found.pop("category")
        if not Category.objects.filter(pk=key).exists():
            raise catalog.unknown_category(key)
    return found


def find(model: Any, key: str) -> Any:
    row = model.objects.filter(key=key).first()
    if row is None:
        raise NotFound
    return row


def list_by(request: Request, rows: Any, *, by: str, shape: Callable[[Any], Any]) -> Response:
    """A list in the order of a column of names, which is what its cursor holds."""

    def in_order(before: str | None, after: str | None, limit: int) -> list[Any]:
        if after:
            return list(rows.filter(**{f"{by}__lt": after}).order_by(f"-{by}")[:limit])[::-1]
        return list((rows.filter(**{f"{by}__gt": before}) if before else rows).order_by(by)[:limit])

    def name_of(row: Any) -> str:
        for part in by.split("__"):
            row = getattr(row, part)
        return str(row)

    return Page(request).respond(newest_first=in_order, id_of=name_of, shape=shape)


class Kind(NamedTuple):
    """What the three kinds of entry differ in."""

    name: str
    plural: str
    model: Any
    body: Any
    changes: Any
    page: Any
    shape: Callable[[Any], Any]
    change: Callable[[Any, dict[str, Any]], None] = catalog.change


def _views(kind: Kind) -> tuple[type[APIView], type[APIView]]:
    """The two views of a kind: its list, and one of it."""

    class ListView(APIView):
        permission_classes = (IsAdminUser,)

        @describe(
            f"list_{kind.plural}",
            f"All {kind.plural}",
            answers={200: kind.page},
            query={"limit": "1 to 100", "cursor": ""},
        )
        def get(self, request: Request) -> Response:
            return list_by(request, kind.model.objects.all(), by="key", shape=kind.shape)

        @describe(
            f"create_{kind.name}",
            f"A new {kind.name}",
            request=kind.body,
            answers={201: kind.body},
            errors=(400, 401, 403, 409, 429),
        )
        def post(self, request: Request) -> Response:
            row = kind.model(**_columns(read(kind.body, request.data)))
            catalog.create(row)
            return Response(kind.shape(row), status=201)

    class OneView(APIView):
        permission_classes = (IsAdminUser,)

        @describe(f"get_{kind.name}", f"One {kind.name}", answers={200: kind.body})
        def get(self, request: Request, key: str) -> Response:
            return Response(kind.shape(find(kind.model, key)))

        @describe(
            f"change_{kind.name}",
            f"Change a {kind.name}; what is left out stays",
            request=kind.changes,
            answers={200: kind.body},
        )
        def patch(self, request: Request, key: str) -> Response:
            row = find(kind.model, key)
            kind.change(row, _columns(read(kind.changes, request.data)))
            return Response(kind.shape(row))

        @describe(
            f"delete_{kind.name}",
            f"Delete a {kind.name} that nothing uses",
            answers={204: None},
            errors=(401, 403, 404, 409, 429),
        )
        def delete(self, request: Request, key: str) -> Response:
            catalog.delete(find(kind.model, key))
            return Response(status=204)

    return ListView, OneView


CategoriesView, CategoryView = _views(
    Kind("category", "categories", Category, CategoryBody, CategoryPatch, CategoryPage, _category)
)
TypesView, TypeView = _views(Kind("type", "types", Type, TypeBody, TypePatch, TypePage, _type, templates.change_type))
TopicsView, TopicView = _views(Kind("topic", "topics", Topic, TopicBody, TopicPatch, TopicPage, _topic))
