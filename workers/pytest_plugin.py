"""
The pytest plugin: `pytest_plugins = ["workers.pytest_plugin"]` in a conftest.py, or `-p workers.pytest_plugin`.

Nothing else imports this module: pytest is a requirement of tests only.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from workers.bellhop_clock import BellhopClock


@pytest.fixture
def bellhop_clock() -> Iterator["BellhopClock"]:
    """Bellhop in virtual time. The test needs a database: `@pytest.mark.django_db`, with or without a transaction."""
    # Not above: with -p this module is imported before pytest-django has set up Django.
    from workers.bellhop_clock import BellhopClock

    with BellhopClock.running() as clock:
        yield clock
