"""One running Bellhop for the tests of a folder; each test finds it empty and at rest."""

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from notifications.models import Delivery, Event
from tests.conftest import empty
from tests.processes import Bellhop
from tests.waiting import wait_until

RUNNING = ("sink", "web", "ws", "worker", "worker_urgent", "worker_delivery", "dispatcher")


# Of one package: another folder's tests must not meet these workers on their database.
@pytest.fixture(scope="package")
def running(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bellhop]:
    with django_db_blocker.unblock():
        bellhop = Bellhop(tmp_path_factory.mktemp("bellhop"))
        try:
            bellhop.start(*RUNNING)
            yield bellhop
        finally:
            bellhop.stop()


@pytest.fixture
def bellhop(running: Bellhop, django_db_blocker: DjangoDbBlocker) -> Iterator[Bellhop]:
    """The running Bellhop with an empty database and no mail."""
    with django_db_blocker.unblock():
        empty()
        for mail in running.mails():
            mail.unlink()
        yield running
        at_rest()
        empty()


def at_rest() -> None:
    """Wait until nothing is in a worker's hands, so that the next test starts from nothing."""
    wait_until(
        lambda: (
            not Event.objects.filter(state="processing").exists()
            and not Delivery.objects.filter(in_flight=True).exists()
        ),
        what="the workers coming to rest",
        within=90,
    )
