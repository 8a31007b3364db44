"""
"Did Alice get it, and if not, why?": the way of one event to one person, from the rows it left.

Everything that was decided stands on a row with its Reason, so this only reads and puts in order.
"""

from datetime import datetime
from typing import TypedDict

from core.models import User
from notifications import redaction
from notifications.models import Attempt, Delivery, Event, Notification, ReadMark
from notifications.words import IN_APP, DeliveryState, EventState, Reason, Value


class Moment(TypedDict):
    """One thing that was decided, happened or is going to."""

    at: datetime
    what: str
    channel: str
    reason: str
    rule: str
    detail: str


class Explanation(TypedDict):
    """The short answer, and everything it rests on, oldest first."""

    event: str
    user: str
    answer: str
    timeline: list[Moment]


def explain(event: Event, *, username: str) -> Explanation:
    """What became of an event for one person. At most six queries; changes nothing."""
    line = Notification.objects.filter(event=event, user__username=username).select_related("event").first()
    if line and line.rev is not None:
        mark = ReadMark.objects.filter(user_id=line.user_id, seq__gte=line.rev).order_by("seq").first()
        if mark:  # "mark all read" stands beside the row, not in it
            line.read_at, line.seen_at = line.read_at or mark.at, line.seen_at or mark.at
    deliveries = list(Delivery.objects.filter(notification=line).order_by("id")) if line else []
    if gathered := [delivery.digest_id for delivery in deliveries if delivery.digest_id]:
        deliveries += Delivery.objects.filter(digest__in=gathered, notification=None).order_by("id")
    attempts = list(Attempt.objects.filter(delivery__in=deliveries).order_by("started_at")) if deliveries else []
    timeline = [_moment("accepted", at=event.accepted_at, detail=f"lane {event.lane}, priority {event.priority}")]
    timeline += _of_line(line) if line else []
    timeline += _of_deliveries(deliveries, attempts)
    timeline.sort(key=lambda moment: moment["at"])
    return Explanation(
        event=str(event.id),
        user=username,
        answer=_of_event(event, username) if line is None else _answer(line, _telling(deliveries)),
        timeline=timeline,
    )


def _moment(
    what: str, *, at: datetime, channel: str = "", reason: str = "", rule: str = "", detail: str = ""
) -> Moment:
    return Moment(at=at, what=what, channel=channel, reason=reason, rule=rule, detail=detail)


def _of_event(event: Event, username: str) -> str:
    """Why somebody has no line."""
    if event.state in (EventState.RETRACTING, EventState.RETRACTED):
        return f"No: the event was withdrawn before it reached anybody ({Reason.RETRACTED})."
    if event.state == EventState.CANCELLED:
        return f"No: the event was cancelled before it reached anybody new ({event.error or Reason.CANCELLED})."
    if event.state == EventState.FAILED:
        return f"No: the event failed ({event.error})."
    if username in event.unknown_users or not User.objects.filter(username=username).exists():
        return f"No: there is no active user {username!r}."
    if event.state in (EventState.ACCEPTED, EventState.PROCESSING):
        trouble = f" The last try failed: {event.error}" if event.error else ""
        return f"Not yet: the event is {event.state}, and due at {event.due_at:%Y-%m-%dT%H:%M:%SZ}.{trouble}"
    return f"No: {username!r} was not in the audience when the event was processed."


def _of_line(line: Notification) -> list[Moment]:
    in_inbox = line.rev is not None
    moments = [_moment("created", at=line.created_at, channel=IN_APP if in_inbox else "")]
    moments += [
        _moment(
            f"decided: {one['value']}",
            at=line.created_at,
            channel=channel,
            reason=one.get("reason", ""),
            rule=one.get("rule", ""),
        )
        for channel, one in line.decisions.items()
    ]
    moments += [
        _moment(what, at=at, channel=IN_APP)
        for what, at in (
            ("seen", line.seen_at),
            ("read", line.read_at),
            ("archived", line.archived_at),
            (_gone(line), line.deleted_at),
        )
        if at
    ]
    return moments


def _gone(line: Notification) -> str:
    """Who took a line away: its producer, or the person."""
    retracted_at = line.event.retracted_at
    return "withdrawn" if retracted_at and line.deleted_at and line.deleted_at >= retracted_at else "deleted"


def _of_deliveries(deliveries: list[Delivery], attempts: list[Attempt]) -> list[Moment]:
    by_id = {delivery.pk: delivery for delivery in deliveries}
    moments = [
        _moment(
            "planned" if d.notification_id else "digest opened",
            at=d.created_at,
            channel=d.channel,
            detail=f"to {redaction.mask(d.address)}",
        )
        for d in deliveries
    ]
    moments += [
        _moment(
            f"tried: {attempt.result}",
            at=attempt.ended_at,
            channel=by_id[attempt.delivery_id].channel,
            detail=" ".join(part for part in (attempt.code, attempt.detail) if part),
        )
        for attempt in attempts
    ]
    for delivery in deliveries:
        doubt = f"{delivery.lost_claims} worker(s) died with it; it may have gone more than once"
        moments.append(
            _moment(
                _standing(delivery),
                at=delivery.due_at or delivery.ended_at or delivery.created_at,
                channel=delivery.channel,
                reason=delivery.reason,
                rule=delivery.rule,
                detail=doubt if delivery.lost_claims else "",
            )
        )
    return moments


def _telling(deliveries: list[Delivery]) -> list[Delivery]:
    """Without digests that went, or will go, without this."""
    inside = {delivery.digest_id for delivery in deliveries if delivery.state == DeliveryState.DIGESTED}
    return [delivery for delivery in deliveries if delivery.notification_id or delivery.digest_id in inside]


def _answer(line: Notification, deliveries: list[Delivery]) -> str:
    parts = []
    if line.rev is not None:
        done = "read" if line.read_at else "seen" if line.seen_at else "not seen yet"
        gone = f", {_gone(line)} at {line.deleted_at:%Y-%m-%dT%H:%M:%SZ}" if line.deleted_at else ""
        parts.append(f"in the inbox since {line.created_at:%Y-%m-%dT%H:%M:%SZ}, {done}{gone}")
    for delivery in deliveries:
        why = f" ({delivery.reason})" if delivery.reason else ""
        when = f", next at {delivery.due_at:%Y-%m-%dT%H:%M:%SZ}" if delivery.due_at else ""
        name = delivery.channel if delivery.notification_id else f"{delivery.channel} digest"
        if delivery.in_flight:  # its due_at is the end of the lease, and says nothing of the mail
            parts.append(f"{name} being sent")
        else:
            parts.append(f"{name} {delivery.state}{why}{when}")
    parts += [
        f"no {channel} ({one['reason']}, by {one['rule']})"
        for channel, one in line.decisions.items()
        if one["value"] == Value.OFF
    ]
    reached = line.rev is not None or any(d.state == DeliveryState.SENT for d in deliveries)
    return f"{'Yes' if reached else 'No'}: {'; '.join(parts)}."


def _standing(delivery: Delivery) -> str:
    if delivery.in_flight:
        return "being sent, until"
    return "waiting" if delivery.due_at else delivery.state
