"""What a person does to their inbox: change the lines, then tell all their open sockets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from django.db import transaction

from notifications import inbox, live, shapes
from notifications.words import Change

# Above this the sockets get only the last change. They see the gap and read the rest as one delta.
SINGLY = 100
_json = msgspec.json.Encoder(enc_hook=str).encode


def _time(moment: datetime) -> str:
    """As the API writes times."""
    return _json(moment).decode().strip('"')


@dataclass(frozen=True, slots=True)
class Applied:
    """How many lines changed, and the number of the last change (None: nothing did)."""

    changed: int
    seq: int | None


def apply(user_id: int, *, action: str, ids: Sequence[int] | None, now: datetime, origin: str = "") -> Applied:
    """
    Do one of inbox.ACTIONS to the lines `ids`, or to all (None), and publish what changed after the commit.

    Doing it twice changes nothing the second time. `origin` is the socket command that asked for it.
    """
    if action == "read" and ids is None:
        return _read_all(user_id, now=now, origin=origin)
    changed = inbox.change(user_id, action=action, ids=ids, now=now)
    if not changed:
        return Applied(changed=0, seq=None)
    told = changed if len(changed) <= SINGLY else changed[-1:]
    rows = {row.pk: row for row in inbox.since(user_id, seq=told[0].rev - 1, limit=SINGLY)}
    kind = inbox.ACTIONS[action].change
    lines = [
        live.Line(
            user_id=user_id,
            seq=line.rev,
            change=kind,
            unread=line.unread,
            unseen=line.unseen,
            own=_json(shapes.as_json(rows[line.id])).decode(),
        )
        for line in told
        if line.id in rows and rows[line.id].rev == line.rev  # else it changed again, and that will be told
    ]
    transaction.on_commit(lambda: live.publish(lines, origin=origin))
    return Applied(changed=len(changed), seq=changed[-1].rev)


def _read_all(user_id: int, *, now: datetime, origin: str) -> Applied:
    unread = inbox.head(user_id).unread
    seq = inbox.read_all(user_id, now=now)
    if seq is None:
        return Applied(changed=0, seq=None)
    line = live.Line(user_id=user_id, seq=seq, change=Change.READ_ALL, unread=0, unseen=0, at=_time(now))
    transaction.on_commit(lambda: live.publish([line], origin=origin))
    return Applied(changed=unread, seq=seq)
