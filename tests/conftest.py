"""Real servers for the tests that need them, started once; unit and rules tests never touch them."""

import os
from collections.abc import Iterator
from functools import cache

import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.test.utils import setup_databases, teardown_databases
from pytest_django import DjangoDbBlocker

from core import embedded, redis
from core.models import User
from tests import factories
from tests.waiting import wait_until


@pytest.fixture(scope="session")
def servers() -> Iterator[None]:
    """PostgreSQL and Valkey, unless the environment names others."""
    if os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"):
        yield
        return
    embedded.start(data_dir=settings.DATA_DIR)
    yield
    embedded.stop(data_dir=settings.DATA_DIR)


@pytest.fixture(scope="session")
def django_db_setup(servers: None, django_test_environment: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The test database, made once. Ours and not pytest-django's, which makes none for `committed`."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False)
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        # Threads of a test may have left a connection, and then the database could not be dropped.
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        teardown_databases(made, verbosity=0)


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A database in which commits are real, as other processes and threads see them. Emptied before and after."""
    with django_db_blocker.unblock():
        empty()
        yield
        empty()


# What hangs on nothing else; the rest goes with them.
ROOTS = (
    "core_user",
    "notifications_topic",
    "notifications_breaker",
    "notifications_suppression",
    "notifications_webhook",
)


def empty() -> None:
    """Forget all people and what hangs on them; categories and types stay. Redis is emptied too."""
    wait_until(_emptied, what="emptying the database")
    redis.attempt(lambda r: r.flushdb())


MANY = 5000  # rows; above it a TRUNCATE is quicker. Below it is ten times slower: it makes a new file for each table


@cache
def _tables() -> list[str]:
    """The roots, and every table that hangs on them."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE found(oid) AS (
                SELECT unnest(%s::regclass[])::oid
                UNION SELECT conrelid FROM pg_constraint JOIN found ON confrelid = found.oid WHERE contype = 'f')
            SELECT oid::regclass::text FROM found
            """,
            [list(ROOTS)],
        )
        return [table for (table,) in cursor.fetchall()]


@cache
def _counters() -> list[str]:
    """What numbers the rows of these tables."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_serial_sequence(table_name, column_name) FROM information_schema.columns "
            "WHERE is_identity = 'YES' AND table_name = ANY(%s)",
            [_tables()],
        )
        return [counter for (counter,) in cursor.fetchall()]


def _emptied() -> bool:
    """False when a running process held one of the tables: waiting longer could be a deadlock with its query."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(f"SELECT EXISTS (SELECT FROM {table})" for table in ROOTS))
            if not any(found for (found,) in cursor.fetchall()):
                return True  # a look is cheaper than emptying what is empty
            cursor.execute("SET LOCAL lock_timeout = '200ms'")
            counted = ("core_user", "notifications_event", "notifications_notification")
            cursor.execute(
                " UNION ALL ".join(f"SELECT count(*) FROM (SELECT FROM {table} LIMIT {MANY}) part" for table in counted)
            )
            if max(count for (count,) in cursor.fetchall()) == MANY:
                cursor.execute(f"TRUNCATE {', '.join(ROOTS)} RESTART IDENTITY CASCADE")
                return True
            for table in _tables():  # in any order: foreign keys are looked at when the transaction ends
                cursor.execute(f"DELETE FROM {table}")
            cursor.execute("SELECT setval(counter, 1, false) FROM unnest(%s) counter", [_counters()])
    except OperationalError:
        return False
    return True


@pytest.fixture
def producer(request: pytest.FixtureRequest) -> User:
    return factories.user("producer", is_producer=True)


@pytest.fixture
def alice() -> User:
    return factories.user("alice")


@pytest.fixture
def bob() -> User:
    return factories.user("bob")
