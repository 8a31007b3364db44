"""
Webhooks: other systems are told how deliveries end. The only writer of Webhook and WebhookCall.

The sweep looks at what ended and writes a call for each webhook that wants to know; the ledger knows nothing of
them. A call is claimed with a lease and a token, like a delivery. docs/subsystems/delivery.md
"""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal, NamedTuple

import msgspec
from django.db import connection, transaction
from django.db.models import QuerySet
from msgspec import UNSET, Meta, UnsetType

from core import logs
from core.errors import NotFound
from notifications import redaction
from notifications.models import Webhook, WebhookCall
from notifications.models.webhook import CallState

log = logs.logger(__name__)

# An end is written with the time before its commit, and on other machines by other clocks: how late it may turn up.
OVERLAP = timedelta(seconds=30)
STEP = timedelta(seconds=10)  # a position moves by so much at least, so that idle webhooks are rarely written
GATHERED = 1000  # ends at once, for each webhook
SECRET_PREFIX = "whsec_"  # noqa: S105 - of the Standard Webhooks specification, and not a secret

# OFFSET 0 keeps the look for a call a look into its unique index, row by row: as a join, planned before the growing
# table of calls is analysed, 20,000 new calls took it from 14 ms to 4 s.
_GATHER = """
WITH hook AS MATERIALIZED (
    SELECT id, kinds, since, position FROM notifications_webhook WHERE enabled FOR UPDATE SKIP LOCKED),
ended AS MATERIALIZED (
    SELECT h.id AS webhook_id, d.* FROM hook h CROSS JOIN LATERAL (
        SELECT d.id AS delivery_id, d.state, d.ended_at FROM notifications_delivery d
        WHERE d.ended_at >= greatest(h.since, h.position - %(overlap)s::interval) AND d.state = ANY(h.kinds)
            AND NOT EXISTS (SELECT FROM notifications_webhookcall c
                WHERE c.delivery_id = d.id AND c.webhook_id = h.id AND c.kind = d.state OFFSET 0)
        ORDER BY d.ended_at, d.id LIMIT %(limit)s) d),
moved AS (
    UPDATE notifications_webhook w SET position = v.position
    FROM (SELECT h.id, CASE WHEN count(e.webhook_id) < %(limit)s THEN %(now)s
            ELSE least(max(e.ended_at), %(now)s) END AS position
          FROM hook h LEFT JOIN ended e ON e.webhook_id = h.id GROUP BY h.id) v
    WHERE w.id = v.id AND v.position >= w.position + %(step)s::interval),
added AS (
    INSERT INTO notifications_webhookcall
        (webhook_id, delivery_id, kind, happened_at, state, due_at, token, attempts, created_at)
    SELECT webhook_id, delivery_id, state, ended_at, 'pending', %(now)s, 0, 0, %(now)s FROM ended
    ON CONFLICT (delivery_id, webhook_id, kind) DO NOTHING RETURNING 1)
SELECT EXISTS (SELECT FROM added) OR EXISTS (
    SELECT FROM notifications_webhook w JOIN notifications_webhookcall c ON c.webhook_id = w.id
    WHERE w.busy_until <= %(now)s AND c.due_at <= %(now)s)
"""

# One worker at a time for a webhook: a receiver that is slow holds up one, and gets so many calls at once and no more.
_CLAIM = """
WITH free AS MATERIALIZED (
    SELECT id FROM notifications_webhook WHERE enabled AND busy_until <= %(now)s FOR UPDATE SKIP LOCKED),
due AS MATERIALIZED (
    SELECT c.id, c.webhook_id FROM free CROSS JOIN LATERAL (
        SELECT id, webhook_id FROM notifications_webhookcall WHERE webhook_id = free.id AND due_at <= %(now)s
        ORDER BY due_at, id LIMIT %(each)s FOR UPDATE SKIP LOCKED) c LIMIT %(limit)s),
held AS (
    UPDATE notifications_webhook SET busy_until = %(until)s WHERE id IN (SELECT webhook_id FROM due)
    RETURNING id, url, secret)
UPDATE notifications_webhookcall c SET due_at = %(until)s, token = c.token + 1, attempts = c.attempts + 1
FROM due JOIN held ON held.id = due.webhook_id
WHERE c.id = due.id
RETURNING c.id, c.token, c.attempts, c.kind, c.delivery_id, c.happened_at, held.id, held.url, held.secret
"""

_RECORD = """
WITH given AS (
    SELECT * FROM unnest(%(ids)s::bigint[], %(tokens)s::int[], %(states)s::text[], %(due)s::timestamptz[],
        %(codes)s::text[], %(details)s::text[]) AS v(id, token, state, due_at, code, detail)),
freed AS (
    UPDATE notifications_webhook SET busy_until = %(now)s WHERE id = ANY(%(webhooks)s) AND busy_until = %(until)s)
UPDATE notifications_webhookcall c
SET state = v.state, due_at = v.due_at, code = v.code, detail = v.detail,
    ended_at = CASE WHEN v.state <> 'pending' THEN %(now)s::timestamptz END
FROM given v WHERE c.id = v.id AND c.token = v.token AND c.state = 'pending'
RETURNING c.id
"""


