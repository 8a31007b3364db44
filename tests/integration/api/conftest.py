"""People who call the API, and lines for them to see."""

import pytest

from core.models import User
from tests.api import Caller


@pytest.fixture
def as_producer(committed: None, producer: User) -> Caller:
    return Caller(producer)


@pytest.fixture
def as_alice(committed: None, alice: User) -> Caller:
    return Caller(alice)


@pytest.fixture
def as_bob(committed: None, bob: User) -> Caller:
    return Caller(bob)


@pytest.fixture
def stranger(committed: None) -> Caller:
    return Caller()
