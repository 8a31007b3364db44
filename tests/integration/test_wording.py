"""Inbox lines in each person's language: written once per language and time zone, the same wherever they are read."""

from typing import Any

import pytest

from core.models import User
from notifications import templates
from notifications.models import Layout, Notification, Preference, Template, Type
from tests import factories
from tests.api import Caller
from tests.factories import NOW, accept, submission
from tests.live import Listener

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def translated(producer: User, alice: User, bob: User) -> Any:
    """English and German words for `task.assigned`; bob reads German, carol too, alice nothing in particular."""
    Type.objects.filter(key="task.assigned").update(sample={"task": "Water the plants"})
    for locale, subject in (("en", "Do: {{ vars.task }}"), ("de", "Zu tun: {{ vars.task }}")):
        templates.save(
            type="task.assigned",
            channel="in_app",
            locale=locale,
            subject=subject,
            source="{{ actor }} at {{ created_at | time: 'HH:mm' }}",
            layout=None,
            by=None,
            now=NOW,
        )
    Preference.objects.create(user=bob, locale="de", timezone="Europe/Berlin", updated_at=NOW)
    carol = factories.user("carol")
    Preference.objects.create(user=carol, locale="de-AT", timezone="Europe/Vienna", updated_at=NOW)
    yield
    Type.objects.filter(key="task.assigned").update(sample={})
    Template.objects.all().delete()
    Layout.objects.all().delete()


def send(producer: User, *names: str, **fields: Any) -> None:
    given = {"actor": "dora", "template_data": {"task": "Feed the cat"}} | fields
    accept(producer, submission(*names, **given))
    factories.process()


def test_each_reads_their_own_language_and_clock(producer: User, translated: None) -> None:
    with Listener() as heard:
        send(producer, "alice", "bob", "carol")
        told = heard.lines()
    lines = {line.user.username: (line.title, line.body) for line in Notification.objects.select_related("user")}
    assert lines == {
        "alice": ("Do: Feed the cat", "dora at 12:00"),
        "bob": ("Zu tun: Feed the cat", "dora at 13:00"),
        "carol": ("Zu tun: Feed the cat", "dora at 13:00"),
    }
    assert len(told) == 3
    for name in lines:
        (shown,) = Caller(User.objects.get(username=name)).get("/notifications")["results"]
        assert (shown["title"], shown["body"]) == lines[name]


def test_what_the_sockets_say_is_what_the_inbox_says(producer: User, translated: None) -> None:
    with Listener() as heard:
        send(producer, "alice", "bob", "carol")
        (message,) = heard.messages()
    assert message.batch
    texts = [message.batch.shared[line.index] for line in message.batch.lines]
    assert [("Do: Feed the cat" in text, "Zu tun: Feed the cat" in text) for text in texts] == [
        (True, False),
        (False, True),
        (False, True),
    ]
    # Berlin and Vienna read the same: encoded once.
    assert len(message.batch.shared) == 2


def test_an_event_that_does_not_fit_the_words_keeps_its_own(producer: User, translated: None) -> None:
    send(producer, "alice", title="As it was", template_data={})
    line = Notification.objects.get()
    assert (line.title, line.body) == (None, None)
    (shown,) = Caller(User.objects.get(username="alice")).get("/notifications")["results"]
    assert shown["title"] == "As it was"


def test_what_is_shown_is_found(producer: User, translated: None) -> None:
    send(producer, "bob", title="Original")
    call = Caller(User.objects.get(username="bob"))
    assert len(call.get("/notifications?q=zu")["results"]) == 1
    assert len(call.get("/notifications?q=original")["results"]) == 1
    assert call.get("/notifications?q=nothing")["results"] == []


def test_an_event_is_written_once_per_language_and_zone(
    producer: User, translated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = factories.users(300)
    Preference.objects.bulk_create(
        [Preference(user=user, locale="de" if n % 3 else "en", updated_at=NOW) for n, user in enumerate(people)]
    )
    written = []
    write = templates.words

    def counted(*args: Any, **kwargs: Any) -> Any:
        written.append(kwargs["locale"])
        return write(*args, **kwargs)

    monkeypatch.setattr(templates, "words", counted)
    send(producer, *[user.username for user in people])
    assert sorted(written) == ["de", "en"]
    assert Notification.objects.filter(title="Zu tun: Feed the cat").count() == 200
