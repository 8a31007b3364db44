"""Sockets: `uvicorn scripts.bench.naive.asgi:application`, with a stock consumer."""

import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scripts.bench.naive.settings")
django.setup()

from channels.db import database_sync_to_async  # noqa: E402
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.authtoken.models import Token  # noqa: E402


@database_sync_to_async  # type: ignore[untyped-decorator]
def user_of(headers: list[tuple[bytes, bytes]]) -> int:
    """Whose token the handshake carries. Raises Token.DoesNotExist."""
    key = dict(headers)[b"authorization"].decode().removeprefix("Bearer ")
    return int(Token.objects.get(key=key).user.pk)


class NotificationConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    """Joins the group of its user."""

    async def connect(self) -> None:
        self.group = f"user_{await user_of(self.scope['headers'])}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """What clients say is of no interest."""

    async def notify(self, event: dict[str, Any]) -> None:
        """A message of the group."""
        await self.send_json(event["content"])


application = ProtocolTypeRouter({"websocket": URLRouter([path("ws/notifications/", NotificationConsumer.as_asgi())])})
