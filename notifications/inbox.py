"""
The inbox: add lines, read them, change them. The only writer of Notification and InboxHead.

Every change of a line takes the person's next number and stamps the row's `rev` with it. The head row is
locked first and the numbers are given out under that lock, so that sequence order is commit order, a
rolled-back change leaves no hole, and the counts are exact. READ COMMITTED is required: under REPEATABLE
READ a second writer would fail instead of reading the new head.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery

from notifications import sql
from notifications.models import InboxHead, Notification, ReadMark
from notifications.words import Change

# --- Adding -------------------------------------------------------------------------------------------


class Given(NamedTuple):
    """One line to add. `visible` False: the row is kept for its deliveries but is not in the inbox."""

    event_id: UUID
    user_id: int
    visible: bool
    decisions: str
    title: str | None = None  # the event's words in this person's language; None: as they are
    body: str | None = None


class Added(NamedTuple):
    """One line that was added, with the person's counts right after it. `rev` None: not in the inbox."""

    id: int
    event_id: UUID
    user_id: int
    rev: int | None
    unread: int | None
    unseen: int | None
    choices: int | None  # the stamp of the person's choices, read under the head's lock


def add(lines: Sequence[Given], *, now: datetime) -> list[Added]:
    """
    Insert a chunk of lines and bump their heads in one statement. What is already there is left out.

    Must run inside the transaction that advances the events. Raises nothing of its own.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            sql.ADD_NOTIFICATIONS,
            {
                "events": [str(line.event_id) for line in lines],
                "users": [line.user_id for line in lines],
                "visible": [line.visible for line in lines],
                "decisions": [line.decisions for line in lines],
                "titles": [line.title for line in lines],
                "bodies": [line.body for line in lines],
                "epoch": secrets.token_hex(4),
                "now": now,
            },
        )
        return [Added(*row) for row in cursor.fetchall()]


# --- Reading --------------------------------------------------------------------------------------------

_READ = Q(read_at__isnull=False) | Q(rev__lte=F("read_all_up_to"))
_SEEN = _READ | Q(seen_at__isnull=False)


def _rows(user_id: int) -> QuerySet[Notification]:
    return (
        Notification.objects.filter(user_id=user_id, rev__isnull=False)
        .annotate(
            read_all_up_to=F("user__inboxhead__read_watermark"),
            # The first "mark all read" that covers the row; None when none does.
            read_all_at=Subquery(
                ReadMark.objects.filter(user_id=OuterRef("user_id"), seq__gte=OuterRef("rev"))
                .order_by("seq")
                .values("at")[:1]
            ),
        )
        .select_related("event")
    )


def visible(user_id: int) -> QuerySet[Notification]:
    """A person's inbox: everything that is not deleted. Nobody else's rows can come out of it."""
    return _rows(user_id).filter(deleted_at__isnull=True)


def read(rows: QuerySet[Notification], value: bool) -> QuerySet[Notification]:
    return rows.filter(_READ if value else ~_READ)


def seen(rows: QuerySet[Notification], value: bool) -> QuerySet[Notification]:
    return rows.filter(_SEEN if value else ~_SEEN)


def head(user_id: int) -> InboxHead:
    """A person's head; for someone who never got anything, an empty one that is not stored."""
    return InboxHead.objects.filter(user_id=user_id).first() or InboxHead(user_id=user_id, epoch="", head_seq=0)


def open_head(user_id: int) -> None:
    """
    Give a person a head if they have none: a socket needs the epoch before the first line comes.

    Safe to run twice and at once.
    """
    if not InboxHead.objects.filter(user_id=user_id).exists():
        InboxHead.objects.bulk_create([InboxHead(user_id=user_id, epoch=secrets.token_hex(4))], ignore_conflicts=True)


def heads(user_ids: Sequence[int]) -> dict[int, tuple[str, int]]:
    """The epoch and the last number of each of these people, one query."""
    found = InboxHead.objects.filter(user_id__in=user_ids).values_list("user_id", "epoch", "head_seq")
    return {user_id: (epoch, seq) for user_id, epoch, seq in found}


