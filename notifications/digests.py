"""
Digests: several notifications of one category that become one message to one address.

An open window takes items; its delivery, whose `due_at` is the window's end, closes it at its claim. Both
happen under the window's row lock, so that an item is in exactly one digest: who comes while it is being
closed opens the next one. docs/subsystems/deciding.md tells when windows end.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from notifications import sql
from notifications.ledger import Item


class Gathered(NamedTuple):
    """A delivery that goes into the digest that is open for its person, address, category and key."""

    id: int
    token: int
    user_id: int
    channel: str
    address: str
    category: str
    key: str
    reason: str
    rule: str
    due_at: datetime  # the window ends then, if not before


def gather(items: Sequence[Gathered], *, now: datetime) -> set[int]:
    """
    Put deliveries into their digests, one statement. The ids that were put; of the others the lease was lost.

    Safe to run twice and at once: a delivery goes in once, by compare-and-set on its token.
    """
    if not items:
        return set()
    columns = dict(zip(Gathered._fields, (list(column) for column in zip(*items, strict=True)), strict=True))
    with connection.cursor() as cursor:
        cursor.execute(sql.GATHER, columns | {"now": now})
        return {row[0] for row in cursor.fetchall()}


class InDigest(NamedTuple):
    """An item of a closed digest: its own delivery, and what it says."""

    digest_id: int
    delivery_id: int
    item: Item


def items(digest_ids: Sequence[int]) -> list[InDigest]:
    """What is in these digests, oldest first, one query. Items that were left out before stay out."""
    with connection.cursor() as cursor:
        cursor.execute(sql.DIGEST_ITEMS, {"digests": list(digest_ids)})
        return [InDigest(digest, delivery, Item(*rest)) for digest, delivery, *rest in cursor.fetchall()]


# Only the holder of the digest's delivery says so: another may have sent the item by now.
LEAVE_OUT = """
UPDATE notifications_delivery d SET state = v.state, reason = v.reason, rule = v.rule, ended_at = %(now)s
FROM unnest(%(delivery_id)s::bigint[], %(token)s::int[], %(state)s::text[], %(reason)s::text[], %(rule)s::text[])
    AS v(id, token, state, reason, rule)
WHERE d.id = v.id AND d.state = 'digested' AND EXISTS (
    SELECT FROM notifications_delivery c
    WHERE c.digest_id = d.digest_id AND c.notification_id IS NULL AND c.token = v.token AND c.state = 'pending')
"""


class LeftOut(NamedTuple):
    """An item that is no longer wanted, and why."""

    delivery_id: int
    token: int  # of the delivery that carries the digest
    state: str
    reason: str
    rule: str


def leave_out(items_: Sequence[LeftOut], *, now: datetime) -> None:
    """
    End items of a digest that is about to go without them, one statement. Safe to run twice; whoever lost the
    digest's delivery changes nothing.
    """
    if items_:
        columns = dict(zip(LeftOut._fields, (list(column) for column in zip(*items_, strict=True)), strict=True))
        with connection.cursor() as cursor:
            cursor.execute(LEAVE_OUT, columns | {"now": now})
