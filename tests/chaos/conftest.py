"""For tests that kill: a Bellhop of their own for each, with a proxy in front of a Valkey of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core import embedded
from core.models import User
from tests import factories
from tests.processes import Bellhop
from tests.proxy import Proxy


@pytest.fixture
def valkey_dir(tmp_path: Path) -> Iterator[Path]:
    """The data directory of a Valkey that this test may stop."""
    directory = tmp_path / "valkey"
    embedded.start(data_dir=directory, postgres=False)
    yield directory
    embedded.stop(data_dir=directory)


@pytest.fixture
def proxy(valkey_dir: Path) -> Iterator[Proxy]:
    made = Proxy(embedded.urls(data_dir=valkey_dir).redis_url)
    yield made
    made.stop()


@pytest.fixture
def bellhop(committed: None, proxy: Proxy, tmp_path: Path) -> Iterator[Bellhop]:
    """Nothing of it runs yet: the test starts what it needs."""
    made = Bellhop(tmp_path, redis_url=proxy.url)
    yield made
    made.stop()


@pytest.fixture
def people(committed: None) -> list[User]:
    """Fifty people with mail addresses."""
    return factories.users(50)
