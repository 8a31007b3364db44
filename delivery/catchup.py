"""What a client missed: one snapshot of its head and of every line changed after its position."""

from dataclasses import dataclass

from django.db import connection, transaction

from delivery import protocol
from notifications import inbox, preferences, shapes
from notifications.models import InboxHead

FURTHEST = 500  # changed lines; further behind, a fresh page is smaller than the difference
LARGEST_DELTA = 1024 * 1024  # characters, for the same reason
PAGE = 50


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The `sync` frame that brings a client to `to`."""

    epoch: str
    to: int
    frame: str


def read(user_id: int, *, position: protocol.Position | None) -> CaughtUp:
    """
    Bring a client from `position` to now. Never fails: what cannot be a difference is a fresh start (`reset`).

    Head and lines come from one snapshot, so that the counts belong to exactly this state.
    """
    inbox.open_head(user_id)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        head = inbox.head(user_id)
        known = position is not None and position.epoch == head.epoch and 0 <= position.seq <= head.head_seq
        frame = _delta(head, position.seq) if known and position else None
        if frame is None or len(frame) > LARGEST_DELTA:
            frame = _reset(head)
    return CaughtUp(epoch=head.epoch, to=head.head_seq, frame=frame)


def _delta(head: InboxHead, seq: int) -> str | None:
    """What changed after `seq`; None when that is too much."""
    rows = inbox.since(head.user_id, seq=seq, limit=FURTHEST + 1)
    if len(rows) > FURTHEST:
        return None
    return protocol.sync(
        mode="delta",
        start=seq,
        to=head.head_seq,
        items=[shapes.as_json(row) for row in rows],
        counts={"unread": head.unread, "unseen": head.unseen},
        more=False,
        read_all=inbox.read_marks(head.user_id, after=seq),
        preferences=_chosen(head.user_id, after=seq),
    )


def _reset(head: InboxHead) -> str:
    """The newest page, which replaces what the client has."""
    rows = list(inbox.visible(head.user_id).order_by("-pk")[: PAGE + 1])
    return protocol.sync(
        mode="reset",
        start=0,
        to=head.head_seq,
        items=[shapes.as_json(row) for row in rows[:PAGE]],
        counts={"unread": head.unread, "unseen": head.unseen},
        more=len(rows) > PAGE,
        read_all=[],  # every line is as it is
        preferences=_chosen(head.user_id, after=0),
    )


def _chosen(user_id: int, *, after: int) -> preferences.Preferences | None:
    """What the person chose, if that changed after a number; None too for somebody who never chose anything."""
    present = preferences.of(user_id)
    return present if present.rev > after else None
