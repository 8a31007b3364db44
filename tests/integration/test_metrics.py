"""GET /metrics: exact numbers from the tables, for those who may see them, at a cost that history does not raise."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core import queue, redis
from core.models import User
from notifications import gauges
from notifications.models import Attempt, Breaker, Delivery, Digest, Event
from tests import factories
from tests.factories import NOW, accept, process, submission
from tests.integration.conftest import BlackHole
from workers import sweep

pytestmark = pytest.mark.usefixtures("committed")
TOKEN = {"Authorization": "Bearer the-token-of-the-scraper"}


def scrape() -> dict[str, float]:
    """Every sample of an answer by name and labels, as a scraper reads it."""
    with override_settings(METRICS_TOKEN="the-token-of-the-scraper"):
        answer = Client().get("/metrics", headers=TOKEN)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = [line for line in answer.content.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def of(samples: dict[str, float], metric: str) -> dict[str, float]:
    """The samples of one metric that are not 0, by the values of their labels."""
    found = {}
    for name, value in samples.items():
        if re.fullmatch(rf"bellhop_{metric}(\{{.*\}})?", name) and value:
            found[" ".join(re.findall(r'"([^"]*)"', name))] = value
    return found


def delivered(count: int = 1, **columns: Any) -> None:
    """Set the newest deliveries to these values."""
    newest = Delivery.objects.order_by("-id").values_list("pk", flat=True)[:count]
    Delivery.objects.filter(pk__in=list(newest)).update(**columns)


@pytest.mark.parametrize(
    ("setting", "header", "status"),
    [
        ("", "", 401),
        ("", "Bearer ", 401),
        ("secret", "", 401),
        ("secret", "Bearer wrong", 401),
        ("secret", "Basic secret", 401),
        ("secret", "Bearer secret", 200),
    ],
)
def test_who_may_see_it(setting: str, header: str, status: int) -> None:
    with override_settings(METRICS_TOKEN=setting):
        answer = Client().get("/metrics", headers={"Authorization": header} if header else {})
    assert answer.status_code == status
    assert ("bellhop_build_info" in answer.content.decode()) is (status == 200)


def test_staff_who_are_signed_in_see_it_and_others_do_not(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get("/metrics").status_code == 401
    client.force_login(factories.user("admin", is_staff=True))
    assert client.get("/metrics").status_code == 200
    assert client.post("/metrics").status_code == 405


def test_a_token_that_is_wrong_is_not_saved_by_a_session() -> None:
    client = Client()
    client.force_login(factories.user("admin", is_staff=True))
    with override_settings(METRICS_TOKEN="secret"):
        assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_a_scraper_inside_is_not_sent_to_https() -> None:
    with override_settings(SECURE_SSL_REDIRECT=True):
        assert Client().get("/login/").status_code == 301
        assert Client().get("/metrics").status_code == 401


def test_an_empty_installation_has_every_lane_at_zero() -> None:
    samples = scrape()
    for lane in ("urgent", "normal", "bulk", "digest"):
        assert samples[f'bellhop_events_oldest_due_seconds{{lane="{lane}"}}'] == 0
        assert samples[f'bellhop_deliveries_oldest_due_seconds{{channel="email",lane="{lane}"}}'] == 0
    assert samples['bellhop_deliveries_failed{channel="email"}'] == 0
    assert samples["bellhop_attempts_window_seconds"] == 3600
    assert samples["bellhop_redis_up"] == 1


def test_the_backlog(producer: User, alice: User) -> None:
    now = timezone.now()
    accept(producer, submission("alice"), submission("alice"), submission("alice", priority="low"), now=now)
    Event.objects.filter(lane="bulk").update(
        state="processing", token=1, attempts=1, due_at=now + timedelta(seconds=60)
    )
    Event.objects.filter(lane="normal").update(due_at=now - timedelta(seconds=100))
    samples = scrape()
    assert of(samples, "events_open") == {"normal": 2, "bulk": 1}
    assert of(samples, "events_due") == {"normal": 2}
    assert of(samples, "events_in_hand") == {"bulk": 1}
    (seconds,) = of(samples, "events_oldest_due_seconds").values()
    assert 100 <= seconds < 160
    assert of(samples, "deliveries_open") == {}
    process(now=now)
    Delivery.objects.filter(notification__event__lane="normal").update(due_at=now + timedelta(hours=1))
    delivered(in_flight=True, due_at=now + timedelta(seconds=60))
    samples = scrape()
    assert of(samples, "events_open") == {"bulk": 1}
    assert of(samples, "deliveries_open") == {"email normal": 2}
    assert of(samples, "deliveries_in_hand") == {"email normal": 1}
    assert of(samples, "deliveries_due") == {}


def test_a_postponed_event_is_in_nobodys_hand(producer: User, alice: User) -> None:
    now = timezone.now()
    accept(producer, submission("alice"), now=now)
    Event.objects.update(state="processing", attempts=1, error="boom", due_at=now + timedelta(seconds=60))
    assert of(scrape(), "events_in_hand") == {}


def test_trouble_counts_for_a_day(producer: User, alice: User) -> None:
    now = timezone.now()
    accept(producer, *[submission("alice") for _ in range(6)], now=now)
    process(now=now)
    ids = list(Delivery.objects.order_by("id").values_list("pk", flat=True))
    ends: list[tuple[str, int, timedelta]] = [
        ("failed", 0, timedelta(hours=1)),
        ("failed", 1, timedelta(hours=23)),
        ("failed", 0, timedelta(hours=25)),
        ("unknown", 2, timedelta(hours=1)),
        ("sent", 3, timedelta(hours=1)),
        ("sent", 0, timedelta(hours=1)),
    ]
    for pk, (state, lost, ago) in zip(ids, ends, strict=True):
        Delivery.objects.filter(pk=pk).update(state=state, lost_claims=lost, due_at=None, ended_at=now - ago)
    samples = scrape()
    assert of(samples, "deliveries_failed") == {"email": 2}
    assert of(samples, "deliveries_unknown") == {"email": 1}
    assert of(samples, "deliveries_lost_claims") == {"email": 6}
    assert of(samples, "deliveries_duplicates_suspected") == {"email": 1}


def tried(delivery: Delivery, result: str, *, token: int, ended_at: Any) -> Attempt:
    return Attempt(delivery=delivery, token=token, result=result, started_at=ended_at, ended_at=ended_at)


def test_attempts_and_how_long_it_took(producer: User, alice: User) -> None:
    now = timezone.now()
    accept(producer, submission("alice"), submission("alice"), now=now - timedelta(minutes=1))
    process(now=now - timedelta(minutes=1))
    first, second = Delivery.objects.order_by("id")
    accepted = now - timedelta(minutes=1)
    Attempt.objects.bulk_create(
        [
            tried(first, "sent", token=1, ended_at=now - timedelta(hours=2)),
            tried(first, "sent", token=2, ended_at=now - timedelta(minutes=30)),
            tried(first, "retry", token=3, ended_at=now),
            tried(first, "sent", token=4, ended_at=accepted + timedelta(seconds=0.2)),
            tried(second, "sent", token=1, ended_at=accepted + timedelta(seconds=20)),
        ]
    )
    samples = scrape()
    assert of(samples, "attempts") == {"email retry": 1, "email sent": 3}
    buckets = of(samples, "accepted_to_sent_seconds_bucket")
    assert buckets["email 0.25"] == buckets["email 10.0"] == 1
    assert buckets["email 30.0"] == buckets["email +Inf"] == 2
    assert "email 0.1" not in buckets
    assert of(samples, "accepted_to_sent_seconds_gsum") == {"email": pytest.approx(20.2)}


def test_only_the_newest_attempts_are_looked_at(producer: User, alice: User) -> None:
    now = timezone.now()
    accept(producer, submission("alice"), now=now)
    process(now=now)
    delivery = Delivery.objects.get()
    Attempt.objects.bulk_create(
        [
            tried(delivery, "retry", token=n, ended_at=now - timedelta(seconds=600 - n / 100))
            for n in range(1, gauges.NEWEST + 2)
        ]
    )
    read = gauges.read(now=now)
    assert [(one.channel, one.result, one.tries) for one in read.tried] == [("email", "retry", gauges.NEWEST)]
    assert read.reach == pytest.approx(600 - 0.02)


def test_digests_and_breakers(alice: User) -> None:
    for key, open_ in (("a", True), ("b", True), ("c", False)):
        Digest.objects.create(
            user=alice, channel="email", address="a@example.com", category_id="tasks", key=key, open=open_,
            opened_at=NOW, closed_at=None if open_ else NOW,
        )  # fmt: skip
    Breaker.objects.create(provider="SMTPProvider", state="open")
    try:
        samples = scrape()
    finally:
        Breaker.objects.all().delete()
    assert of(samples, "digests_open") == {"email": 2}
    assert of(samples, "breaker") == {"SMTPProvider open": 1}
    assert samples['bellhop_breaker{provider="SMTPProvider",state="closed"}'] == 0


def test_who_sent_the_hints(producer: User, alice: User) -> None:
    now = timezone.now()
    accept(producer, submission("alice"), now=now)
    assert of(scrape(), "hints_total") == {"write workers.process_events": 1}
    queue.clear(queue.PROCESS_EVENTS, lane="normal")
    sweep.hint_due(now=now + timedelta(seconds=1))
    queue.clear(queue.PROCESS_EVENTS, lane="normal")
    sweep.hint_due(now=now + timedelta(seconds=1), by=queue.BEAT)
    samples = scrape()
    counts = {f"{who} workers.process_events": 1 for who in ("write", "dispatcher", "beat")}
    assert of(samples, "hints_total") == counts
    assert of(samples, "queue_length") == {"normal": 3}
    assert {name for name in samples if "swept_seconds_ago" in name} == {
        'bellhop_swept_seconds_ago{by="dispatcher"}',
        'bellhop_swept_seconds_ago{by="beat"}',
    }
    redis.attempt(lambda r: r.flushdb())
    assert of(scrape(), "hints_total") == {}


def test_without_redis_the_tables_still_speak(dead_redis: BlackHole) -> None:
    samples = scrape()
    assert samples["bellhop_redis_up"] == 0
    assert 'bellhop_events_open{lane="normal"}' in samples
    assert not [name for name in samples if name.startswith(("bellhop_hints", "bellhop_queue", "bellhop_swept"))]


def test_without_postgresql_it_is_503() -> None:
    connection.ensure_connection()
    with connection.cursor() as cursor, override_settings(METRICS_TOKEN="the-token-of-the-scraper"):
        cursor.execute("ALTER TABLE notifications_breaker RENAME TO notifications_breaker_away")
        try:
            answer = Client().get("/metrics", headers=TOKEN)
        finally:
            cursor.execute("ALTER TABLE notifications_breaker_away RENAME TO notifications_breaker")
    assert (answer.status_code, answer.content) == (503, b"PostgreSQL is away, or took too long.\n")


@pytest.mark.parametrize("people", [1, 40])
def test_it_asks_six_questions_whatever_there_is(producer: User, people: int) -> None:
    users = factories.users(people)
    accept(producer, *[submission(user.username) for user in users])
    process()
    with CaptureQueriesContext(connection) as captured:
        gauges.read(now=NOW)
    asked = [q["sql"].split(None, 1)[0] for q in captured.captured_queries]
    assert asked == ["BEGIN", "SET", "WITH", "SELECT", "SELECT", "SELECT", "SELECT", "SELECT", "COMMIT"]
