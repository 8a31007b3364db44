"""What the tests of retraction do: tell of an object, withdraw it, look at what is left."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from core.models import User
from notifications import events, retraction
from notifications.models import Event, InboxHead
from notifications.retraction import Retracted
from notifications.words import Lane
from tests import factories
from tests.factories import NOW, accept, submission

BEFORE, AFTER = NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)
LATER = AFTER + settings.LEASE


def tell(producer: User, *usernames: str, **fields: Any) -> Event:
    """One event about task:1, expanded."""
    (answer,) = accept(producer, submission(*usernames, **({"object": "task:1"} | fields)))
    factories.process()
    return Event.objects.get(pk=answer.id)


def retract(producer: User | None, about: str = "task:1", *, type: str | None = None) -> Retracted:
    return retraction.retract(about, producer_id=producer.pk if producer else None, type=type, now=AFTER)


def claim(now: datetime = AFTER) -> list[events.Claimed]:
    return [event for lane in Lane for event in events.claim(lane=lane, limit=100, now=now)]


def withdraw(now: datetime = AFTER) -> int:
    """Work on all that is due until it is done; how many chunks."""
    chunks = 0
    for event in claim(now):
        done = False
        while not done:
            done = retraction.work(event, now=now)
            chunks += 1
    return chunks


def states(*chosen: Event) -> list[str]:
    return [Event.objects.get(pk=event.pk).state for event in chosen]


def head(user: User) -> tuple[int, int, int]:
    own = InboxHead.objects.get(user=user)
    return own.head_seq, own.unread, own.unseen
