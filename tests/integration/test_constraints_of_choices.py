"""What the database refuses of preferences, digests, templates and schedules, whoever asks."""

import pytest
from django.db import IntegrityError, connection, transaction
from django_celery_beat.models import CrontabSchedule

from core.models import User
from notifications.models import (
    Digest,
    NotificationSetting,
    Preference,
    PreferenceTemplate,
    Schedule,
    Spending,
    Template,
    Topic,
)
from tests import factories
from tests.factories import NOW, accept, submission


@pytest.fixture
def rows(committed: None, producer: User, alice: User, bob: User) -> None:
    """One of everything, and a delivery that waits."""
    Preference.objects.create(user=alice, updated_at=NOW, template=PreferenceTemplate.objects.get(is_default=True))
    topic = Topic.objects.create(key="project-7")
    for scope in ({"category_id": "tasks"}, {"type_id": "task.assigned"}, {"topic": topic}):
        NotificationSetting.objects.create(user=alice, channel="email", value="off", updated_at=NOW, **scope)
    Digest.objects.create(user=alice, channel="email", address="a@example.com", category_id="tasks", opened_at=NOW)
    Spending.objects.create(user=alice, channel="email", hour=NOW, used=1)
    Template.objects.create(
        type_id="task.assigned", channel="email", locale="en", version=1, subject="s", source="t", created_at=NOW
    )
    Schedule.objects.create(
        producer=producer,
        name="daily",
        submission={},
        crontab=CrontabSchedule.objects.create(hour="9"),
        due_at=NOW,
        created_at=NOW,
    )
    accept(producer, submission("bob"))
    factories.process()


SETTING = "UPDATE notifications_notificationsetting SET {} WHERE category_id IS NOT NULL"
TEMPLATE = (
    "INSERT INTO notifications_template (type_id, channel, locale, version, current, subject, source, created_at) "
    "SELECT type_id, channel, locale, {}, '', '', now() FROM notifications_template"
)
COPIES = {
    "notifications_notificationsetting": "user_id, category_id, type_id, topic_id, channel, value, updated_at",
    "notifications_digest": "user_id, channel, address, category_id, key, open, opened_at",
    "notifications_spending": "user_id, channel, hour, used",
}


def copy(table: str, *, where: str = "true") -> str:
    """Insert rows of a table once more: all columns but the generated id."""
    return f"INSERT INTO {table} ({COPIES[table]}) SELECT {COPIES[table]} FROM {table} WHERE {where}"


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        (copy("notifications_notificationsetting", where="category_id IS NOT NULL"), "setting_once_per_category"),
        (copy("notifications_notificationsetting", where="type_id IS NOT NULL"), "setting_once_per_type"),
        (copy("notifications_notificationsetting", where="topic_id IS NOT NULL"), "setting_once_per_topic"),
        (SETTING.format("category_id = NULL"), "setting_of_one_thing"),
        (SETTING.format("type_id = 'task.updated'"), "setting_of_one_thing"),
        (SETTING.format("value = 'sometimes'"), "setting_value_known"),
        (SETTING.format("channel = 'in_app', value = 'digest'"), "setting_no_digest_in_app"),
        (
            "INSERT INTO notifications_preferencetemplate (locale, timezone, channels, digests, version, updated_at,"
            " name, is_default, settings) VALUES ('', '', '{}', '{}', 1, now(), 'other', true, '{}')",
            "preference_template_one_default",
        ),
        ("DELETE FROM notifications_preferencetemplate", "violates foreign key"),
        (copy("notifications_digest"), "digest_one_open_window"),
        ("UPDATE notifications_digest SET open = false", "digest_closed_at_its_close"),
        ("UPDATE notifications_digest SET closed_at = now()", "digest_closed_at_its_close"),
        (copy("notifications_spending"), "spending_once"),
        ("UPDATE notifications_spending SET used = -1", "notifications_spending_used_check"),
        ("UPDATE notifications_delivery SET notification_id = NULL", "delivery_is_of_something"),
        (
            "UPDATE notifications_delivery SET digest_id = (SELECT id FROM notifications_digest)",
            "delivery_in_a_digest_has_ended",
        ),
        ("UPDATE notifications_type SET required = '{email}', not_allowed = '{email}'", "type_required_is_allowed"),
        (
            TEMPLATE.format("1, false"),
            "template_version_once",
        ),
        (
            TEMPLATE.format("2, true"),
            "template_one_current",
        ),
        ("UPDATE notifications_schedule SET crontab_id = NULL", "schedule_one_of_two"),
        (
            "INSERT INTO django_celery_beat_intervalschedule (id, every, period) VALUES (77, 1, 'days');"
            "UPDATE notifications_schedule SET crontab_id = NULL, interval_id = 77, each_own_zone = true",
            "schedule_own_zone_needs_a_crontab",
        ),
        ("UPDATE notifications_schedule SET due_at = NULL", "schedule_enabled_ones_are_due"),
        ("UPDATE notifications_schedule SET enabled = false", "schedule_enabled_ones_are_due"),
    ],
)
def test_the_database_refuses(rows: None, statement: str, constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic(), connection.cursor() as cursor:
        # Django's foreign keys are otherwise checked at the commit.
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; {statement}")