def counts(user_id: int) -> dict[str, Any]:
    """Unread and unseen from the head, and the unread by category."""
    own = head(user_id)
    by_category = (
        read(visible(user_id), False)
        .filter(archived_at__isnull=True)
        .order_by()
        .values_list("event__category_id")
        .annotate(n=Count("id"))
    )
    return {
        "unread": own.unread,
        "unseen": own.unseen,
        "by_category": dict(by_category.values_list("event__category_id", "n")),
    }


def read_marks(user_id: int, *, after: int) -> list[dict[str, Any]]:
    """Each "mark all read" after a number, oldest first: everything up to `seq` was read at `at`, if not before."""
    marks = ReadMark.objects.filter(user_id=user_id, seq__gt=after).order_by("seq").values_list("seq", "at")
    return [{"seq": seq, "at": at} for seq, at in marks]


def since(user_id: int, *, seq: int, limit: int) -> list[Notification]:
    """The present state of every line changed after `seq`, in order of change; deleted ones as tombstones."""
    return list(_rows(user_id).filter(rev__gt=seq).order_by("rev")[:limit])


# --- Changing -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a person can do to lines: where it applies, and what it writes."""

    applies: str
    assignments: str
    change: Change = Change.UPDATED


_KEEP = "read_at = t.read_at, seen_at = t.seen_at"
_IS_READ = "(n.read_at IS NOT NULL OR n.rev <= %(wm)s)"
_IS_SEEN = "(n.seen_at IS NOT NULL OR n.rev <= %(wm)s)"
ACTIONS = {
    "read": Action(f"NOT {_IS_READ}", "read_at = %(now)s, seen_at = coalesce(t.seen_at, %(now)s)"),
    "unread": Action(_IS_READ, "read_at = NULL, seen_at = t.seen_at"),
    "seen": Action(f"NOT {_IS_SEEN}", "read_at = t.read_at, seen_at = %(now)s"),
    "archive": Action("n.archived_at IS NULL", f"{_KEEP}, archived_at = %(now)s"),
    "unarchive": Action("n.archived_at IS NOT NULL", f"{_KEEP}, archived_at = NULL"),
    "delete": Action("true", f"{_KEEP}, deleted_at = %(now)s", Change.DELETED),
}


class Changed(NamedTuple):
    """One line that a person changed, with their counts right after it."""

    id: int
    rev: int
    unread: int
    unseen: int


@transaction.atomic
def change(user_id: int, *, action: str, ids: Sequence[int] | None, now: datetime) -> list[Changed]:
    """
    Do `action` (a key of ACTIONS) to the lines `ids`, or to all. Doing it again changes nothing.

    Ids of another person, or of deleted lines, are passed over. Three statements, whatever the number.
    """
    own = InboxHead.objects.select_for_update(of=("self",)).filter(user_id=user_id).first()
    if own is None:
        return []
    what = ACTIONS[action]
    with connection.cursor() as cursor:
        cursor.execute(
            sql.CHANGE_NOTIFICATIONS.format(applies=what.applies, assignments=what.assignments),
            {
                "user": user_id,
                "ids": None if ids is None else list(ids),
                "head": own.head_seq,
                "wm": own.read_watermark,
                "now": now,
            },
        )
        changed = []
        for id, rev, unread, unseen in cursor.fetchall():
            own.unread += unread
            own.unseen += unseen
            changed.append(Changed(id=id, rev=rev, unread=own.unread, unseen=own.unseen))
    if changed:
        own.head_seq = changed[-1].rev
        own.save(update_fields=["head_seq", "unread", "unseen"])
    return changed


# "Mark all read": one number, one mark, however long the inbox is.
READ_ALL = """
WITH head AS (
    UPDATE notifications_inboxhead
    SET head_seq = head_seq + 1, read_watermark = head_seq + 1, unread = 0, unseen = 0
    WHERE user_id = %(user)s AND (unread > 0 OR unseen > 0)
    RETURNING user_id, head_seq)
INSERT INTO notifications_readmark (user_id, seq, at) SELECT user_id, head_seq, %(now)s FROM head RETURNING seq
"""


def read_all(user_id: int, *, now: datetime) -> int | None:
    """
    Mark everything read, in one update however long the inbox is. The sequence number of it, or None when
    nothing was unread or unseen.
    """
    with connection.cursor() as cursor:
        cursor.execute(READ_ALL, {"user": user_id, "now": now})
        row = cursor.fetchone()
    return row[0] if row else None
