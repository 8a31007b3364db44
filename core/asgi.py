"""Sockets: `uvicorn core.asgi:application`. HTTP is core/wsgi.py's; here only the health check answers."""

import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")
django.setup()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402

from delivery import sockets  # noqa: E402


async def http(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """200 for /health/live, 404 for the rest."""
    status = 200 if scope["path"] == "/health/live" else 404
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"status":"ok"}' if status == 200 else b"{}"})


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The hub lives as long as the server."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            sockets.hub().start()
            await send({"type": "lifespan.startup.complete"})
        else:
            await sockets.hub().stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def no_socket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Any other socket path is refused before it opens."""
    await receive()
    await send({"type": "websocket.close", "code": 1000})


application = ProtocolTypeRouter(
    {
        "http": http,
        "lifespan": lifespan,
        "websocket": URLRouter(
            [
                path("ws/notifications/", sockets.notifications),  # type: ignore[arg-type]  # an ASGI application
                path("<path:rest>", no_socket),  # type: ignore[arg-type]  # the same
            ]
        ),
    }
)
