"""What tests are about: people, submissions, accepted events, processed ones."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from knox.models import AuthToken

from core.models import User
from notifications import events, recipients
from notifications.models import Event, Notification
from notifications.submission import Submission
from notifications.words import Lane
from workers import pipeline, planning

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def user(name: str, **fields: Any) -> User:
    """A person with a mail address and the password `name`."""
    made = User(username=name, email=fields.pop("email", f"{name}@example.com"), **fields)
    made.set_password(name)
    made.save()
    return made


def users(count: int, prefix: str = "user") -> list[User]:
    """Many people who cannot sign in."""
    return User.objects.bulk_create(
        [
            User(username=f"{prefix}{number}", email=f"{prefix}{number}@example.com", password="!")
            for number in range(count)
        ]
    )


def token(user: User) -> str:
    return str(AuthToken.objects.create(user=user)[1])


def submission(*usernames: str, **fields: Any) -> Submission:
    """A `task.assigned` for these people, or for the `recipients` given."""
    body = {"type": "task.assigned", "recipients": {"users": list(usernames)}, "title": "Water the plants"} | fields
    return msgspec.convert(body, Submission)


def accept(producer: User, *submissions: Submission, keys: list[str | None] | None = None, now: datetime = NOW) -> Any:
    """Accept events; their answers."""
    return events.accept(
        submissions,
        producer_id=producer.pk,
        keys=keys or [None] * len(submissions),
        trace_id="trace-of-the-test",
        now=now,
    )


def process(*, now: datetime = NOW) -> int:
    """Run every lane until nothing is due; the number of new lines."""
    lines = 0
    while added := sum(pipeline.process_events(lane=lane, clock=lambda: now) for lane in Lane):
        lines += added
    return lines


def persist(chunk: recipients.Chunk, *, now: datetime = NOW) -> int:
    """Write one chunk as a worker does; the number of new lines."""
    return pipeline.persist(chunk, planner=planning.Planner(), now=now)


def left_out(line: Notification) -> dict[str, str]:
    """The channels that were decided against, each with its Reason."""
    return {channel: one["reason"] for channel, one in line.decisions.items() if one["value"] == "off"}


def forget_events() -> None:
    """Delete all events, with what hangs on them."""
    Notification.objects.all().delete()
    Event.objects.all().delete()
