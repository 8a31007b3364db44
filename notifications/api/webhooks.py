"""Webhooks over REST, for staff."""

from datetime import UTC, datetime

import msgspec
from django.utils import timezone
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.bodies import read
from core.openapi import describe
from notifications import webhooks
from notifications.api import rows
from notifications.models import Webhook, WebhookCall
from notifications.models.webhook import CallState
from notifications.webhooks import WebhookBody, WebhookPatch


class WebhookReport(msgspec.Struct, kw_only=True):
    """A webhook. Its secret is shown once, when it is made."""

    id: str
    url: str
    kinds: list[str]
    enabled: bool
    created_at: datetime


class NewWebhook(WebhookReport, kw_only=True):
    """A webhook that was just made, with the secret that signs its calls."""

    secret: str


class WebhookPage(msgspec.Struct):
    results: list[WebhookReport]
    next: str | None
    previous: str | None


class CallReport(msgspec.Struct):
    """One end of a delivery for a webhook. `id` is the call's webhook-id; `code` and `detail` what came last."""

    id: str
    delivery: str
    type: str
    state: CallState
    due_at: datetime | None
    attempts: int
    code: str
    detail: str
    created_at: datetime
    ended_at: datetime | None


class CallPage(msgspec.Struct):
    results: list[CallReport]
    next: str | None
    previous: str | None


def _report(row: Webhook) -> WebhookReport:
    return WebhookReport(
        id=str(row.pk),
        url=row.url,
        kinds=row.kinds,
        enabled=row.enabled,
        created_at=row.created_at.astimezone(UTC),
    )


def _call(row: WebhookCall) -> CallReport:
    return CallReport(
        id=f"call_{row.pk}",
        delivery=str(row.delivery_id),
        type=f"delivery.{row.kind}",
        state=CallState(row.state),
        due_at=row.due_at and row.due_at.astimezone(UTC),
        attempts=row.attempts,
        code=row.code,
        detail=row.detail,
        created_at=row.created_at.astimezone(UTC),
        ended_at=row.ended_at and row.ended_at.astimezone(UTC),
    )


class WebhooksView(APIView):
    permission_classes = (IsAdminUser,)

    @describe(
        "list_webhooks",
        "Who is told how deliveries end, newest first",
        answers={200: WebhookPage},
        errors=(400, 401, 403, 429),
        query={"limit": "1 to 100", "cursor": ""},
    )
    def get(self, request: Request) -> Response:
        return rows.page(request, webhooks.rows(), shape=_report)

    @describe(
        "create_webhook",
        "Be told how deliveries end; the answer has the secret, once",
        request=WebhookBody,
        answers={201: NewWebhook},
        errors=(400, 401, 403, 429),
    )
    def post(self, request: Request) -> Response:
        made = webhooks.create(read(WebhookBody, request.data), now=timezone.now())
        return Response(NewWebhook(**msgspec.structs.asdict(_report(made)), secret=made.secret), status=201)


class WebhookView(APIView):
    permission_classes = (IsAdminUser,)

    @describe("get_webhook", "One webhook", answers={200: WebhookReport}, errors=(401, 403, 404, 429))
    def get(self, request: Request, id: str) -> Response:
        return Response(_report(webhooks.get(rows.key(id))))

    @describe(
        "change_webhook",
        "Change a webhook, switch it off or on",
        request=WebhookPatch,
        answers={200: WebhookReport},
        errors=(400, 401, 403, 404, 429),
    )
    def patch(self, request: Request, id: str) -> Response:
        changed = webhooks.change(rows.key(id), read(WebhookPatch, request.data), now=timezone.now())
        return Response(_report(changed))

    @describe("delete_webhook", "Forget a webhook and its calls", answers={204: None}, errors=(401, 403, 404, 429))
    def delete(self, request: Request, id: str) -> Response:
        webhooks.delete(rows.key(id))
        return Response(status=204)


class CallsView(APIView):
    permission_classes = (IsAdminUser,)

    @describe(
        "list_webhook_calls",
        "The calls of a webhook, newest first",
        answers={200: CallPage},
        errors=(400, 401, 403, 404, 429),
        query={"limit": "1 to 100", "cursor": ""},
    )
    def get(self, request: Request, id: str) -> Response:
        return rows.page(request, webhooks.calls(rows.key(id)), shape=_call)
