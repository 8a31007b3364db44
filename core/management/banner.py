"""What `manage.py up` says when everything answers."""

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from core.demo import Login

EVENT = '{"type":"task.assigned","recipients":{"users":["alice"]},"title":"Water the plants"}'


def text(*, logins: "Sequence[Login]", flower: bool) -> str:
    """The address, and in the demo the logins and one command to try."""
    address = f"http://127.0.0.1:{settings.HTTP_PORT}"
    lines = [
        "",
        f"Bellhop is ready: {address}",
        f"  API pages  {address}/api/v1/docs",
        f"  admin      {address}/admin/",
    ]
    if flower:
        lines.append(f"  Flower     http://127.0.0.1:{os.environ.get('FLOWER_PORT', '5555')}")
    lines += _demo(address, logins) if logins else []
    return "\n".join([*lines, "Ctrl-C stops everything.", ""])


def _demo(address: str, logins: "Sequence[Login]") -> list[str]:
    tokens = {login.name: login.token for login in logins}
    return [
        f"  sockets    ws://127.0.0.1:{settings.WS_PORT}/ws/notifications/",
        "  Flower's login is admin / admin. Demo logins:",
        *(f"    {login.name:<10} password {login.password:<10} token {login.token}  {login.role}" for login in logins),
        "",
        "Tell alice something:",
        f"  curl -X POST {address}/api/v1/events -H 'Authorization: Bearer {tokens['producer']}' "
        f"-H 'Content-Type: application/json' -d '{EVENT}'",
        "and see it arrive:",
        f"  curl {address}/api/v1/notifications -H 'Authorization: Bearer {tokens['alice']}'",
        f"  ls {shlex.quote(str(settings.DATA_DIR / 'mail'))}",
        "",
    ]
