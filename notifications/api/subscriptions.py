"""Following a topic, which people do for themselves; staff also for others."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.authentication import caller
from core.bodies import read
from core.errors import AppError
from core.openapi import describe
from notifications import catalog
from notifications.api.catalog import CatalogPage, find, list_by
from notifications.models import Subscription, Topic
from notifications.submission import Name

MOST_USERS = 10_000


class Followers(msgspec.Struct, forbid_unknown_fields=True):
    """Who: staff may name anybody; everybody else is only themselves."""

    users: Annotated[list[Name], Meta(min_length=1, max_length=MOST_USERS)] | UnsetType = UNSET


class Subscribed(msgspec.Struct):
    """How many were new, and the names that are nobody's."""

    added: int
    unknown_users: list[str]


class Unsubscribed(msgspec.Struct):
    removed: int


class SubscriptionBody(msgspec.Struct):
    topic: str
    user: str


class SubscriptionPage(CatalogPage):
    results: list[SubscriptionBody]


class NotYours(AppError):
    """Only staff may subscribe others; leave `users` out for yourself."""

    code = "forbidden"
    status = 403


class SubscriptionsView(APIView):
    @describe(
        "list_subscriptions",
        "Who follows a topic; for all but staff, only yourself",
        answers={200: SubscriptionPage},
        query={"limit": "1 to 100", "cursor": ""},
    )
    def get(self, request: Request, key: str) -> Response:
        rows = Subscription.objects.filter(topic=find(Topic, key)).select_related("topic", "user")
        if not request.user.is_staff:
            rows = rows.filter(user_id=caller(request))
        return list_by(
            request,
            rows,
            by="user__username",
            shape=lambda row: SubscriptionBody(topic=row.topic.key, user=row.user.username),
        )

    @describe("subscribe", "Follow a topic", request=Followers, answers={200: Subscribed})
    def post(self, request: Request, key: str) -> Response:
        added, unknown = catalog.subscribe(find(Topic, key), _names(request, request.data))
        return Response(Subscribed(added=added, unknown_users=unknown))

    @describe("unsubscribe", "Stop following a topic", request=Followers, answers={200: Unsubscribed})
    def delete(self, request: Request, key: str) -> Response:
        return Response(Unsubscribed(removed=catalog.unsubscribe(find(Topic, key), _names(request, request.data))))


def _names(request: Request, data: Any) -> list[str]:
    """Whom a request is about. Raises NotYours when somebody who is not staff names others."""
    given = read(Followers, data or {}).users
    own = request.user.get_username()
    if given is UNSET:
        return [own]
    if not request.user.is_staff and set(given) != {own}:
        raise NotYours
    return list(given)
