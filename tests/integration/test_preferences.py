"""A change of what a person chose: one of two wins, every socket is told, what waited is decided again."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from core import redis
from core.errors import NotFound
from core.models import User
from delivery import catchup, commands, protocol
from notifications import inbox, ledger, own_settings, preference_templates, preferences
from notifications.models import Delivery, InboxHead, Preference, PreferenceTemplate
from notifications.options import PreferenceChange, Window
from notifications.own_settings import SettingBody
from notifications.preferences import Changed, Stale
from notifications.words import Lane, Value
from tests import factories
from tests.api import Caller
from tests.factories import NOW, accept, submission
from tests.integration.conftest import BlackHole
from tests.integration.test_query_counts import statements
from tests.live import Listener

pytestmark = pytest.mark.usefixtures("committed")

NIGHT = Window(days=[0], start="11:00", end="13:00")  # NOW is a Monday, 12:00
MUTE = SettingBody(category="tasks", channel="email", value=Value.OFF)


@pytest.fixture
def heard(django_db_setup: None) -> Iterator[Listener]:
    with Listener() as listener:
        yield listener


@pytest.fixture
def template(committed: None) -> Iterator[PreferenceTemplate]:
    yield PreferenceTemplate.objects.create(name="calm", locale="de", updated_at=NOW)
    Preference.objects.all().delete()
    PreferenceTemplate.objects.exclude(name="standard").delete()
    PreferenceTemplate.objects.update(is_default=True)


def change(user: User, version: int, *, origin: str = "", **fields: Any) -> Changed:
    return preferences.change(user.pk, PreferenceChange(version=version, **fields), now=NOW, origin=origin)


def counted(user: User) -> tuple[int, int, int]:
    """The last number, the stamp of the choices, and the version."""
    head = InboxHead.objects.get(user=user)
    return head.head_seq, head.choices, preferences.of(user.pk).version


def told(user: User) -> Any:
    """The preferences as the API shows them."""
    return Caller(user).get("/preferences")


class TestTelling:
    def test_a_change_is_told_with_what_is_there_now(self, alice: User, bob: User, heard: Listener) -> None:
        done = change(alice, 0, locale="de", origin="cmd")
        assert (done.seq, done.preferences) == (1, preferences.of(alice.pk))
        (message,) = heard.messages()
        assert message.batch is not None
        assert message.batch.origin == "cmd"
        change(bob, 0, locale="fr")
        assert heard.lines() == [(bob.pk, 1, "preferences", 0, 0, told(bob))]
        assert counted(alice) == counted(bob) == (1, 1, 1)

    def test_among_lines_it_has_its_number_and_their_counts(self, producer: User, alice: User, heard: Listener) -> None:
        accept(producer, submission("alice"))
        factories.process()
        heard.messages()
        change(alice, 0, locale="de")
        assert heard.lines() == [(alice.pk, 2, "preferences", 1, 1, told(alice))]
        accept(producer, submission("alice"))
        factories.process()
        assert [line[1:3] for line in heard.lines()] == [(3, "created")]
        assert counted(alice) == (3, 1, 1)

    def test_settings_too(self, alice: User, heard: Listener) -> None:
        row = own_settings.create(alice.pk, MUTE, now=NOW)
        own_settings.change(alice.pk, row.pk, value=Value.ON, now=NOW)
        own_settings.delete(alice.pk, row.pk, now=NOW)
        said = heard.lines()
        assert [(*line[:5], line[5]["version"]) for line in said] == [
            (alice.pk, seq, "preferences", 0, 0, seq) for seq in (1, 2, 3)
        ]
        assert said[-1][5] == told(alice)

    def test_what_changes_nothing_is_not_told(self, alice: User, heard: Listener) -> None:
        own_settings.create(alice.pk, MUTE, now=NOW)
        heard.messages()
        assert change(alice, 1).seq is None
        with pytest.raises(Stale):
            change(alice, 0, locale="de")
        with pytest.raises(own_settings.AlreadyThere):
            own_settings.create(alice.pk, MUTE, now=NOW)
        with pytest.raises(NotFound):
            own_settings.delete(alice.pk, 0, now=NOW)
        assert heard.messages() == []
        assert counted(alice) == (1, 1, 1)

    def test_nothing_is_told_before_the_commit_nor_after_a_rollback(self, alice: User, heard: Listener) -> None:
        with transaction.atomic():
            change(alice, 0, locale="de")
            assert heard.messages() == []
        assert len(heard.lines()) == 1
        with transaction.atomic():
            change(alice, 1, locale="fr")
            transaction.set_rollback(True)
        assert heard.messages() == []
        assert counted(alice) == (1, 1, 1)

    def test_restoring_is_told_once(self, alice: User, heard: Listener) -> None:
        assert preferences.restore(alice.pk, now=NOW) is None
        own_settings.create(alice.pk, MUTE, now=NOW)
        heard.messages()
        assert preferences.restore(alice.pk, now=NOW) == 2
        assert preferences.restore(alice.pk, now=NOW) is None
        assert heard.lines() == [(alice.pk, 2, "preferences", 0, 0, told(alice))]

    def test_applying_a_template_tells_each_of_them(
        self, template: PreferenceTemplate, heard: Listener, settings: Any
    ) -> None:
        settings.CHUNK = 2
        people = factories.users(5)
        change(people[1], 0, timezone="Asia/Kathmandu")
        heard.messages()
        done = preference_templates.apply(template.pk, usernames=None, reset=False, now=NOW)
        assert done == (5, [])
        messages = heard.messages()
        assert [len(message.batch.lines) for message in messages if message.batch] == [2, 2, 1]
        lines = [line for message in messages if message.batch for line in message.batch.lines]
        assert [(line.user_id, line.seq) for line in lines] == [
            (user.pk, 2 if user is people[1] else 1) for user in people
        ]
        bodies = [json.loads(line.own) for line in lines]
        assert {(body["template"], body["effective"]["locale"]) for body in bodies} == {(str(template.pk), "de")}
        assert [body["timezone"] for body in bodies] == [None, "Asia/Kathmandu", None, None, None]
        assert {user.pk: counted(user) for user in people} == {
            user.pk: (2, 2, 2) if user is people[1] else (1, 1, 1) for user in people
        }


class TestWaiting:
    @pytest.fixture
    def held(self, producer: User, alice: User, bob: User) -> list[Delivery]:
        """A mail each for alice and bob, waiting for the end of their quiet hours."""
        for user in (alice, bob):
            change(user, 0, quiet_hours=[NIGHT])
        accept(producer, submission("alice", "bob", channels=["in_app", "email"]))
        factories.process()
        rows = list(Delivery.objects.order_by("notification__user_id"))
        assert [(row.state, row.reason, row.due_at) for row in rows] == [
            ("pending", "quiet_hours", NOW + timedelta(hours=1))
        ] * 2
        redis.attempt(lambda r: r.flushdb())
        return rows

    def due(self, rows: list[Delivery]) -> list[timedelta]:
        for row in rows:
            row.refresh_from_db()
        return [row.due_at - NOW for row in rows if row.due_at is not None]

    def hints(self) -> list[Any]:
        found: list[Any] = redis.attempt(lambda r: r.keys("bellhop:hint:*")) or []
        return sorted(found)

    def test_it_is_decided_again_after_a_change(self, alice: User, held: list[Delivery]) -> None:
        change(alice, 1, quiet_hours=[])
        assert self.due(held) == [timedelta(0), timedelta(hours=1)]
        assert self.hints() == [b"bellhop:hint:workers.deliver:normal:email"]
        (claimed,) = ledger.claim(channel="email", lane=Lane.NORMAL, limit=10, now=NOW)
        assert claimed.id == held[0].pk

    def test_what_changes_nothing_wakes_nothing(self, alice: User, held: list[Delivery]) -> None:
        change(alice, 1)
        assert self.due(held) == [timedelta(hours=1)] * 2
        assert self.hints() == []

    @pytest.mark.parametrize(
        "fields",
        [
            {"in_flight": True},
            {"reason": "retrying"},
            {"state": "sent", "due_at": None},
        ],
    )
    def test_nothing_else_is_touched(self, alice: User, held: list[Delivery], fields: dict[str, Any]) -> None:
        Delivery.objects.filter(pk=held[0].pk).update(**fields)
        held[0].refresh_from_db()
        before = held[0].due_at
        assert preferences.reconsider([alice.pk], now=NOW) == 0
        held[0].refresh_from_db()
        assert held[0].due_at == before
        assert self.hints() == []

    def test_a_row_in_somebody_elses_hands_is_not_waited_for(
        self, alice: User, bob: User, held: list[Delivery]
    ) -> None:
        locked, release = threading.Event(), threading.Event()

        def hold() -> None:
            try:
                with transaction.atomic():
                    Delivery.objects.select_for_update().get(pk=held[0].pk)
                    locked.set()
                    release.wait(30)
            finally:
                connection.close()

        other = threading.Thread(target=hold)
        other.start()
        try:
            assert locked.wait(10)
            assert preferences.reconsider([alice.pk, bob.pk], now=NOW) == 1
        finally:
            release.set()
            other.join(10)
        assert self.due(held) == [timedelta(hours=1), timedelta(0)]

    def test_a_template_wakes_all_of_them(self, template: PreferenceTemplate, held: list[Delivery]) -> None:
        preference_templates.apply(template.pk, usernames=None, reset=True, now=NOW)
        assert self.due(held) == [timedelta(0)] * 2

    def test_a_digest_that_is_held_too(self, producer: User, alice: User) -> None:
        change(alice, 0, digests={"email": {"every": "hour"}})
        accept(producer, submission("alice", channels=["email"]))
        factories.process()
        carrier = Delivery.objects.get(notification=None)
        carrier.reason, carrier.due_at = "quiet_hours", NOW + timedelta(hours=8)
        carrier.save()
        change(alice, 1, quiet_hours=[])
        assert self.due([carrier]) == [timedelta(0)]


class TestSync:
    def read(self, user: User, seq: int | None) -> dict[str, Any]:
        inbox.open_head(user.pk)
        epoch = inbox.head(user.pk).epoch
        found = catchup.read(user.pk, position=None if seq is None else protocol.Position(epoch=epoch, seq=seq))
        frame: dict[str, Any] = json.loads(found.frame)
        return frame

    def test_a_client_that_was_away_learns_of_a_change(self, producer: User, alice: User, bob: User) -> None:
        assert self.read(alice, None)["preferences"] is None, "nothing was chosen"
        change(alice, 0, locale="de")
        accept(producer, submission("alice"))
        factories.process()
        for seq, expected in ((0, told(alice)), (1, None), (2, None), (None, told(alice))):
            frame = self.read(alice, seq)
            assert (frame["mode"], frame["preferences"]) == ("reset" if seq is None else "delta", expected), seq
        assert self.read(bob, None)["preferences"] is None

    def test_a_setting_is_a_change(self, alice: User) -> None:
        change(alice, 0, locale="de")
        assert self.read(alice, 1)["preferences"] is None
        own_settings.create(alice.pk, MUTE, now=NOW)
        assert self.read(alice, 1)["preferences"] == told(alice)


class TestCommands:
    def obey(self, user: User, name: str, id: str = "c1", **args: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(commands.obey(user.pk, protocol.Command(id=id, name=name, args=args)))
        return answer

    def test_read_over_the_socket(self, alice: User, bob: User) -> None:
        change(alice, 0, locale="de")
        for user in (alice, bob):
            result = {"type": "result", "id": "c1", "ok": True, "seq": None, "data": {"preferences": told(user)}}
            assert self.obey(user, "get_preferences") == result

    def test_changed_over_the_socket(self, alice: User, heard: Listener) -> None:
        answer = self.obey(alice, "set_preferences", version=0, channels={"email": False})
        data = {"preferences": told(alice)}
        assert answer == {"type": "result", "id": "c1", "ok": True, "seq": 1, "data": data}
        assert data["preferences"]["channels"] == {"email": False}
        (message,) = heard.messages()
        assert message.batch is not None
        assert (message.batch.origin, message.batch.lines[0].seq) == ("c1", 1)

    def test_once_done_it_is_not_done_again(self, alice: User, heard: Listener) -> None:
        self.obey(alice, "set_preferences", version=0, locale="de")
        heard.messages()
        again = self.obey(alice, "set_preferences", version=0, locale="de")
        assert (again["ok"], again["seq"], again["data"]) == (True, None, {"preferences": told(alice)})
        assert heard.messages() == []
        assert counted(alice) == (1, 1, 1)

    def test_what_was_refused_may_be_sent_again(self, alice: User) -> None:
        change(alice, 0, locale="de")
        refused = self.obey(alice, "set_preferences", version=0, locale="fr")
        assert refused["error"]["code"] == "stale"
        assert refused["error"]["details"] == {"present": told(alice)}
        assert self.obey(alice, "set_preferences", version=1, locale="fr")["seq"] == 2

    @pytest.mark.parametrize(
        ("args", "field"),
        [
            ({"locale": "de"}, "version"),
            ({"version": 0, "timezone": "Mars"}, "timezone"),
            ({"version": 0, "channels": {"pigeon\0": True}}, "channels"),
            ({"version": 0, "locale": "d\0e"}, "locale"),
            ({"version": 0, "timezone": "\0"}, "timezone"),
            ({"version": 0, "colour": "red"}, "body"),
        ],
    )
    def test_it_is_checked_like_everywhere(self, alice: User, args: dict[str, Any], field: str) -> None:
        refused = self.obey(alice, "set_preferences", **args)
        assert (refused["ok"], refused["error"]["code"]) == (False, "invalid")
        assert list(refused["error"]["details"]) == [field]
        assert not Preference.objects.exists()

    def test_the_other_commands_are_as_they_were(self, producer: User, alice: User) -> None:
        accept(producer, submission("alice"))
        factories.process()
        (id,) = [str(row.pk) for row in inbox.visible(alice.pk)]
        assert self.obey(alice, "mark_read", ids="all")["error"] == {
            "code": "invalid",
            "message": "args.ids must be a list of at most 500 ids.",
        }
        assert self.obey(alice, "mark_read", ids=[id])["data"] == {"changed": 1}
        assert self.obey(alice, "mark_unread", "c2", ids=[id])["seq"] == 3
        assert self.obey(alice, "mark_read", ids=[id])["data"] == {"changed": 0}, "its id was done before"
        assert self.obey(alice, "mark_all_read", "c3")["seq"] == 4
        assert self.obey(alice, "dance")["error"]["code"] == "unknown_command"


def test_what_a_change_costs(alice: User) -> None:
    # Heads and rows, the row, its update, what waits, what to tell.
    assert len(statements(lambda: change(alice, 0, locale="de"))) == 5
    assert len(statements(lambda: preferences.of(alice.pk))) == 1
    # The row of what it is for; heads and rows, is it there, the insert, what waits, what to tell.
    assert len(statements(lambda: own_settings.create(alice.pk, MUTE, now=NOW))) == 6


def test_without_redis_a_change_is_made_all_the_same(alice: User, dead_redis: BlackHole) -> None:
    assert change(alice, 0, locale="de").seq == 1
    assert dead_redis.callers() == 1
    assert counted(alice) == (1, 1, 1)
