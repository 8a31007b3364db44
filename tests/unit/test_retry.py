"""What a delivery becomes after each answer of a provider."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.retry import BASE, LONGEST, SHORTEST, Next, after, wait
from notifications.values import Outcome, Result
from notifications.words import DeliveryState, Reason

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
AGAIN = Next(DeliveryState.PENDING, Reason.RETRYING, NOW + timedelta(seconds=5))


def decide(
    result: Result,
    *,
    attempts: int = 1,
    resend_unknown: bool = True,
    expires_at: datetime | None = None,
    retry_after: timedelta | None = None,
    chance: float = 0.5,
) -> Next:
    return after(
        Outcome(result, retry_after=retry_after),
        attempts=attempts,
        max_attempts=8,
        resend_unknown=resend_unknown,
        expires_at=expires_at,
        now=NOW,
        chance=chance,
    )


@pytest.mark.parametrize(
    ("result", "first", "last", "first_when_never_twice", "last_when_never_twice"),
    [
        (Result.SENT, "sent", "sent", "sent", "sent"),
        (Result.GONE, "failed", "failed", "failed", "failed"),
        (Result.FAILED, "failed", "failed", "failed", "failed"),
        (Result.RETRY, "again", "exhausted", "again", "exhausted"),
        (Result.THROTTLED, "again", "exhausted", "again", "exhausted"),
        (Result.CONFIG, "again", "exhausted", "again", "exhausted"),
        (Result.UNKNOWN, "again", "exhausted unknown", "unknown", "unknown"),
    ],
)
def test_every_result(
    result: Result, first: str, last: str, first_when_never_twice: str, last_when_never_twice: str
) -> None:
    becomes = {
        "sent": Next(DeliveryState.SENT),
        "failed": Next(DeliveryState.FAILED),
        "again": AGAIN,
        "unknown": Next(DeliveryState.UNKNOWN),
        "exhausted": Next(DeliveryState.FAILED, Reason.ATTEMPTS_EXHAUSTED),
        "exhausted unknown": Next(DeliveryState.UNKNOWN, Reason.ATTEMPTS_EXHAUSTED),
    }
    assert decide(result) == becomes[first]
    assert decide(result, attempts=8) == becomes[last]
    assert decide(result, resend_unknown=False) == becomes[first_when_never_twice]
    assert decide(result, resend_unknown=False, attempts=8) == becomes[last_when_never_twice]


def test_the_table_above_has_every_result() -> None:
    assert len(Result) == 7


@pytest.mark.parametrize(
    ("attempts", "chance", "retry_after", "seconds"),
    [
        (1, 0.0, None, 1),
        (1, 0.5, None, 5),
        (2, 0.5, None, 10),
        (4, 0.5, None, 40),
        (9, 0.5, None, 1280),
        (10, 0.5, None, 1800),
        (1000, 0.5, None, 1800),
        (1, 0.5, 60, 60),
        (9, 0.5, 60, 1280),
        (1, 0.9, 21600, 21600),
    ],
)
def test_how_long_to_wait(attempts: int, chance: float, retry_after: int | None, seconds: int) -> None:
    asked = None if retry_after is None else timedelta(seconds=retry_after)
    assert wait(attempts=attempts, retry_after=asked, chance=chance) == timedelta(seconds=seconds)


@given(
    attempts=st.integers(1, 10_000),
    chance=st.floats(0, 1, exclude_max=True),
    retry_after=st.none() | st.timedeltas(timedelta(0), timedelta(days=2)),
)
def test_the_wait_stays_within_its_bounds(attempts: int, chance: float, retry_after: timedelta | None) -> None:
    waited = wait(attempts=attempts, retry_after=retry_after, chance=chance)
    floor = max(SHORTEST, retry_after or SHORTEST)
    assert floor <= waited <= max(floor, min(LONGEST, BASE * 2 ** min(attempts - 1, 20)))


@pytest.mark.parametrize(
    ("expires_in", "becomes"),
    [
        (5.000001, AGAIN),
        (5, Next(DeliveryState.FAILED, Reason.EXPIRED)),
        (1, Next(DeliveryState.FAILED, Reason.EXPIRED)),
    ],
)
def test_no_try_after_the_event_has_expired(expires_in: float, becomes: Next) -> None:
    assert decide(Result.RETRY, expires_at=NOW + timedelta(seconds=expires_in)) == becomes


def test_a_provider_that_asks_for_longer_than_the_event_lives_ends_it() -> None:
    ended = decide(Result.THROTTLED, retry_after=timedelta(hours=2), expires_at=NOW + timedelta(hours=1))
    assert ended == Next(DeliveryState.FAILED, Reason.EXPIRED)


def test_what_was_sent_stays_sent_even_past_its_expiry() -> None:
    assert decide(Result.SENT, attempts=99, expires_at=NOW) == Next(DeliveryState.SENT)
