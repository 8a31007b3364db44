"""Sending dead deliveries again: each goes once, whoever asks how often. What is left out: test_stale.py."""

import threading
from datetime import timedelta

import msgspec
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from structlog.testing import capture_logs

from core.models import User
from notifications import changes, inbox, replays
from notifications.models import Delivery, Replay
from notifications.replays import Group, Order, Replayed
from tests import factories, mail
from tests.deciding import deliver, tell
from tests.factories import NOW
from tests.integration.test_query_counts import statements
from tests.replays import AT, FAR, HOUR, addressees, attempts, fail, order, refusing, replay, rows
from tests.threads import at_once
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("committed", "server")


def test_a_failed_window_goes_again_and_each_mail_arrives_once(
    producer: User, server: mail.MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.user("carol")
    factories.user("later")
    tell(producer, "carol")
    tell(producer, "later")
    fail(producer, "alice", "bob")
    now = NOW
    for _ in range(settings.MAX_ATTEMPTS):
        deliver(now=now)
        now += HOUR
    monkeypatch.delitem(mail.RCPT_REPLIES, "later")
    assert [(state, reason) for state, reason, _ in rows()] == [
        ("sent", ""),
        ("failed", "attempts_exhausted"),
        ("failed", ""),
        ("failed", ""),
    ]
    assert addressees(server) == ["carol"]

    before = list(Delivery.objects.order_by("pk").values())
    look = replays.run(order(), by=producer.pk, now=AT)
    assert (look.dry_run, look.replay, look.would, look.replayed, look.stale) == (True, None, 3, 0, {})
    assert look.groups == [Group("email", "task.assigned", 3)]
    assert [(item.user, item.state) for item in look.items] == [
        ("later", "failed"),
        ("alice", "failed"),
        ("bob", "failed"),
    ]
    assert (list(Delivery.objects.order_by("pk").values()), Replay.objects.count()) == (before, 0)

    done = replays.run(order(apply=True), by=producer.pk, now=AT)
    kept = Replay.objects.get()
    assert (done.dry_run, done.replay, done.would, done.replayed) == (False, str(kept.pk), 3, 3)
    assert (done.stale, done.groups) == ({}, look.groups)
    assert [(item.user, item.state, item.rule) for item in done.items] == [
        (name, "pending", f"replay:{kept.pk}") for name in ("later", "alice", "bob")
    ]
    assert rows()[1:] == [("pending", "replayed", AT + place * timedelta(seconds=0.1)) for place in range(3)]
    again = replay()
    assert (again.would, again.replayed, again.stale, again.items) == (0, 0, {}, [])

    assert deliver(now=AT + HOUR) == 3
    assert addressees(server) == ["alice", "bob", "carol", "later"]
    assert {state for state, *_ in rows()} == {"sent"}
    assert (replay().replayed, deliver(now=AT + HOUR)) == (0, 0)
    exhausted = [("later", token, "retry") for token in range(1, settings.MAX_ATTEMPTS + 1)]
    assert attempts() == [
        ("carol", 1, "sent"),
        *exhausted,
        ("later", settings.MAX_ATTEMPTS + 1, "sent"),
        ("alice", 1, "failed"),
        ("alice", 2, "sent"),
        ("bob", 1, "failed"),
        ("bob", 2, "sent"),
    ]


def test_who_did_it_and_what_they_wanted_is_kept(producer: User) -> None:
    fail(producer, "alice", "bob")
    inbox.read_all(User.objects.get(username="bob").pk, now=NOW)
    with capture_logs() as logs:
        replays.run(order(), by=producer.pk, now=AT)
        replays.run(order(apply=True, state=["failed"], rate=30), by=producer.pk, now=AT)
    kept = str(Replay.objects.get().pk)
    told = {"replay": kept, "by": producer.pk, "replayed": 1, "stale": 1}
    assert logs == [told | {"event": "deliveries.replayed", "log_level": "info"}]
    assert Replay.objects.values("by", "at", "wanted", "replayed", "stale").get() == {
        "by": producer.pk,
        "at": AT,
        "wanted": {
            "filter": {"since": "2026-03-02T12:00:00Z", "until": "2026-03-02T22:00:00Z", "state": ["failed"]},
            "dry_run": False,
            "rate": 30,
            "max_age": 86400,
            "include_stale": False,
        },
        "replayed": 1,
        "stale": 1,
    }


def test_two_at_once_send_nothing_twice(server: mail.MailServer, producer: User) -> None:
    names = [f"person{n}" for n in range(12)]
    fail(producer, *names)
    answers: list[Replayed] = []

    def go() -> None:
        try:
            answers.append(replay())
        finally:
            connection.close()

    both = [threading.Thread(target=go) for _ in range(2)]
    with transaction.atomic():
        # Both see all of them as dead before one may begin.
        Delivery.objects.order_by("pk").select_for_update()[:1].get()
        for thread in both:
            thread.start()
        wait_until(lambda: blocked() == 2, what="both replays waiting for the first row")
    for thread in both:
        thread.join()
    assert sorted(answer.replayed for answer in answers) == [0, 12]
    assert sorted(Replay.objects.values_list("replayed", flat=True)) == [0, 12]
    at_once(*[lambda: deliver(now=AT + HOUR)] * 2)
    assert addressees(server) == sorted(names)
    assert sorted(attempts()) == sorted((name, n, said) for name in names for n, said in ((1, "failed"), (2, "sent")))


def blocked() -> int:
    """How many wait for what another transaction holds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return int(cursor.fetchone()[0])


def test_the_rate_spreads_them_over_time(server: mail.MailServer, producer: User) -> None:
    fail(producer, "alice", "bob", "carol")
    assert replay(rate=2).replayed == 3
    assert [due for _, _, due in rows()] == [AT, AT + timedelta(seconds=30), AT + timedelta(seconds=60)]
    for seconds, arrived in ((0, ["alice"]), (29, ["alice"]), (30, ["alice", "bob"]), (60, ["alice", "bob", "carol"])):
        deliver(now=AT + timedelta(seconds=seconds))
        assert addressees(server) == arrived


def test_what_dies_again_can_be_replayed_again(producer: User, server: mail.MailServer) -> None:
    fail(producer, "alice")
    with refusing("alice"):
        for _ in range(2):
            assert replay().replayed == 1
            deliver(now=AT)
    assert replay().replayed == 1
    deliver(now=AT)
    assert attempts() == [("alice", 1, "failed"), ("alice", 2, "failed"), ("alice", 3, "failed"), ("alice", 4, "sent")]
    assert (rows(), Delivery.objects.get().attempts, addressees(server)) == ([("sent", "", None)], 1, ["alice"])


def test_only_what_is_dead_and_in_the_window(producer: User, server: mail.MailServer) -> None:
    fail(producer, "alice")
    for state in ("sent", "suppressed", "cancelled", "pending"):
        factories.user(state)
        tell(producer, state)
        due = NOW if state == "pending" else None
        Delivery.objects.filter(address=f"{state}@example.com").update(state=state, due_at=due, ended_at=NOW)
    before = rows()[1:]
    for since, until, count in ((NOW - HOUR, NOW, 0), (NOW + HOUR, FAR, 0), (NOW, NOW + HOUR, 1)):
        window = {"since": since, "until": until}
        look = replays.run(msgspec.convert({"filter": window}, Order), by=None, now=AT)
        assert (look.would, look.stale) == (count, {})
    assert replay().replayed == 1
    assert rows() == [("pending", "replayed", AT), *before]


# --- How much it costs --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 150])
def test_the_number_of_statements_does_not_grow(producer: User, alice: User, size: int) -> None:
    for _ in range(size):
        tell(producer, "alice")
    Delivery.objects.update(state="failed", due_at=None, ended_at=NOW)
    looked, done = [], []
    assert len(statements(lambda: looked.append(replays.run(order(), by=None, now=AT)))) == 2
    assert len(statements(lambda: done.append(replay()))) == 2
    assert (looked[0].would, done[0].replayed, len(done[0].items)) == (size, size, min(size, 100))


# --- The command --------------------------------------------------------------------------------------


SINCE, UNTIL = "--since=2026-03-02T12:00:00Z", "--until=2126-03-02T13:00:00Z"


def test_the_command_tells_and_does_nothing_until_told_to(producer: User, capsys: pytest.CaptureFixture[str]) -> None:
    fail(producer, "alice", "bob")
    changes.apply(User.objects.get(username="bob").pk, action="delete", ids=None, now=NOW)
    given = [SINCE, UNTIL, "--state=failed", "--channel=email", "--max-age=31622400", "--rate=1"]
    table = f"email      {'task.assigned':<40} {1:>8}\nleft out   {'deleted':<40} {1:>8}\n"
    call_command("replay", *given)
    assert capsys.readouterr().out == f"{table}1 would go within 1 min. Nothing was changed: add --apply.\n"
    assert [state for state, *_ in rows()] == ["failed", "failed"]
    call_command("replay", *given, "--apply", "--by=producer")
    kept = Replay.objects.get()
    assert capsys.readouterr().out == f"{table}1 go within 1 min: replay {kept.pk}.\n"
    assert ([state for state, *_ in rows()], kept.by) == (["pending", "failed"], producer)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([SINCE, "--until=2026-03-02T12:00:00Z"], "a later `until`"),
        ([SINCE, UNTIL, "--state=sent"], "failed or unknown"),
        ([SINCE, UNTIL, "--state=lost"], "Invalid enum value"),
        ([SINCE, UNTIL, "--rate=0"], "rate"),
        ([SINCE, "--until=tomorrow"], "until"),
        ([SINCE, UNTIL, "--by=nobody"], "no user"),
    ],
)
def test_what_the_command_cannot_do(producer: User, given: list[str], why: str) -> None:
    fail(producer, "alice")
    with pytest.raises(CommandError, match=why):
        call_command("replay", *given, "--apply")
    assert ([state for state, *_ in rows()], Replay.objects.count()) == (["failed"], 0)
