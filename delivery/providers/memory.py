"""
Memory: no message leaves the process. For tests: what was given is kept in `outbox`, which answers as it is told.

docs/how-to/test-with-the-virtual-clock.md
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from notifications.values import Message, Outcome, Result


def _real_time() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Kept:
    """A message that was given to the provider, when, and what it answered."""

    at: datetime
    message: Message
    outcome: Outcome


@dataclass(slots=True)
class Outbox:
    """All messages in the order in which they came; and, by address, the answers that are not simply SENT."""

    kept: list[Kept] = field(default_factory=list)
    answers: dict[str, Outcome] = field(default_factory=dict)
    clock: Callable[[], datetime] = _real_time

    def empty(self, *, clock: Callable[[], datetime] = _real_time) -> None:
        """Forget messages and answers. From now on this clock says when a message came."""
        self.kept, self.answers, self.clock = [], {}, clock

    def put(self, message: Message) -> Outcome:
        """Keep a message, and answer it."""
        outcome = self.answers.get(message.address, Outcome(Result.SENT, code="kept"))
        self.kept.append(Kept(self.clock(), message, outcome))
        return outcome


outbox = Outbox()


class MemoryProvider:
    """Carries the messages of any channel into this process's outbox."""

    timeout = 1.0
    at_once = 1

    @classmethod
    def from_settings(cls) -> "MemoryProvider":
        return cls()

    def send(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        """See delivery.channels.base.Provider.send."""
        for message in messages:
            yield outbox.put(message)
