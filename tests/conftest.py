"""Real servers for the tests that need them, started once; unit and rules tests never touch them."""

import os
from collections.abc import Iterator

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
ROOTS = ("core_user", "notifications_topic", "notifications_breaker", "notifications_suppression")


def empty() -> None:
    """Forget all people and what hangs on them; categories and types stay. Redis is emptied too."""
    wait_until(_truncated, what="emptying the database")
    redis.attempt(lambda r: r.flushdb())


def _truncated() -> bool:
    """False when a running process held one of the tables: waiting longer could be a deadlock with its query."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(f"SELECT EXISTS (SELECT FROM {table})" for table in ROOTS))
            if not any(found for (found,) in cursor.fetchall()):
                return True  # a look is a hundred times cheaper than a TRUNCATE of nothing
            cursor.execute("SET LOCAL lock_timeout = '200ms'")
            cursor.execute(f"TRUNCATE {', '.join(ROOTS)} RESTART IDENTITY CASCADE")
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
