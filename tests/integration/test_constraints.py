"""The database keeps its own rules, whatever code comes by; and its shape can be taken back."""

import os
import subprocess
import sys
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import IntegrityError, connection, transaction

from core.models import User
from notifications.models import Topic
from tests import factories
from tests.factories import NOW, accept, submission

pytestmark = pytest.mark.usefixtures("committed")

LATER = NOW + timedelta(days=1)


@pytest.fixture
def rows(producer: User, alice: User, bob: User) -> None:
    """One of everything: an event that is done and one that is open, lines, deliveries, an attempt."""
    topic = Topic.objects.create(key="garden")
    accept(producer, submission("alice", "bob"), keys=["first"])
    factories.process()
    accept(producer, submission("alice"), keys=["second"])
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO notifications_subscription (topic_id, user_id, created_at) VALUES (%s, %s, now())",
            [topic.pk, alice.pk],
        )
        cursor.execute(
            "INSERT INTO notifications_attempt (delivery_id, token, result, code, detail, started_at, ended_at) "
            "SELECT min(id), 1, 'sent', '', '', now(), now() FROM notifications_delivery"
        )


def copy(table: str, *, keep: str = "") -> str:
    """Insert every row of a table once more: all columns but the generated id."""
    return f"INSERT INTO {table} ({keep}) SELECT {keep} FROM {table}"


LINE = "event_id, user_id, created_at, decisions"
DELIVERY = (
    "notification_id, channel, address, lane, state, reason, rule, due_at, token, attempts, in_flight, lost_claims, "
    "code, provider_id, created_at"
)
EVENT = "UPDATE notifications_event SET {} WHERE idempotency_key = 'first'"
OPEN_EVENT = "UPDATE notifications_event SET {} WHERE idempotency_key = 'second'"


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        (EVENT.format("idempotency_key = 'second'"), "event_idempotency_key_once"),
        (EVENT.format("state = 'lost'"), "event_state_known"),
        (EVENT.format("priority = 'urgent'"), "event_priority_known"),
        (EVENT.format("lane = 'fast'"), "event_lane_known"),
        (EVENT.format("everyone = true"), "event_one_audience"),
        (EVENT.format("usernames = NULL"), "event_one_audience"),
        (EVENT.format("topic_id = (SELECT id FROM notifications_topic)"), "event_one_audience"),
        (EVENT.format("due_at = now()"), "event_open_rows_are_due"),
        (EVENT.format("state = 'processing'"), "event_open_rows_are_due"),
        (OPEN_EVENT.format("due_at = NULL"), "event_open_rows_are_due"),
        (OPEN_EVENT.format("state = 'processed'"), "event_open_rows_are_due"),
        (OPEN_EVENT.format("state = 'cancelled'"), "event_open_rows_are_due"),
        (EVENT.format("type_id = 'task.lost'"), "notifications_event_type_id"),
        (EVENT.format("token = -1"), "notifications_event_token_check"),
        ("UPDATE notifications_inboxhead SET unread = -1", "inbox_head_counts_positive"),
        ("UPDATE notifications_inboxhead SET unseen = -1", "inbox_head_counts_positive"),
        ("UPDATE notifications_inboxhead SET read_watermark = head_seq + 1", "inbox_head_watermark_behind_head"),
        (copy("notifications_notification", keep=LINE), "notification_once_per_recipient"),
        (
            "UPDATE notifications_notification SET user_id = (SELECT max(user_id) FROM notifications_notification)",
            "notification_once_per_recipient",
        ),
        (copy("notifications_delivery", keep=DELIVERY), "delivery_once_per_address"),
        ("UPDATE notifications_delivery SET state = 'lost', due_at = NULL", "delivery_state_known"),
        ("UPDATE notifications_delivery SET lane = 'fast'", "delivery_lane_known"),
        ("UPDATE notifications_delivery SET due_at = NULL", "delivery_open_rows_are_due"),
        ("UPDATE notifications_delivery SET state = 'sent'", "delivery_open_rows_are_due"),
        ("UPDATE notifications_delivery SET attempts = -1", "notifications_delivery_attempts_check"),
        (
            copy("notifications_attempt", keep="delivery_id, token, result, code, detail, started_at, ended_at"),
            "attempt_once_per_claim",
        ),
        (copy("notifications_subscription", keep="topic_id, user_id, created_at"), "subscription_once"),
        ("UPDATE notifications_type SET priority = 'urgent'", "type_priority_known"),
        ("DELETE FROM notifications_category", "violates foreign key"),
        ("DELETE FROM core_user WHERE username = 'producer'", "violates foreign key"),
        ("UPDATE core_user SET username = '' WHERE username = 'alice'", "user_username_not_empty"),
        ("UPDATE core_user SET username = 'alice'", "core_user_username"),
    ],
)
def test_the_database_refuses(rows: None, statement: str, constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic(), connection.cursor() as cursor:
        # Django's foreign keys are otherwise checked at the commit.
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; {statement}")


def test_one_number_is_given_once(rows: None, producer: User, alice: User) -> None:
    factories.process()
    with (
        pytest.raises(IntegrityError, match="notification_rev_once_per_user"),
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE notifications_notification SET rev = 1 WHERE user_id = %s", [alice.pk])


MIGRATE = """
import sys
import django
from django.conf import settings

settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from django.core.management import call_command
from django.db import connection
from notifications.models import Type

def tables():
    with connection.cursor() as cursor:
        return sorted(t.name for t in connection.introspection.get_table_list(cursor) if "notifications_" in t.name)

call_command("migrate", verbosity=0)
made = tables()
call_command("migrate", "notifications", "0001", verbosity=0)
print(Type.objects.count())
call_command("migrate", "notifications", "zero", verbosity=0)
print(tables())
call_command("migrate", verbosity=0)
print(tables() == made, len(made) > 8, sorted(Type.objects.values_list("key", flat=True)))
"""


def test_migrations_can_be_taken_back_and_done_again() -> None:
    scratch = f"scratch_{uuid.uuid4().hex[:8]}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {scratch}")
        try:
            done = subprocess.run(
                [sys.executable, "-c", MIGRATE, scratch],
                env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONWARNINGS": ""},
                cwd=Path(__file__).parents[2],
                capture_output=True,
                text=True,
                timeout=100,
            )
        finally:
            cursor.execute(f"DROP DATABASE {scratch} WITH (FORCE)")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["0", "[]", "True True ['task.assigned', 'task.completed', 'task.updated']"],
    ), done.stderr
