"""Versions of words, which of them is used for whom, and what goes out by mail."""

from collections.abc import Iterator
from email.message import EmailMessage
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from core.errors import Invalid
from core.models import User
from delivery import dispatch
from notifications import catalog, layouts, templates
from notifications.models import Layout, Preference, Template, Type
from notifications.words import Lane
from tests import factories, mail
from tests.factories import NOW
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")

UTC_ZONE = ZoneInfo("UTC")
GIVEN = templates.variables(
    type="task.assigned",
    category="tasks",
    priority="normal",
    title="Water the plants",
    body="All of them",
    action_url="/tasks/42",
    actor="Bo",
    object="task:42",
    tags=["garden"],
    created_at=NOW,
    data={},
    template_data={"due": "2026-03-29", "count": 2},
)


@pytest.fixture(autouse=True)
def sample(committed: None) -> Iterator[None]:
    """A type that says what its templates may use; nothing of it is left for other tests."""
    Type.objects.filter(pk="task.assigned").update(sample={"due": "2026-03-02", "count": 1})
    templates._tell.cache_clear()
    yield
    Template.objects.all().delete()
    Layout.objects.all().delete()
    Type.objects.update(sample={})


def save(subject: str = "{{ title }}", source: str = "{{ body }}", **fields: Any) -> Template:
    given = {"type": "task.assigned", "channel": "in_app", "locale": "en", "layout": None, "by": None, "now": NOW}
    return templates.save(**{**given, **fields}, subject=subject, source=source)


def said(locale: str, zone: ZoneInfo = UTC_ZONE) -> tuple[str, str] | None:
    shelf = templates.current(types=["task.assigned"], channels=["in_app"])
    return templates.words(shelf, given=GIVEN, locale=locale, zone=zone)


def versions() -> list[tuple[str, int, bool]]:
    return list(Template.objects.order_by("locale", "version").values_list("locale", "version", "current"))


def test_saving_makes_the_next_version_current_and_the_others_stay() -> None:
    first, second = save("One"), save("Two")
    save("Eins", locale="de")
    assert versions() == [("de", 1, True), ("en", 1, False), ("en", 2, True)]
    assert said("en") == ("Two", "All of them")
    templates.make_current(first)
    templates.make_current(first)
    assert versions() == [("de", 1, True), ("en", 1, True), ("en", 2, False)]
    assert said("en") == ("One", "All of them")
    templates.delete(first)
    assert said("en") is None
    templates.make_current(second)
    assert said("en") == ("Two", "All of them")


def test_what_was_changed_meanwhile_is_not_overwritten() -> None:
    first = save("One")
    second = save("Two", after=first)
    with pytest.raises(templates.Outdated):
        save("Also two", after=first)
    save("Three", after=second)
    assert versions() == [("en", 1, False), ("en", 2, False), ("en", 3, True)]


def test_all_who_save_at_once_get_a_version_and_one_is_current() -> None:
    rows = at_once(*[partial(save, f"Version of {number}") for number in range(8)])
    assert sorted(row.version for row in rows) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [version for version in versions() if version[2]] == [("en", 8, True)]


def test_of_those_who_change_one_version_at_once_one_wins() -> None:
    first = save()
    changes = [partial(save, f"Change of {number}", after=first) for number in range(6)]
    got = at_once(*changes, caught=templates.Outdated)
    assert sorted(type(one).__name__ for one in got) == ["Outdated"] * 5 + ["Template"]
    assert versions() == [("en", 1, False), ("en", 2, True)]


def test_the_persons_language_else_the_next_in_the_chain() -> None:
    assert said("pt-BR") is None
    for locale in ("en", "pt", "pt-br", "de"):
        save(f"Words in {locale}", locale=locale)
    assert [said(locale) for locale in ("pt-BR", "pt-PT", "de-AT", "fr", "")] == [
        (f"Words in {locale}", "All of them") for locale in ("pt-br", "pt", "de", "en", "en")
    ]
    with override_settings(LANGUAGE_CODE="de"):
        assert said("fr") == ("Words in de", "All of them")


