"""
The drift audit: do the heads say what a recount of the lines gives?

They must, because the same statement changes both. This is how an operator can know it of their database.
"""

from typing import NamedTuple

from django.db import connection

# Unread: in the inbox, not archived, not deleted, not read, neither by itself nor by "mark all read".
_RECOUNT = """
SELECT h.user_id, h.unread, h.unseen,
    count(n.id) FILTER (WHERE n.read_at IS NULL) AS unread_lines,
    count(n.id) FILTER (WHERE n.seen_at IS NULL) AS unseen_lines
FROM notifications_inboxhead h
LEFT JOIN notifications_notification n ON n.user_id = h.user_id AND n.rev > h.read_watermark
    AND n.archived_at IS NULL AND n.deleted_at IS NULL
GROUP BY h.user_id
HAVING h.unread <> count(n.id) FILTER (WHERE n.read_at IS NULL)
    OR h.unseen <> count(n.id) FILTER (WHERE n.seen_at IS NULL)
"""


class Drift(NamedTuple):
    """A person whose head differs from their lines."""

    username: str
    unread: int
    unseen: int
    unread_lines: int
    unseen_lines: int


def find() -> list[Drift]:
    """Everybody whose counts have drifted, in one query from one snapshot."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT u.username, d.unread, d.unseen, d.unread_lines, d.unseen_lines "
            f"FROM ({_RECOUNT}) d JOIN core_user u ON u.id = d.user_id ORDER BY u.username"
        )
        return [Drift(*row) for row in cursor.fetchall()]


def fix() -> int:
    """
    Set drifted heads to what their lines give; how many. Safe to run twice.

    A head that changes meanwhile is left for the next run: what was counted is no longer what it has.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE notifications_inboxhead h SET unread = d.unread_lines, unseen = d.unseen_lines
            FROM (SELECT d.*, h.head_seq FROM ({_RECOUNT}) d JOIN notifications_inboxhead h USING (user_id)) d
            WHERE h.user_id = d.user_id AND h.head_seq = d.head_seq
            """
        )
        return int(cursor.rowcount)
