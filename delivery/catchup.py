"""What a client missed: one snapshot of its head and of every line changed after its position."""

from dataclasses import dataclass

from django.db import connection, transaction

from delivery import protocol
from notifications import inbox

FURTHEST = 500  # changed lines; further behind, a fresh page is smaller than the difference
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
        rows = None
        if position and position.epoch == head.epoch and 0 <= position.seq <= head.head_seq:
            rows = inbox.since(user_id, seq=position.seq, limit=FURTHEST + 1)
        delta = rows is not None and len(rows) <= FURTHEST
        if rows is None or not delta:
            rows = list(inbox.visible(user_id).order_by("-pk")[: PAGE + 1])
        more = not delta and len(rows) > PAGE
        # A fresh start brings every line as it is; only what the client holds must be told.
        marks = inbox.read_marks(user_id, after=position.seq) if delta and position else []
        items = [inbox.as_json(row) for row in (rows[:PAGE] if more else rows)]
    return CaughtUp(
        epoch=head.epoch,
        to=head.head_seq,
        frame=protocol.sync(
            mode="delta" if delta else "reset",
            start=position.seq if delta and position else 0,
            to=head.head_seq,
            items=items,
            counts={"unread": head.unread, "unseen": head.unseen},
            more=more,
            read_all=marks,
        ),
    )