def test_dates_and_plurals_are_the_readers() -> None:
    source = "{{ vars.count | plural: one: '%n Tag', other: '%n Tage' }}, {{ created_at | datetime: 'short' }}"
    save("{{ vars.due | date: 'long' }}", source, locale="de")
    assert said("de", ZoneInfo("Asia/Tokyo")) == ("29. März 2026", "2 Tage, 02.03.26, 21:00")
    assert said("de-AT") == ("29. März 2026", "2 Tage, 02.03.26, 12:00")


def test_one_query_for_any_number_of_types() -> None:
    save()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        shelf = templates.current(types=["task.assigned", "task.updated"], channels=["email", "in_app"])
        for _ in range(50):
            templates.words(shelf, given=GIVEN, locale="en", zone=UTC_ZONE)
    assert len(queries) == 1


def test_words_that_cannot_be_filled_in_are_not_used_and_that_is_logged_once() -> None:
    row = save("Due {{ vars.due | date }}")
    shelf = templates.current(types=["task.assigned"], channels=["in_app"])
    with capture_logs() as logs:
        for due in ("2026-03-02", "soon", "soon"):
            got = templates.words(shelf, given={**GIVEN, "vars": {"due": due}}, locale="en", zone=UTC_ZONE)
            assert got == (("Due Mar 2, 2026", "All of them") if due != "soon" else None)
        assert templates.words(shelf, given={**GIVEN, "vars": {}}, locale="en", zone=UTC_ZONE) is None
    whys = [
        "FilterArgumentError: 'soon' is not a date such as 2026-03-02 or 2026-03-02T09:00:00Z",
        "UndefinedError: vars.due is undefined",
    ]
    line = {"event": "template.failed", "log_level": "warning", "template_id": row.pk, "template": str(row)}
    assert logs == [line | {"why": why} for why in whys]


