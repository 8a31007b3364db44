"""What a client may ask over its socket, and the frame that answers. Plain and synchronous: run in a thread."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from django.utils import timezone

from core import redis
from core.bodies import read
from core.errors import AppError, Invalid
from delivery import protocol
from notifications import changes, preferences
from notifications.options import PreferenceChange

MOST_IDS = 500
REMEMBERED = 600  # seconds; a client that lost the answer asks again within a few


class Done(NamedTuple):
    """The number of what a command changed (None: nothing), and what its result says."""

    seq: int | None
    data: Mapping[str, Any]


def obey(user_id: int, command: protocol.Command) -> str:
    """
    Do a command and answer it. One with an id that was done before is not done again.

    What was done is remembered in Redis, and each command only sets a state: should Redis forget, doing it
    again changes nothing that was not changed by somebody meanwhile.
    """
    do = COMMANDS.get(command.name)
    if do is None:
        message = f"There is no such command. Known: {', '.join(COMMANDS)}."
        return protocol.refusal(id=command.id, code="unknown_command", message=message)
    remembered = f"bellhop:command:{user_id}:{command.id[:64]}"
    repeated = bool(redis.attempt(lambda r: r.exists(remembered)))
    try:
        done = do(user_id, command, repeated)
    except AppError as error:
        return protocol.refusal(id=command.id, code=error.code, message=error.message, details=error.details)
    if not repeated:
        redis.attempt(lambda r: r.set(remembered, 1, ex=REMEMBERED))
    return protocol.result(id=command.id, seq=done.seq, data=done.data)


def _change_lines(action: str, user_id: int, command: protocol.Command, repeated: bool) -> Done:
    """One of inbox.ACTIONS on `args.ids`."""
    ids = command.args.get("ids")
    if not _are_ids(ids):
        raise Invalid(f"args.ids must be a list of at most {MOST_IDS} ids.")
    return _apply(action, user_id, command, repeated, ids=[int(id) for id in ids or () if len(id) < 19])


def _read_all(user_id: int, command: protocol.Command, repeated: bool) -> Done:
    return _apply("read", user_id, command, repeated, ids=None)


def _apply(action: str, user_id: int, command: protocol.Command, repeated: bool, *, ids: list[int] | None) -> Done:
    if repeated:
        return Done(seq=None, data={"changed": 0})
    applied = changes.apply(user_id, action=action, ids=ids, now=timezone.now(), origin=command.id[:64])
    return Done(seq=applied.seq, data={"changed": applied.changed})


def _are_ids(ids: object) -> bool:
    return (
        isinstance(ids, list)
        and len(ids) <= MOST_IDS
        and all(isinstance(id, str) and id.isascii() and id.isdecimal() for id in ids)
    )


def _get_preferences(user_id: int, command: protocol.Command, repeated: bool) -> Done:
    return Done(seq=None, data={"preferences": preferences.of(user_id)})


def _set_preferences(user_id: int, command: protocol.Command, repeated: bool) -> Done:
    """`args` is the body of PATCH /preferences."""
    if repeated:
        return _get_preferences(user_id, command, repeated)
    given = read(PreferenceChange, command.args)
    changed = preferences.change(user_id, given, now=timezone.now(), origin=command.id[:64])
    return Done(seq=changed.seq, data={"preferences": changed.preferences})


COMMANDS: dict[str, Callable[[int, protocol.Command, bool], Done]] = {
    "mark_read": partial(_change_lines, "read"),
    "mark_unread": partial(_change_lines, "unread"),
    "mark_seen": partial(_change_lines, "seen"),
    "archive": partial(_change_lines, "archive"),
    "unarchive": partial(_change_lines, "unarchive"),
    "delete": partial(_change_lines, "delete"),
    "mark_all_read": _read_all,
    "get_preferences": _get_preferences,
    "set_preferences": _set_preferences,
}
