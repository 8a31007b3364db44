"""What people and staff choose at the same moment: exactly one wins, and nothing is half done."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from core.errors import AppError, NotFound
from core.models import User
from delivery import recheck
from notifications import ledger, own_settings, preference_templates, preferences
from notifications.models import Delivery, InboxHead, NotificationSetting, Preference, PreferenceTemplate
from notifications.options import PreferenceChange, TemplateChange, Window
from notifications.own_settings import SettingBody
from notifications.preferences import Changed, Stale
from notifications.words import Lane, Reason, Value
from tests import factories
from tests.factories import NOW
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")

ROUNDS = 15
MUTE = SettingBody(category="tasks", channel="email", value=Value.OFF)


@pytest.fixture
def no_templates(committed: None) -> Iterator[None]:
    yield
    Preference.objects.all().delete()
    PreferenceTemplate.objects.exclude(name="standard").delete()
    PreferenceTemplate.objects.update(is_default=True)


def race(*calls: Callable[[], Any]) -> list[Any]:
    """What each of these calls at once returned, or how it was refused."""
    return at_once(*calls, caught=AppError)


def test_of_two_changes_with_one_version_exactly_one_wins(alice: User) -> None:
    for version in range(ROUNDS):
        zones = (f"Etc/GMT+{version % 12 + 1}", f"Etc/GMT-{version % 12 + 1}")
        changes = [PreferenceChange(version=version, timezone=zone) for zone in zones]
        results = race(*[partial(preferences.change, alice.pk, given, now=NOW) for given in changes])
        won = [result for result in results if isinstance(result, Changed)]
        lost = [result for result in results if isinstance(result, Stale)]
        assert (len(won), len(lost)) == (1, 1), results
        present = preferences.of(alice.pk)
        assert (won[0].seq, won[0].preferences) == (version + 1, present)
        assert present.version == version + 1
        assert lost[0].details == {"present": present}
    assert InboxHead.objects.values_list("head_seq", "choices").get() == (ROUNDS, ROUNDS)


def test_of_two_settings_for_one_thing_one_is_made(alice: User) -> None:
    for _ in range(5):
        results = race(*[partial(own_settings.create, alice.pk, MUTE, now=NOW)] * 2)
        made = [result for result in results if isinstance(result, NotificationSetting)]
        refused = [result for result in results if isinstance(result, own_settings.AlreadyThere)]
        assert (len(made), len(refused)) == (1, 1), results
        assert refused[0].details == {"id": str(made[0].pk)}
        own_settings.delete(alice.pk, made[0].pk, now=NOW)


def test_of_two_defaults_one_remains(no_templates: None) -> None:
    for number in range(5):
        calls = [
            partial(preference_templates.create, TemplateChange(name=name, is_default=True), now=NOW)
            for name in (f"a{number}", f"b{number}")
        ]
        assert all(isinstance(result, PreferenceTemplate) for result in race(*calls))
        assert PreferenceTemplate.objects.filter(is_default=True).count() == 1


def test_a_template_that_is_being_applied_is_not_deleted_under_it(no_templates: None) -> None:
    people = factories.users(20)
    for number in range(5):
        one = preference_templates.create(TemplateChange(name=f"t{number}"), now=NOW)
        applied, deleted = race(
            partial(preference_templates.apply, one.pk, usernames=None, reset=True, now=NOW),
            partial(preference_templates.delete, one.pk),
        )
        if isinstance(deleted, preference_templates.InUse):
            assert deleted.details == {"people": len(people), "is_default": False}
            assert applied == (len(people), [])
        else:
            assert isinstance(applied, NotFound) or applied == (0, [])
            assert deleted is None


def test_a_night_held_to_on_old_choices_is_looked_at_again_at_once(producer: User, alice: User) -> None:
    night = PreferenceChange(version=0, quiet_hours=[Window(days=list(range(7)), start="08:00", end="18:00")])
    preferences.change(alice.pk, night, now=NOW)
    factories.accept(producer, factories.submission("alice", email_if_unread_after=60))
    factories.process()
    evening = NOW.replace(hour=18)
    Delivery.objects.update(due_at=NOW)  # as if it had been due when the choices were others
    (held,) = ledger.claim(channel="email", lane=Lane.NORMAL, limit=1, now=NOW)
    verdict = recheck.look(held, channel="email", max_attempts=8, now=NOW)
    assert verdict
    assert (verdict.reason, verdict.due_at) == (Reason.QUIET_HOURS, evening)
    # Between the look and the record she is up again; the row is in a worker's hands, and nobody can wake it.
    preferences.change(alice.pk, PreferenceChange(version=1, quiet_hours=[]), now=NOW)
    assert ledger.record([(held, verdict)], now=NOW) == {held.id}
    row = Delivery.objects.get()
    assert (row.state, row.reason, row.due_at) == ("pending", "quiet_hours", NOW)