@pytest.mark.parametrize(
    ("fields", "field", "why"),
    [
        ({"subject": "{{ vars.deu }}"}, "source", "Unknown: vars.deu. Known: type, category, "),
        ({"subject": "{{ recipient.username }}"}, "source", "Unknown: recipient.username."),
        (
            {"source": "{{ data.colour }}"},
            "source",
            "nothing in `data`: UndefinedError",
        ),
        ({"source": "{{ vars.due | currency: 'EUR' }}"}, "source", "is not a number"),
        ({"subject": "{{ 'x"}, "source", "not closed"),
        ({"locale": "klingon"}, "locale", "'klingon' is not a language tag"),
        ({"type": "task.lost"}, "type", "Known: task.assigned, task.completed, task.updated."),
        ({"layout": "none", "channel": "email"}, "layout", "'none' does not exist."),
    ],
)
def test_what_cannot_be_used_is_not_saved(fields: dict[str, Any], field: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        save(**fields)
    assert list(refused.value.details) == [field]
    assert why in refused.value.details[field][0]
    assert versions() == []


def test_a_sample_keeps_what_templates_use() -> None:
    save("{{ vars.due }}")
    save("{{ vars.count }}", locale="de")
    save("{{ title }}", locale="de")
    row = Type.objects.get(pk="task.assigned")
    with pytest.raises(Invalid) as refused:
        templates.change_type(row, {"sample": {"other": 1}})
    assert len(refused.value.details["sample"]) == 1
    assert refused.value.details["sample"][0].startswith("task.assigned in_app en v1: Unknown: vars.due.")
    assert Type.objects.get(pk="task.assigned").sample == {"due": "2026-03-02", "count": 1}
    templates.change_type(row, {"sample": {"due": "2027-01-01"}})
    old = Template.objects.get(locale="de", version=1)
    with pytest.raises(Invalid, match="see details"):
        templates.make_current(old)
    assert versions() == [("de", 1, False), ("de", 2, True), ("en", 1, True)]


PART = "<mj-section><mj-column><mj-text>{{ title }}</mj-text></mj-column></mj-section>"


def test_a_layout_keeps_what_stands_in_it_and_is_kept_by_it() -> None:
    frame = "<mjml><mj-body>{{ content }}" + PART.replace("{{ title }}", "%s") + "</mj-body></mjml>"
    layouts.save("main", source=frame % "Bye", now=NOW, new=True)
    with pytest.raises(catalog.AlreadyThere):
        layouts.save("main", source=frame % "Other", now=NOW, new=True)
    row = save("x", PART, channel="email", layout="main")
    for broken in ("<mjml></mjml>", frame % "{{ vars.due }}", "{{ content }}"):
        with pytest.raises(Invalid):
            layouts.save("main", source=broken, now=NOW)
    shelf = templates.current(types=["task.assigned"], channels=["email"])
    given = {**GIVEN, "recipient": {}}
    written = templates.write(shelf, channel="email", given=given, locale="en", zone=UTC_ZONE)
    assert written is not None
    assert written.text == "Water the plants\n\nBye"
    layouts.save("main", source=frame % "See you", now=NOW)
    shelf = templates.current(types=["task.assigned"], channels=["email"])
    written = templates.write(shelf, channel="email", given=given, locale="en", zone=UTC_ZONE)
    assert written is not None
    assert written.text == "Water the plants\n\nSee you"
    with pytest.raises(catalog.InUse) as used:
        layouts.delete(Layout.objects.get())
    assert used.value.details == {"templates": 1}
    templates.delete(row)
    layouts.delete(Layout.objects.get())
    assert not Layout.objects.exists()


def text_of(received: EmailMessage) -> str:
    return str(next(iter(received.iter_parts())).get_content())


class TestMail:
    @pytest.fixture
    def anna(self) -> User:
        """German, in Tokyo."""
        user = factories.user("anna", first_name="Anna")
        Preference.objects.create(user=user, locale="de", timezone="Asia/Tokyo", updated_at=NOW)
        return user

    def send(self, producer: User, *names: str, **fields: Any) -> None:
        factories.accept(producer, factories.submission(*names, **fields))
        factories.process()
        assert dispatch.deliver(channel="email", lane=Lane.NORMAL, clock=lambda: NOW) == len(names)

    def save_both(self) -> None:
        text = "<mj-section><mj-column><mj-text>%s</mj-text></mj-column></mj-section>"
        save("New: {{ title }}", text % "Hello {{ recipient.username }}, due {{ vars.due | date }}", channel="email")
        german = "Hallo {{ recipient.first_name }}, bis {{ vars.due | date: 'long' }}, seit {{ created_at | time }}"
        save("Neu: {{ title }}", text % german, channel="email", locale="de")

    def test_each_gets_it_in_their_language_and_time_zone(
        self, producer: User, anna: User, bob: User, server: mail.MailServer
    ) -> None:
        self.save_both()
        self.send(producer, "anna", "bob", title="<b>Größe</b>", template_data={"due": "2026-03-29"})
        by = {str(one["To"]): one for one in server.received}
        german, english = by["anna@example.com"], by["bob@example.com"]
        assert (str(german["Subject"]), str(english["Subject"])) == ("Neu: <b>Größe</b>", "New: <b>Größe</b>")
        texts = [text_of(one).strip() for one in (german, english)]
        assert texts == ["Hallo Anna, bis 29. März 2026, seit 21:00", "Hello bob, due Mar 29, 2026"]
        html = list(german.iter_parts())[1].get_content()
        assert "bis 29. März 2026, seit 21:00</div>" in html
        assert 'lang="de"' in html

    def test_an_event_without_the_values_goes_in_its_own_words(
        self, producer: User, anna: User, server: mail.MailServer
    ) -> None:
        self.save_both()
        with capture_logs() as logs:
            self.send(producer, "anna", title="Plants", body="Water them")
        (received,) = server.received
        assert str(received["Subject"]) == "Plants"
        assert text_of(received).partition("You get this")[0] == "Plants\r\n\r\nWater them\r\n\r\n"
        failed = [one for one in logs if one["event"] == "template.failed"]
        assert [one["why"] for one in failed] == ["UndefinedError: vars.due is undefined"]

    def test_a_claim_asks_for_templates_once(self, producer: User, server: mail.MailServer) -> None:
        self.save_both()
        names = [f"user{number}" for number in range(20)]
        factories.users(20)
        factories.accept(producer, factories.submission(*names, template_data={"due": "2026-03-29"}))
        factories.process()
        with CaptureQueriesContext(connection) as queries:
            dispatch.deliver(channel="email", lane=Lane.NORMAL, clock=lambda: NOW)
        asked = [one for one in queries if 'FROM "notifications_template"' in one["sql"]]
        assert len(server.received) == 20
        assert len(asked) == 1
