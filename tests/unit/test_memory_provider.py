"""The provider that keeps messages in memory."""

from collections.abc import Iterator

import pytest

from delivery.providers import memory
from notifications.values import Message, Outcome, Result
from tests.factories import NOW


@pytest.fixture(autouse=True)
def empty_outbox() -> Iterator[None]:
    memory.outbox.empty(clock=lambda: NOW)
    yield
    memory.outbox.empty()


def test_a_message_is_kept_when_its_outcome_is_asked_for() -> None:
    letters = [
        Message(key=f"key.{n}", address=f"{n}@example.com", subject="", text="", html="", trace_id="") for n in range(3)
    ]
    memory.outbox.answers["1@example.com"] = gone = Outcome(Result.GONE, code="moved")
    kept = Outcome(Result.SENT, code="kept")
    outcomes = memory.MemoryProvider.from_settings().send(letters)
    assert memory.outbox.kept == []
    assert next(outcomes) == kept
    assert memory.outbox.kept == [memory.Kept(NOW, letters[0], kept)]
    assert list(outcomes) == [gone, kept]
    assert memory.outbox.kept == [
        memory.Kept(NOW, letter, said) for letter, said in zip(letters, [kept, gone, kept], strict=True)
    ]


def test_an_emptied_outbox_is_a_new_one() -> None:
    memory.outbox.answers["alice@example.com"] = Outcome(Result.GONE)
    memory.outbox.empty()
    assert memory.outbox == memory.Outbox()
