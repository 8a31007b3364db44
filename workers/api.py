"""The addresses under /api/v1 that need the engine: what would happen, and a notification at once."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from django.urls import path
from django.utils import timezone
from msgspec import Meta
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core import logs
from core.authentication import IsProducer, caller
from core.bodies import read
from core.openapi import describe
from notifications.api.events import idempotency_key
from notifications.api.notifications import NotificationBody, NotificationsView
from notifications.submission import Submission
from workers import preview, short_form


class ChannelPreview(msgspec.Struct):
    """What was decided for one person on one channel, by which rule, and when it would go."""

    value: str
    rule: str
    reason: str
    at: datetime | None


class PersonPreview(msgspec.Struct):
    user: str
    channels: dict[str, ChannelPreview]


class PreviewBody(msgspec.Struct):
    """Totals by channel, value and reason ("now": nothing to wait for), and the first people one by one."""

    at: datetime
    expired: bool
    recipients: int
    unknown_users: list[str]
    channels: dict[str, dict[str, dict[str, int]]]
    people: list[PersonPreview]


class PreviewView(APIView):
    permission_classes = (IsProducer,)

    @describe(
        "preview_event",
        "Who would get what, when, and why not; sends nothing",
        request=Submission,
        answers={200: PreviewBody},
        errors=(400, 401, 403, 413, 429),
    )
    def post(self, request: Request) -> Response:
        return Response(preview.preview(read(Submission, request.data), now=timezone.now()))


class Short(msgspec.Struct, forbid_unknown_fields=True):
    """One notification for one person: the short form of an event."""

    user: Annotated[str, Meta(min_length=1, max_length=150)]
    type: str
    title: str = ""
    body: str = ""
    data: dict[str, Any] = {}
    action_url: str = ""
    actor: str = ""
    tags: list[str] = []
    priority: str | None = None
    object: str = ""


class InboxView(NotificationsView):
    """GET is a person's own inbox; POST is a producer's."""

    def get_permissions(self) -> Any:
        return [IsProducer()] if self.request.method == "POST" else super().get_permissions()

    @describe(
        "create_notification",
        "One notification for one person, made at once",
        request=Short,
        answers={201: NotificationBody},
        errors=(400, 401, 403, 404, 409, 413, 429),
    )
    def post(self, request: Request) -> Response:
        given = msgspec.structs.asdict(read(Short, request.data))
        submission = read(Submission, given | {"recipients": {"users": [given.pop("user")]}})
        made = short_form.notify(
            submission,
            producer_id=caller(request),
            key=idempotency_key(request),
            trace_id=logs.trace_id(),
            clock=timezone.now,
        )
        return Response(made, status=201)


urlpatterns = [
    path("events/preview", PreviewView.as_view()),
    path("notifications", InboxView.as_view()),
]
