"""A provider that is down is left alone: few calls, no attempts burnt, and everything goes out when it is back."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.conf import settings
from django.test import override_settings

from core.models import User
from delivery import dispatch
from delivery.providers.memory import MemoryProvider
from notifications import breakers
from notifications.models import Attempt, Breaker, Delivery, Type
from notifications.values import Outcome, Result
from notifications.words import Lane
from tests import factories
from tests.factories import NOW, accept, submission
from workers.virtual_clock import VirtualClock

pytestmark = pytest.mark.usefixtures("committed")

FIRST = "tests.integration.test_breakers.First"
SECOND = "tests.integration.test_breakers.Second"


class First(MemoryProvider):
    """A provider that answers what the test says; every call is counted."""

    calls: ClassVar[list[str]] = []
    answer: ClassVar[Outcome | None] = None  # None: sent

    def send(self, messages: Any) -> Iterator[Outcome]:
        for message in messages:
            type(self).calls.append(message.address)
            yield type(self).answer or Outcome(Result.SENT)


class Second(First):
    calls: ClassVar[list[str]] = []
    answer: ClassVar[Outcome | None] = None


AWAY = Outcome(Result.RETRY, code="unreachable", provider_away=True)
BUSY = Outcome(Result.RETRY, code="503")


@pytest.fixture
def first(committed: None) -> Iterator[type[First]]:
    Breaker.objects.all().delete()
    for kind in (First, Second):
        kind.calls.clear()
        kind.answer = None
    with override_settings(DELIVERY_CHANNELS={"email": settings.DELIVERY_CHANNELS["email"] | {"PROVIDER": FIRST}}):
        yield First
    Breaker.objects.all().delete()


@pytest.fixture
def second(first: type[First]) -> Iterator[type[Second]]:
    entry = settings.DELIVERY_CHANNELS["email"] | {"FALLBACKS": [SECOND]}
    with override_settings(DELIVERY_CHANNELS={"email": entry}):
        yield Second


def due(producer: User, count: int, **fields: Any) -> None:
    factories.users(count)
    accept(producer, submission(*[f"user{n}" for n in range(count)], **fields))
    factories.process()


def deliver(*, after: timedelta = timedelta(0)) -> int:
    return dispatch.deliver(channel="email", lane=Lane.NORMAL, clock=lambda: NOW + after)


def states() -> dict[str, int]:
    return dict(Counter(Delivery.objects.values_list("state", flat=True)))


@pytest.mark.parametrize("answer", [AWAY, BUSY])
def test_down_for_two_minutes_with_a_thousand_messages(producer: User, first: type[First], answer: Outcome) -> None:
    due(producer, 1000)
    first.answer = answer
    clock = VirtualClock(NOW)
    clock.advance("2 minutes")
    down = len(first.calls)
    assert states() == {"pending": 1000}
    assert down <= 20
    assert Attempt.objects.count() == down
    # What was not called has no attempt counted against it.
    assert Delivery.objects.filter(attempts=0).count() >= 1000 - down
    first.answer = None
    clock.advance("10 minutes")
    assert states() == {"sent": 1000}
    assert Counter(first.calls[down:]) == Counter({f"user{n}@example.com": 1 for n in range(1000)})
    assert Breaker.objects.count() == 0


def test_it_opens_after_so_many_calls_in_a_row_and_nothing_is_claimed(producer: User, first: type[First]) -> None:
    due(producer, 60)
    first.answer = BUSY
    deliver()
    row = Breaker.objects.get()
    assert (row.provider, row.state, row.trips, row.probe_at) == (FIRST, "open", 1, NOW + breakers.FIRST)
    before = len(first.calls), states(), Delivery.objects.filter(token__gt=0).count()
    assert deliver(after=timedelta(seconds=29)) == 0
    assert (len(first.calls), states(), Delivery.objects.filter(token__gt=0).count()) == before


def test_one_probe_and_each_failure_waits_longer(producer: User, first: type[First]) -> None:
    due(producer, 60)
    first.answer = AWAY
    for _ in range(breakers.THRESHOLD):
        Delivery.objects.filter(state="pending").update(due_at=NOW)
        deliver()
    at, waited = timedelta(0), []
    for _ in range(6):
        row = Breaker.objects.get()
        assert row.state == "open"
        assert row.probe_at
        waited.append((row.probe_at - NOW - at).total_seconds())
        at = row.probe_at - NOW
        first.calls.clear()
        Delivery.objects.filter(state="pending").update(due_at=NOW)
        deliver(after=at)
        assert len(first.calls) == 1
    assert waited == [30, 60, 120, 240, 300, 300]
    # The oldest was the probe each time, and has its attempts still.
    assert Delivery.objects.order_by("pk")[0].attempts == breakers.THRESHOLD
    assert states() == {"pending": 60}


def test_only_one_worker_probes(first: type[First]) -> None:
    Breaker.objects.create(provider=FIRST, state="open", failures=5, opened_at=NOW, probe_at=NOW, trips=1)
    choices = [breakers.choose([FIRST], now=NOW, probe_for=timedelta(seconds=90)) for _ in range(3)]
    assert choices == [breakers.Choice(FIRST, probing=True, clean=False), None, None]
    # It died. Another one may.
    later = NOW + timedelta(seconds=90)
    assert breakers.choose([FIRST], now=later, probe_for=timedelta(seconds=90)) == choices[0]


def test_a_probe_without_a_message_is_kept(producer: User, first: type[First]) -> None:
    Breaker.objects.create(provider=FIRST, state="open", failures=5, opened_at=NOW, probe_at=NOW, trips=1)
    assert deliver() == 0
    assert Breaker.objects.get().probe_at == NOW
    due(producer, 3)
    assert deliver() == 3
    assert (states(), Breaker.objects.count()) == ({"sent": 3}, 0)


def test_an_answer_in_between_starts_the_count_anew(producer: User, first: type[First]) -> None:
    choice = breakers.Choice(FIRST, probing=False, clean=True)
    for answered, streak in ((False, 4), (True, 4), (True, 1), (False, 3)):
        breakers.report(choice, answered=answered, streak=streak, detail="", now=NOW)
        assert Breaker.objects.get().state == "closed"
    breakers.report(choice, answered=False, streak=1, detail="", now=NOW)
    assert Breaker.objects.get().state == "open"


@pytest.mark.parametrize("result", [Result.FAILED, Result.GONE])
def test_a_bad_message_says_nothing_of_the_provider(producer: User, first: type[First], result: Result) -> None:
    due(producer, 20)
    first.answer = Outcome(result, code="550")
    deliver()
    assert (len(first.calls), Breaker.objects.count()) == (20, 0)


def test_another_provider_takes_over_at_once(producer: User, first: type[First], second: type[Second]) -> None:
    due(producer, 100)
    first.answer = AWAY
    deliver()
    assert states() == {"pending": breakers.THRESHOLD, "sent": 100 - breakers.THRESHOLD}
    assert (len(first.calls), len(second.calls)) == (breakers.THRESHOLD, 100 - breakers.THRESHOLD)
    VirtualClock(NOW).advance("1 minute")
    assert states() == {"sent": 100}


def test_it_does_not_take_over_what_may_have_been_sent(
    producer: User, first: type[First], second: type[Second]
) -> None:
    Type.objects.update(resend_unknown=False)
    try:
        due(producer, 20)
        first.answer = Outcome(Result.UNKNOWN, code="timeout")
        deliver()
    finally:
        Type.objects.update(resend_unknown=True)
    assert states() == {"unknown": breakers.THRESHOLD, "sent": 20 - breakers.THRESHOLD}
    assert set(first.calls) & set(second.calls) == set()
