"""One-click unsubscribe (RFC 8058): the link of a real mail, used as mail programs and people use it."""

import re
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.test import Client, override_settings

from core import pages, redis
from core.models import User
from core.tickets import issue
from notifications import preferences, templates, unsubscribing
from notifications.models import Category, NotificationSetting, Topic, Type
from notifications.unsubscribing import Link
from notifications.words import Value
from tests import mail
from tests.deciding import DAILY, choose, deliver, set_, tell, tell_many, words
from tests.factories import NOW
from tests.live import Listener

pytestmark = pytest.mark.usefixtures("committed")
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture(autouse=True)
def public() -> Iterator[None]:
    with override_settings(PUBLIC_URL="https://bellhop.example.com"):
        yield


@pytest.fixture
def types(committed: None) -> Iterator[None]:
    """Types may be changed: they are put back."""
    kept = list(Type.objects.values())
    yield
    for fields in kept:
        Type.objects.filter(key=fields["key"]).update(**fields)


def link(received: EmailMessage) -> str:
    """The path of the one link in the header, after checking that it is as the RFC wants it."""
    assert received["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    header = dict(received.raw_items())["List-Unsubscribe"]  # as it came: mail programs decode no encoded words here
    found = re.fullmatch(r"<(https://bellhop\.example\.com/unsubscribe/[\w.-]+)>", header)
    assert found
    return urlsplit(found[1]).path


def click(path: str, **fields: str) -> Any:
    """As a mail provider does: no cookie, no page before, from wherever it likes."""
    return Client(enforce_csrf_checks=True).post(path, fields or ONE_CLICK)


def own() -> list[tuple[str, str, str | None, str | None, str | None, str]]:
    fields = ("user__username", "channel", "category", "type", "topic__key", "value")
    return list(NotificationSetting.objects.order_by("pk").values_list(*fields))


OFF = ("alice", "email", "tasks", None, None, "off")


def mailed(server: mail.MailServer, producer: User, *people: str, **fields: Any) -> str:
    """The path in the newest mail about a task."""
    tell(producer, *people or ("alice",), **fields)
    deliver()
    return link(server.received[-1])


def test_one_click_flips_exactly_one_setting(producer: User, alice: User, bob: User, server: mail.MailServer) -> None:
    path = mailed(server, producer, "alice")
    before = preferences.of(alice.pk)
    answer = click(path)
    assert (answer.status_code, answer.cookies, own()) == (200, {}, [OFF])
    assert "No more mail for you about <b>Tasks</b>" in answer.content.decode()
    after = preferences.of(alice.pk)
    assert (after.version, after.rev) == (before.version + 1, before.rev + 2)  # a line for the inbox, and this
    assert preferences.of(bob.pk).version == 0
    tell(producer, "alice", "bob", title="Again")
    deliver()
    assert [(str(m["To"]), str(m["Subject"])) for m in server.received[1:]] == [("bob@example.com", "Again")]


def test_twice_is_once(producer: User, alice: User, server: mail.MailServer) -> None:
    path = mailed(server, producer)
    assert [click(path).status_code for _ in range(3)] == [200, 200, 200]
    assert (own(), preferences.of(alice.pk).version) == ([OFF], 1)


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_both_forms_of_a_body_are_taken(producer: User, alice: User, server: mail.MailServer, kind: str) -> None:
    path = mailed(server, producer)
    body = "List-Unsubscribe=One-Click"
    if kind.startswith("multipart"):
        body = '--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
    assert Client().generic("POST", path, body, content_type=kind).status_code == 200
    assert own() == [OFF]


def test_looking_changes_nothing_and_says_what_the_button_does(
    producer: User, alice: User, server: mail.MailServer
) -> None:
    path = mailed(server, producer)
    for method in ("get", "head"):
        answer = getattr(Client(), method)(path)
        assert (answer.status_code, answer.cookies, own()) == (200, {}, [])
    page = Client().get(path).content.decode()
    assert page.count("<button") == 1
    assert 'name="List-Unsubscribe" value="One-Click"' in page
    assert Client().put(path).status_code == 405
    assert (own(), preferences.of(alice.pk).version) == ([], 0)


def test_a_post_that_does_not_say_so_changes_nothing(producer: User, alice: User, server: mail.MailServer) -> None:
    path = mailed(server, producer)
    assert [click(path, **{"List-Unsubscribe": "Two"}).status_code, Client().post(path).status_code] == [400, 400]
    assert own() == []


def test_undo_forgets_it_and_nothing_else(producer: User, alice: User, server: mail.MailServer) -> None:
    path = mailed(server, producer)
    assert (click(path, undo="1").status_code, preferences.of(alice.pk).version) == (200, 0)
    click(path)
    assert (click(path, undo="1").status_code, own(), preferences.of(alice.pk).version) == (200, [], 2)
    set_(alice, Value.DIGEST, category="tasks")
    click(path, undo="1")
    assert own() == [("alice", "email", "tasks", None, None, "digest")]


def test_what_was_another_value_is_off(producer: User, alice: User, server: mail.MailServer) -> None:
    set_(alice, Value.ON, category="tasks")
    path = mailed(server, producer)
    click(path)
    assert own() == [OFF]


def test_a_forged_or_a_broken_link_does_nothing(
    producer: User, alice: User, bob: User, server: mail.MailServer
) -> None:
    token = mailed(server, producer).removeprefix("/unsubscribe/")
    body, _, seal = token.partition(".")
    bobs, _, other_seal = unsubscribing.sign(Link(bob.pk, "email", "category:tasks")).partition(".")
    assert seal != other_seal
    ticket, _ = issue(user_id=alice.pk, credential="token:x", now=NOW)
    forged = [
        f"{bobs}.{seal}",
        f"{body}.{other_seal}",
        body,
        f"{body}.",
        f".{seal}",
        token[:-1],
        token[1:],
        token + "A",
    ]
    for wrong in [*forged, token.swapcase(), ticket, ticket.replace(":", "."), "x", "%00", "ü", "a" * 5000]:
        for answer in (click(f"/unsubscribe/{wrong}"), Client().get(f"/unsubscribe/{wrong}")):
            assert answer.status_code == 404, wrong
    with override_settings(SECRET_KEY="another" * 8):
        assert click(f"/unsubscribe/{token}").status_code == 404
    assert own() == []
    assert {preferences.of(user.pk).version for user in (alice, bob)} == {0}
    assert click(f"/unsubscribe/{token}").status_code == 200


def test_a_link_outlives_what_it_was_for(producer: User, alice: User, server: mail.MailServer) -> None:
    path = mailed(server, producer)
    alice.delete()
    assert click(path).status_code == 404
    Category.objects.create(key="gone", name="Gone")
    path = f"/unsubscribe/{unsubscribing.sign(Link(producer.pk, 'email', 'category:gone'))}"
    assert Client().get(path).status_code == 200
    Category.objects.filter(key="gone").delete()
    assert (Client().get(path).status_code, click(path).status_code) == (404, 404)
    assert own() == []


def test_the_link_is_for_the_setting_that_decides(
    producer: User, alice: User, bob: User, server: mail.MailServer
) -> None:
    Topic.objects.create(key="garden", name="The garden")
    set_(alice, Value.ON, type="task.assigned")
    click(mailed(server, producer))
    assert own() == [("alice", "email", None, "task.assigned", None, "off")]
    set_(alice, Value.ON, topic="garden")
    path = mailed(server, producer, object="garden")
    assert "<b>The garden</b>" in Client().get(path).content.decode()
    click(path)
    assert own()[1:] == [("alice", "email", None, None, "garden", "off")]
    assert len(server.received) == 2
    tell(producer, "alice", object="garden")
    tell(producer, "alice")
    deliver()
    assert len(server.received) == 2


def test_a_digest_has_its_category(producer: User, alice: User, server: mail.MailServer) -> None:
    choose(alice, digests=DAILY)
    tell_many(producer, "alice", "a", "b")
    deliver(now=NOW.replace(hour=18))
    (digest,) = server.received
    assert digest["Subject"] == "2 notifications in tasks"
    click(link(digest))
    assert own() == [OFF]


@pytest.mark.usefixtures("types")
def test_what_nobody_can_switch_off_has_no_link(producer: User, alice: User, server: mail.MailServer) -> None:
    Type.objects.filter(key="task.assigned").update(required=["email"])
    tell(producer, "alice")
    deliver()
    (received,) = server.received
    assert (received["List-Unsubscribe"], received["List-Unsubscribe-Post"]) == (None, None)
    assert all("unsubscribe" not in str(part.get_content()).lower() for part in received.iter_parts())


def test_people_find_it_in_the_text_too(producer: User, alice: User, server: mail.MailServer) -> None:
    path = mailed(server, producer)
    (received,) = server.received
    url = f"{settings.PUBLIC_URL}{path}"
    _, html = received.iter_parts()
    assert url in words(received).splitlines()
    assert f'href="{url}"' in str(html.get_content()).replace("\r\n", "\n")


def test_a_template_may_show_it(producer: User, alice: User, server: mail.MailServer) -> None:
    inside = "<mj-text>Hello <a href='{{ unsubscribe_url }}'>Stop</a></mj-text>"
    mjml = f"<mj-section><mj-column>{inside}</mj-column></mj-section>"
    fields = {"type": "task.assigned", "channel": "email", "locale": "en", "subject": "Hello", "source": mjml}
    made = templates.save(**fields, layout=None, by=None, now=NOW)  # type: ignore[arg-type]
    try:
        path = mailed(server, producer)
    finally:
        made.delete()
    (received,) = server.received
    assert received["Subject"] == "Hello"
    assert f"Stop ({settings.PUBLIC_URL}{path})" in words(received).replace("\n", "")
    _, html = received.iter_parts()
    assert f'href="{settings.PUBLIC_URL}{path}"' in str(html.get_content())


def test_open_pages_are_told(producer: User, alice: User, server: mail.MailServer) -> None:
    path = mailed(server, producer)
    with Listener() as heard:
        click(path)
        click(path)
        assert [line[:3] for line in heard.lines()] == [(alice.pk, 2, "preferences")]


def test_a_link_has_a_rate_of_its_own(
    producer: User, alice: User, server: mail.MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mailed(server, producer)
    monkeypatch.setattr(pages, "LINK_RATE", "2/day")
    redis.attempt(lambda r: r.flushdb())
    assert [Client().get(path).status_code for _ in range(3)] == [200, 200, 429]
    answer = click(path)
    assert (answer.status_code, int(answer["Retry-After"]) > 0, own()) == (429, True, [])
    other = f"/unsubscribe/{unsubscribing.sign(Link(producer.pk, 'email', 'category:tasks'))}"
    assert click(other).status_code == 200


def test_a_token_can_be_read_by_whoever_has_it_and_says_only_this() -> None:
    token = unsubscribing.sign(Link(7, "email", "category:tasks"))
    assert unsubscribing.opened(token) == Link(7, "email", "category:tasks")
    assert token == unsubscribing.sign(Link(7, "email", "category:tasks"))
    assert len(token) < 100
