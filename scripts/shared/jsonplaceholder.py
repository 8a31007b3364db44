"""Todos and users of a JSONPlaceholder server (https://jsonplaceholder.typicode.com), as task events."""

from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from scripts.shared.terminal import ROOT, Failed, is_local

PUBLIC = "https://jsonplaceholder.typicode.com"
TIMEOUT = 10.0  # seconds
BUNDLED = ROOT / "scripts" / "data"


class User(msgspec.Struct):
    """The fields of a user that we need."""

    id: int
    name: str
    username: str
    email: str


class Todo(msgspec.Struct):
    id: int
    user_id: int = msgspec.field(name="userId")
    title: str
    completed: bool


@dataclass(frozen=True, slots=True)
class Records:
    """What a server holds."""

    users: list[User]
    todos: list[Todo]


def fetch(url: str) -> Records:
    """The records of a server. Raises Failed when it cannot be reached, or is no JSONPlaceholder."""
    try:
        with httpx.Client(timeout=TIMEOUT, follow_redirects=True, trust_env=not is_local(url)) as client:
            users = client.get(f"{url.rstrip('/')}/users").raise_for_status().content
            todos = client.get(f"{url.rstrip('/')}/todos").raise_for_status().content
        return _read(users=users, todos=todos)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Failed(f"{url} cannot be reached ({' '.join(str(error).split())})") from error
    except msgspec.DecodeError as error:
        raise Failed(f"{url} did not answer with JSONPlaceholder's records ({error})") from error


def bundled() -> Records:
    """Records of the same schema, made by this project."""
    return _read(
        users=(BUNDLED / "jsonplaceholder_users.json").read_bytes(),
        todos=(BUNDLED / "jsonplaceholder_todos.json").read_bytes(),
    )


def _read(*, users: bytes, todos: bytes) -> Records:
    return Records(users=msgspec.json.decode(users, type=list[User]), todos=msgspec.json.decode(todos, type=list[Todo]))


def event(todo: Todo, *, username: str) -> dict[str, Any]:
    """The body for POST /events: `task.completed` for a completed todo, `task.assigned` for an open one."""
    return {
        "type": "task.completed" if todo.completed else "task.assigned",
        "recipients": {"users": [username]},
        "title": " ".join(todo.title.split())[:200],
        "object": f"todo:{todo.id}",
        "data": {"source": "jsonplaceholder", "todo": todo.id},
        "tags": ["jsonplaceholder"],
    }