def gather(*, now: datetime) -> bool:
    """
    Write a call for every end that a webhook wants to know, one statement. Whether any call is due.

    Safe to run twice and at once: an end is one call for a webhook.
    """
    with connection.cursor() as cursor:
        cursor.execute(_GATHER, {"overlap": _seconds(OVERLAP), "step": _seconds(STEP), "limit": GATHERED, "now": now})
        return bool(cursor.fetchone()[0])


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds()} seconds"


class Claimed(NamedTuple):
    """A call in a worker's hands."""

    id: int
    token: int
    attempts: int
    kind: str
    delivery_id: int
    happened_at: datetime
    webhook_id: int
    url: str
    secret: str

    def __repr__(self) -> str:
        return f"<call {self.id} of webhook {self.webhook_id}>"


def claim(*, limit: int, each: int, until: datetime, now: datetime) -> list[Claimed]:
    """Take up to `limit` due calls until `until`, `each` of a webhook. Safe at once: a webhook is in one hand."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"limit": limit, "each": each, "until": until, "now": now})
        return sorted(Claimed(*row) for row in cursor.fetchall())


class Verdict(NamedTuple):
    """What a call becomes; `due_at` only while it stays open."""

    state: CallState
    due_at: datetime | None
    code: str
    detail: str
    gone: bool = False  # the receiver wants no more


def record(verdicts: Sequence[tuple[Claimed, Verdict]], *, until: datetime, now: datetime) -> set[int]:
    """
    Write what became of the calls that were claimed `until`. The ids written; of the others the lease was lost.

    A webhook whose receiver is gone is switched off.
    """
    if not verdicts:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            _RECORD,
            {
                "ids": [call.id for call, _ in verdicts],
                "tokens": [call.token for call, _ in verdicts],
                "states": [verdict.state for _, verdict in verdicts],
                "due": [verdict.due_at for _, verdict in verdicts],
                "codes": [verdict.code[:100] for _, verdict in verdicts],
                "details": [redaction.redact(verdict.detail).replace("\0", "")[:500] for _, verdict in verdicts],
                "webhooks": sorted({call.webhook_id for call, _ in verdicts}),
                "until": until,
                "now": now,
            },
        )
        written = {row[0] for row in cursor.fetchall()}
    for id in sorted({call.webhook_id for call, verdict in verdicts if verdict.gone}):
        log.warning("webhooks.gone", webhook=id)
        _switch_off(id, code="gone", now=now)
    return written


def _switch_off(id: int, *, code: str, now: datetime) -> None:
    """No more calls. Those that are open end, so that none waits for ever."""
    with transaction.atomic():
        Webhook.objects.filter(pk=id).update(enabled=False)
        WebhookCall.objects.filter(webhook=id, due_at__isnull=False).update(
            state=CallState.FAILED, due_at=None, ended_at=now, code=code
        )


# --- By hand --------------------------------------------------------------------------------------------------

# No user and password: they would be shown, and the signature says who calls.
Url = Annotated[
    str,
    Meta(
        max_length=2000,
        pattern=r"^https://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?(/[!-\"$-~]*)?$(?!\n)",
        examples=["https://example.com/hooks/bellhop"],
    ),
]
Kind = Literal["sent", "failed", "unknown", "suppressed", "cancelled", "digested"]
Kinds = Annotated[list[Kind], Meta(min_length=1, max_length=6)]


class WebhookBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A URL, and the states of deliveries that it is told."""

    url: Url
    kinds: Kinds = msgspec.field(default_factory=lambda: ["sent", "failed", "unknown"])


class WebhookPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What changes. Switched off: open calls end. Switched on again: told is what ends from then on."""

    url: Url | UnsetType = UNSET
    kinds: Kinds | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


def rows() -> QuerySet[Webhook]:
    """All webhooks, without their secrets."""
    return Webhook.objects.defer("secret")


def get(id: int) -> Webhook:
    """One webhook. Raises NotFound."""
    row = rows().filter(pk=id).first()
    if row is None:
        raise NotFound
    return row


def calls(id: int) -> QuerySet[WebhookCall]:
    """The calls of a webhook. Raises NotFound."""
    return WebhookCall.objects.filter(webhook=get(id))


def create(given: WebhookBody, *, now: datetime) -> Webhook:
    """A new webhook, with a secret of 32 random bytes: the only answer that has it."""
    return Webhook.objects.create(
        url=given.url,
        kinds=sorted(set(given.kinds)),
        secret=SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode(),
        created_at=now,
        since=now,
        position=now,
        busy_until=now,
    )


def change(id: int, given: WebhookPatch, *, now: datetime) -> Webhook:
    """Change a webhook; see WebhookPatch. Raises NotFound."""
    fields = {name: value for name, value in msgspec.structs.asdict(given).items() if value is not UNSET}
    if "kinds" in fields:
        fields["kinds"] = sorted(set(fields["kinds"]))
    with transaction.atomic():
        row = rows().select_for_update().filter(pk=id).first()
        if row is None:
            raise NotFound
        if fields.get("enabled") and not row.enabled:
            fields |= {"since": now, "position": now}
        if fields.get("enabled") is False:
            _switch_off(id, code="switched_off", now=now)
        if fields:
            rows().filter(pk=id).update(**fields)
    return get(id)


def delete(id: int) -> None:
    """Forget a webhook and its calls. Raises NotFound."""
    if not Webhook.objects.filter(pk=id).delete()[0]:
        raise NotFound
