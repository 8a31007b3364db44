"""What a client may ask over its socket, and the frame that answers. Plain and synchronous: run in a thread."""

from django.utils import timezone

from core import redis
from delivery import protocol
from notifications import changes

COMMANDS = {
    "mark_read": "read",
    "mark_unread": "unread",
    "mark_seen": "seen",
    "archive": "archive",
    "unarchive": "unarchive",
    "delete": "delete",
    "mark_all_read": "read",
}
MOST_IDS = 500
REMEMBERED = 600  # seconds; a client that lost the answer asks again within a few


def obey(user_id: int, command: protocol.Command) -> str:
    """
    Do a command and answer it. One with an id that was done before is not done again.

    What was done is remembered in Redis, and each command only sets a state: should Redis forget, doing it
    again changes nothing that was not changed by somebody meanwhile.
    """
    action, ids = COMMANDS.get(command.name), command.args.get("ids")
    if action is None:
        message = f"There is no such command. Known: {', '.join(COMMANDS)}."
        return protocol.refusal(id=command.id, code="unknown_command", message=message)
    everything = command.name == "mark_all_read"
    if not everything and not _are_ids(ids):
        message = f"args.ids must be a list of at most {MOST_IDS} ids."
        return protocol.refusal(id=command.id, code="invalid", message=message)
    done = f"bellhop:command:{user_id}:{command.id[:64]}"
    if redis.attempt(lambda r: r.exists(done)):
        return protocol.result(id=command.id, seq=None, data={"changed": 0})
    applied = changes.apply(
        user_id,
        action=action,
        ids=None if everything else [int(id) for id in ids or () if len(id) < 19],
        now=timezone.now(),
        origin=command.id[:64],
    )
    redis.attempt(lambda r: r.set(done, 1, ex=REMEMBERED))
    return protocol.result(id=command.id, seq=applied.seq, data={"changed": applied.changed})


def _are_ids(ids: object) -> bool:
    return (
        isinstance(ids, list)
        and len(ids) <= MOST_IDS
        and all(isinstance(id, str) and id.isascii() and id.isdecimal() for id in ids)
    )
