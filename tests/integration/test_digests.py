"""Digests: what becomes one message, when it goes, and what is no longer in it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from core.models import User
from notifications import changes, digests, events, ledger, retraction
from notifications.models import Attempt, Category, Delivery, Digest, Event, Topic, Type
from notifications.words import DeliveryState, Lane, Value
from tests import factories, mail
from tests.deciding import (
    DAILY,
    HOURLY,
    NIGHT,
    carried,
    carriers,
    choose,
    counts,
    deliver,
    explain,
    line,
    reasons,
    rows,
    set_,
    tell,
    tell_many,
    words,
)
from tests.factories import NOW

pytestmark = pytest.mark.usefixtures("committed")

EVENING = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
TOMORROW = EVENING + timedelta(days=1)
INSIDE = ("digested", "digest", None)


@pytest.fixture
def daily(alice: User) -> User:
    """Alice, who wants her mail at six in the evening."""
    choose(alice, digests=DAILY)
    return alice


@pytest.fixture
def travel(committed: None) -> Iterator[None]:
    """Another category."""
    Category.objects.create(key="travel", name="Travel")
    yield
    Digest.objects.all().delete()
    factories.forget_events()
    Category.objects.filter(key="travel").delete()


def windows() -> list[tuple[str, str, str, str, int]]:
    """Person, channel, category, key and how many items, of every digest."""
    found = Digest.objects.order_by("user", "channel", "category", "key")
    return [
        (g.user.username, g.channel, g.category_id, g.key, Delivery.objects.filter(digest=g, state="digested").count())
        for g in found.select_related("user")
    ]


@pytest.mark.usefixtures("travel")
def test_a_window_is_of_one_person_category_and_key(
    producer: User, daily: User, bob: User, server: mail.MailServer
) -> None:
    choose(bob, digests=DAILY)
    tell_many(producer, "alice", "a", "b")
    tell(producer, "alice", "bob", title="c")
    tell(producer, "alice", title="d", category="travel")
    tell(producer, "alice", title="e", digest_key="board 1")
    tell(producer, "alice", title="f", digest_key="board 1")
    assert windows() == [
        ("alice", "email", "tasks", "", 3),
        ("alice", "email", "tasks", "board 1", 2),
        ("alice", "email", "travel", "", 1),
        ("bob", "email", "tasks", "", 1),
    ]
    assert carriers() == [("pending", "digest", EVENING)] * 4
    assert set(Delivery.objects.filter(notification=None).values_list("lane", "address")) == {
        ("digest", "alice@example.com"),
        ("digest", "bob@example.com"),
    }
    assert (deliver(now=EVENING - timedelta(microseconds=1)), deliver(now=EVENING)) == (0, 4)
    assert sorted(carried(m) or [str(m["Subject"])] for m in server.received) == [
        ["a", "b", "c"],
        ["c"],
        ["d"],
        ["e", "f"],
    ]


def test_a_window_is_of_one_channel_and_address(producer: User, alice: User) -> None:
    tell_many(producer, "alice", "a", "b", "c")
    Delivery.objects.filter(notification__event__title="b").update(channel="chat")
    Delivery.objects.filter(notification__event__title="c").update(address="alice@home.example")
    given = [
        digests.Gathered(d.pk, 0, alice.pk, d.channel, d.address, "tasks", "", "digest", "r", EVENING)
        for d in Delivery.objects.order_by("pk")
    ]
    assert digests.gather(given, now=NOW) == {one.id for one in given}
    assert [window[1] for window in windows()] == ["chat", "email", "email"]
    assert set(Delivery.objects.filter(notification=None).values_list("channel", "address")) == {
        ("email", "alice@example.com"),
        ("chat", "alice@example.com"),
        ("email", "alice@home.example"),
    }
    # Again, nothing: they went in, and nobody holds them any more.
    assert digests.gather(given, now=NOW) == set()
    assert Digest.objects.count() == 3


@pytest.mark.parametrize(
    ("chosen", "due_at"),
    [
        ({"digests": HOURLY}, "2026-03-02T13:00+00:00"),
        ({"digests": HOURLY, "timezone": "Asia/Kathmandu"}, "2026-03-02T12:15+00:00"),
        ({"digests": DAILY, "timezone": "Europe/Berlin"}, "2026-03-02T17:00+00:00"),
        (
            {"digests": {"email": {"every": "week", "at": "09:00", "weekday": 4}}, "timezone": "America/New_York"},
            "2026-03-06T14:00+00:00",
        ),
        # Never in quiet hours: at their end.
        ({"digests": {"email": {"every": "day", "at": "23:00"}}, "quiet_hours": [NIGHT]}, "2026-03-03T07:00+00:00"),
        (
            {"digests": HOURLY, "quiet_hours": [NIGHT | {"start": "12:30", "end": "15:20"}]},
            "2026-03-02T15:20+00:00",
        ),
    ],
)
def test_when_a_window_ends(producer: User, alice: User, chosen: dict[str, Any], due_at: str) -> None:
    choose(alice, **chosen)
    tell(producer, "alice")
    assert carriers() == [("pending", "digest", datetime.fromisoformat(due_at))]
    assert rows() == [INSIDE]


def test_a_setting_gathers_for_who_never_said_how_often(producer: User, alice: User) -> None:
    set_(alice, Value.DIGEST, category="tasks")
    tell(producer, "alice")
    assert carriers() == [("pending", "digest", datetime(2026, 3, 3, 9, 0, tzinfo=UTC))]
    assert Delivery.objects.get(notification__isnull=False).rule == "person:category:tasks"


def test_the_newest_twenty_are_named_in_order(producer: User, daily: User, server: mail.MailServer) -> None:
    tell_many(producer, "alice", *[f"t{n}" for n in range(23)])
    assert deliver(now=EVENING) == 1
    (sent,) = server.received
    assert carried(sent) == [f"t{n}" for n in range(3, 23)]
    assert "and 3 more" in words(sent)
    assert (rows(), carriers()) == ([INSIDE] * 23, [("sent", "", None)])
    assert list(Attempt.objects.values_list("result", flat=True)) == ["sent"]


def mute(alice: User, gone: Event, producer: User) -> None:
    set_(alice, Value.OFF, topic="task:gone")


WAYS: dict[str, tuple[Callable[[User, Event, User], Any], str, str, str]] = {
    "read": (
        lambda alice, gone, _: changes.apply(alice.pk, action="read", ids=[line(gone, alice).pk], now=NOW),
        "suppressed",
        "already_read",
        "",
    ),
    "all read": (
        lambda alice, *_: changes.apply(alice.pk, action="read", ids=None, now=NOW),
        "suppressed",
        "already_read",
        "",
    ),
    "deleted": (
        lambda alice, gone, _: changes.apply(alice.pk, action="delete", ids=[line(gone, alice).pk], now=NOW),
        "suppressed",
        "already_read",
        "",
    ),
    # Planned, it did not outlast its digest; the digest was held up meanwhile.
    "expired": (
        lambda _, gone, __: Event.objects.filter(pk=gone.pk).update(expires_at=NOW),
        "suppressed",
        "expired",
        "",
    ),
    "cancelled": (lambda _, gone, __: events.cancel(gone.pk, now=NOW), "cancelled", "cancelled", ""),
    "retracted": (
        lambda _, __, producer: retraction.retract("task:gone", producer_id=producer.pk, type=None, now=NOW),
        "cancelled",
        "retracted",
        "",
    ),
    "muted": (mute, "suppressed", "muted", "person:topic:task:gone"),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_longer_wanted_is_left_out(producer: User, daily: User, server: mail.MailServer, way: str) -> None:
    do, state, reason, rule = WAYS[way]
    Topic.objects.create(key="task:gone")
    gone = tell(producer, "alice", title="x", object="task:gone")
    do(daily, gone, producer)
    tell_many(producer, "alice", "a", "b")
    assert counts(gone) == {"digested": 1}
    deliver(now=EVENING)
    assert [carried(m) for m in server.received] == [["a", "b"]]
    assert rows() == [(state, reason, None), INSIDE, INSIDE]
    left = Delivery.objects.get(notification__event=gone)
    assert (left.rule, left.ended_at, left.attempts) == (rule, EVENING, 0)
    assert reasons(gone)[-1] == reason
    assert f"email {state} ({reason})" in explain(gone)["answer"]
    assert "digest" not in explain(gone)["answer"]
    assert counts(gone) == {state: 1}


def test_an_empty_digest_is_not_sent(producer: User, daily: User, server: mail.MailServer) -> None:
    first = tell(producer, "alice")
    tell(producer, "alice")
    changes.apply(daily.pk, action="read", ids=None, now=NOW)
    assert deliver(now=EVENING) == 1
    assert rows() == [("suppressed", "already_read", None)] * 2
    assert carriers() == [("suppressed", "empty_digest", None)]
    assert (server.received, Attempt.objects.count()) == ([], 0)
    assert Delivery.objects.get(notification=None).attempts == 0
    assert sorted(set(reasons(first))) == ["already_read", "digest", "empty_digest"]


def test_of_one_item_it_is_a_letter_like_any_other(producer: User, daily: User, server: mail.MailServer) -> None:
    gone = tell(producer, "alice", title="x")
    tell(producer, "alice", title="Water the plants", body="Both.")
    changes.apply(daily.pk, action="read", ids=[line(gone, daily).pk], now=NOW)
    deliver(now=EVENING)
    assert server.subjects == ["Water the plants"]
    assert ("Both." in words(server.received[0]), carried(server.received[0])) == (True, [])


def test_after_a_failure_what_is_in_it_is_read_again(producer: User, daily: User, server: mail.MailServer) -> None:
    tell_many(producer, "alice", "a", "b", "c")
    server.stop()
    deliver(now=EVENING)
    ((state, reason, due_at),) = carriers()
    assert (state, reason) == ("pending", "retrying")
    assert due_at is not None
    read = Delivery.objects.get(notification__event__title="b").notification
    assert read is not None
    changes.apply(daily.pk, action="read", ids=[read.pk], now=EVENING)
    tell(producer, "alice", title="d", now=EVENING)
    server.start()
    deliver(now=due_at)
    assert [carried(m) for m in server.received] == [["a", "c"]]
    # It was closed by the first claim: what came after it waits for the next.
    assert carriers() == [("sent", "", None), ("pending", "digest", TOMORROW)]
    assert rows() == [INSIDE, ("suppressed", "already_read", None), INSIDE, INSIDE]
    assert list(Attempt.objects.order_by("pk").values_list("result", flat=True)) == ["retry", "sent"]


def die_with_it() -> ledger.Claimed:
    """A worker begins to send the digest, and is never heard of again."""
    (held,) = ledger.claim(channel="email", lane=Lane.DIGEST, limit=1, now=EVENING)
    assert ledger.begin([held]) == {held.id}
    return held


def test_a_worker_that_died_with_it_is_followed_by_another(
    producer: User, daily: User, server: mail.MailServer
) -> None:
    tell_many(producer, "alice", "a", "b")
    dead = die_with_it()
    tell(producer, "alice", title="c", now=EVENING)
    deliver(now=EVENING + settings.LEASE)
    assert [(carried(m), m["Message-ID"]) for m in server.received] == [(["a", "b"], f"<{dead.key}@localhost>")]
    carrier = Delivery.objects.get(pk=dead.id)
    assert (carrier.state, carrier.lost_claims, carrier.attempts) == ("sent", 1, 2)
    assert Digest.objects.filter(open=True).count() == 1


def test_what_must_not_arrive_twice_does_not_in_a_digest_either(
    producer: User, daily: User, server: mail.MailServer
) -> None:
    try:
        Type.objects.filter(key="task.completed").update(resend_unknown=False)
        tell(producer, "alice", title="a")
        once = tell(producer, "alice", title="b", type="task.completed", channels=["in_app", "email"])
        die_with_it()
        deliver(now=EVENING + settings.LEASE)
    finally:
        Type.objects.update(resend_unknown=True)
    assert (server.received, carriers()) == ([], [("unknown", "lease_lost", None)])
    assert "email digest unknown (lease_lost)" in explain(once)["answer"]


def test_who_lost_a_digest_leaves_nothing_out_of_it(producer: User, daily: User, server: mail.MailServer) -> None:
    tell_many(producer, "alice", "a", "b")
    (slow,) = ledger.claim(channel="email", lane=Lane.DIGEST, limit=1, now=EVENING)
    deliver(now=EVENING + settings.LEASE)
    assert [carried(m) for m in server.received] == [["a", "b"]]
    item = Delivery.objects.filter(notification__isnull=False)[0]
    digests.leave_out(
        [digests.LeftOut(item.pk, slow.token, DeliveryState.SUPPRESSED, "already_read", "")], now=TOMORROW
    )
    assert rows() == [INSIDE, INSIDE]


def test_one_that_waits_for_a_retry_goes_into_the_digest_that_is_wanted_by_then(
    producer: User, alice: User, server: mail.MailServer
) -> None:
    server.stop()
    tell(producer, "alice", title="a")
    deliver()
    choose(alice, digests=DAILY)
    server.start()
    deliver(now=NOW + timedelta(minutes=1))
    assert (rows(), carriers(), server.received) == ([INSIDE], [("pending", "digest", EVENING)], [])
    tell(producer, "alice", title="b")
    deliver(now=EVENING)
    assert [carried(m) for m in server.received] == [["a", "b"]]


def test_who_wants_it_sooner_brings_the_end_forward(producer: User, daily: User, server: mail.MailServer) -> None:
    tell(producer, "alice", title="a")
    choose(daily, digests=HOURLY)
    assert carriers() == [("pending", "digest", EVENING)]
    tell_many(producer, "alice", "b", "c")
    assert carriers() == [("pending", "digest", NOW + timedelta(hours=1))]
    choose(daily, digests=DAILY)
    tell(producer, "alice", title="d")
    assert carriers() == [("pending", "digest", NOW + timedelta(hours=1))]
    deliver(now=NOW + timedelta(hours=1))
    assert [carried(m) for m in server.received] == [["a", "b", "c", "d"]]


def test_a_window_whose_channel_was_switched_off_takes_nothing_more(
    producer: User, daily: User, server: mail.MailServer
) -> None:
    lost = tell(producer, "alice", title="a")
    assert ledger.end_switched_off(channels=[], now=EVENING) == 1
    assert "email digest suppressed (not_installed)" in explain(lost)["answer"]
    tell(producer, "alice", title="b", now=EVENING)
    deliver(now=TOMORROW)
    assert server.subjects == ["b"]
    assert [state for state, *_ in carriers()] == ["suppressed", "sent"]


def test_what_is_told_about_an_item_and_its_digest(producer: User, daily: User, server: mail.MailServer) -> None:
    event = tell(producer, "alice")
    assert explain(event)["answer"] == (
        "Yes: in the inbox since 2026-03-02T12:00:00Z, not seen yet; email digested (digest); "
        "email digest pending (digest), next at 2026-03-02T18:00:00Z."
    )
    assert counts(event) == {"digested": 1}
    deliver(now=EVENING)
    told = explain(event)
    assert told["answer"].endswith("email digested (digest); email digest sent.")
    assert [(m["what"], m["reason"], m["rule"], m["at"]) for m in told["timeline"] if m["channel"] == "email"] == [
        ("decided: digest", "digest", "type", NOW),
        ("planned", "", "", NOW),
        ("digest opened", "", "", NOW),
        ("digested", "digest", "type", NOW),
        ("tried: sent", "", "", EVENING),
        ("sent", "", "", EVENING),
    ]
    assert counts(event) == {"digested": 1}
