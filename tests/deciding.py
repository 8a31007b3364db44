"""What the tests of deciding do: choose for a person, send what is due, look at what became of it."""

import re
from datetime import datetime
from email.message import EmailMessage
from typing import Any

import msgspec

from core.models import User
from delivery import dispatch
from notifications import explanations, options, own_settings, preferences, reports
from notifications.models import Delivery, Event, Notification
from notifications.words import Lane, Value
from tests import factories
from tests.factories import NOW, accept, submission

NIGHT = {"days": [0, 1, 2, 3, 4, 5, 6], "start": "22:00", "end": "07:00"}
HOURLY, DAILY = {"email": {"every": "hour"}}, {"email": {"every": "day", "at": "18:00"}}
Row = tuple[str, str, datetime | None]


def choose(user: User, *, now: datetime = NOW, **fields: Any) -> None:
    """Change what a person chose, as PATCH /preferences does."""
    given = fields | {"version": preferences.of(user.pk).version}
    preferences.change(user.pk, msgspec.convert(given, options.PreferenceChange), now=now)


def set_(user: User, value: Value, *, now: datetime = NOW, **scope: str) -> None:
    """Choose for one category, type or topic, by e-mail."""
    own_settings.create(user.pk, own_settings.SettingBody(channel="email", value=value, **scope), now=now)


def tell(producer: User, *usernames: str, now: datetime = NOW, **fields: Any) -> Event:
    """An event, expanded."""
    (answer,) = accept(producer, submission(*usernames, **fields), now=now)
    factories.process(now=now)
    return Event.objects.get(pk=answer.id)


def tell_many(producer: User, username: str, *titles: str, now: datetime = NOW, **fields: Any) -> None:
    """An event for each title, in this order."""
    accept(producer, *[submission(username, title=title, **fields) for title in titles], now=now)
    factories.process(now=now)


def deliver(*, now: datetime = NOW) -> int:
    """Send what is due in every lane; how many deliveries were claimed."""
    return sum(dispatch.deliver(channel="email", lane=lane, clock=lambda: now) for lane in Lane)


def rows(**which: Any) -> list[Row]:
    """State, reason and time of deliveries of one notification, in the order of their notifications."""
    chosen = Delivery.objects.filter(notification__isnull=False, **which).order_by("notification")
    return list(chosen.values_list("state", "reason", "due_at"))


def carriers(**which: Any) -> list[Row]:
    """The same of the deliveries that carry digests, oldest first."""
    chosen = Delivery.objects.filter(notification=None, **which).order_by("pk")
    return list(chosen.values_list("state", "reason", "due_at"))


def carried(mail: EmailMessage) -> list[str]:
    """The titles in a digest, in their order. (Titles of these tests are one letter, or one letter and a number.)"""
    return re.findall(r"(?m)^\* ([A-Za-z]\d*)\b", words(mail))


def words(mail: EmailMessage) -> str:
    """The text part."""
    (text, *_) = mail.iter_parts()
    return str(text.get_content()).replace("\r\n", "\n")


def explain(event: Event, username: str = "alice") -> explanations.Explanation:
    return explanations.explain(event, username=username)


def reasons(event: Event, username: str = "alice") -> list[str]:
    """Every Reason that the explanation shows, in its order."""
    return [moment["reason"] for moment in explain(event, username)["timeline"] if moment["reason"]]


def counts(event: Event) -> dict[str, int]:
    """The mails of an event by state, as GET /events/{id} counts them."""
    return dict(reports.report(event)["channels"].get("email", {}))


def line(event: Event, user: User) -> Notification:
    return Notification.objects.get(event=event, user=user)
