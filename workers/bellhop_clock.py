"""
The virtual clock with what a test needs beside it: a producer, people's inboxes, and the messages that went out.

Each call does what the API does, at the clock's `now`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.test import override_settings

from core import bodies, logs
from core.errors import AppError
from core.models import User
from delivery.providers import memory
from notifications import changes, events, explanations, inbox, options, preferences, shapes
from notifications.models import Event
from notifications.submission import Submission
from notifications.values import Outcome, Result
from workers.virtual_clock import VirtualClock

START = datetime(2026, 1, 5, 9, tzinfo=UTC)  # a Monday
PRODUCER = "bellhop-clock"


@dataclass(frozen=True, slots=True)
class Sent:
    """One try to send a message: when, where to, what it says, and what the provider answered."""

    at: datetime
    to: str
    subject: str
    text: str
    html: str
    result: Result


class BellhopClock(VirtualClock):
    """The fixture `bellhop_clock`. Providers are replaced while it is in use: see running()."""

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["BellhopClock"]:
        """A clock that stands at START, and every configured channel's messages kept in memory instead of sent."""
        provider = f"{memory.MemoryProvider.__module__}.{memory.MemoryProvider.__qualname__}"
        channels = {name: {**entry, "PROVIDER": provider} for name, entry in settings.DELIVERY_CHANNELS.items()}
        clock = cls(START)
        memory.outbox.empty(clock=clock)
        with override_settings(DELIVERY_CHANNELS=channels):
            yield clock
        memory.outbox.empty()

    def send(
        self, type: str, *, users: Sequence[str] = (), topic: str | None = None, all: bool = False, **fields: Any
    ) -> UUID:
        """
        Accept an event as POST /events does, and run what is due: the workers have nothing else to do. Its id.
        Raises Invalid as the API would answer.
        """
        audience = {name: value for name, value in (("users", list(users)), ("topic", topic), ("all", all)) if value}
        (answer,) = events.accept(
            [bodies.read(Submission, {"type": type, "recipients": audience} | fields)],
            producer_id=self._producer(),
            keys=[None],
            trace_id=logs.new_trace_id(),
            now=self.now,
        )
        if isinstance(answer, AppError):
            raise answer
        self.run_due()
        return answer.id

    def cancel(self, event: UUID) -> int:
        """Cancel an event as its producer does; how many deliveries that stopped."""
        return events.cancel(event, now=self.now)

    def act(self, username: str, action: str, *, ids: Sequence[str] | None = None) -> int:
        """
        One of inbox.ACTIONS ("read", "archive", ...) by a person on these lines, or on all. How many changed.
        """
        numbers = None if ids is None else [int(id) for id in ids]
        return changes.apply(_user_id(username), action=action, ids=numbers, now=self.now).changed

    def prefer(self, username: str, **fields: Any) -> None:
        """
        Change what a person chose, as PATCH /preferences does, and run what is decided anew because of it.
        Raises Invalid.
        """
        user_id = _user_id(username)
        given = {"version": preferences.of(user_id).version} | fields
        preferences.change(user_id, bodies.read(options.PreferenceChange, given), now=self.now)
        self.run_due()

    def inbox(self, username: str) -> list[dict[str, Any]]:
        """A person's lines, newest first, as GET /notifications shows them; times are datetimes."""
        return [shapes.as_json(row) for row in inbox.visible(_user_id(username)).order_by("-pk")]

    def explain(self, event: UUID, username: str) -> explanations.Explanation:
        """What became of an event for a person, as GET /events/{id}/explain answers."""
        return explanations.explain(Event.objects.get(id=event), username=username)

    @property
    def sent(self) -> list[Sent]:
        """Every try to send a message, in order, whatever was answered."""
        return [
            Sent(
                at=one.at,
                to=one.message.address,
                subject=one.message.subject,
                text=one.message.text,
                html=one.message.html,
                result=one.outcome.result,
            )
            for one in memory.outbox.kept
        ]

    def answer(self, address: str, outcome: Outcome | Result) -> None:
        """From now on this is what the provider says to every message for this address."""
        memory.outbox.answers[address] = Outcome(outcome) if isinstance(outcome, Result) else outcome

    def _producer(self) -> int:
        """Whose events they are: somebody who is in nobody's audience."""
        made, _ = User.objects.get_or_create(username=PRODUCER, defaults={"is_producer": True, "is_active": False})
        return made.pk


def _user_id(username: str) -> int:
    return User.objects.only("pk").get(username=username).pk
