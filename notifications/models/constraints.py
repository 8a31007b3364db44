"""The kinds of constraint that several tables share."""

from typing import Any

from django.db import models
from django.db.models import Q


def one_of(field: str, words: Any, name: str) -> models.CheckConstraint:
    """The column holds one of a closed list of words."""
    return models.CheckConstraint(condition=Q(**{f"{field}__in": [w.value for w in words]}), name=name)


def open_rows_are_due(states: list[str], name: str) -> models.CheckConstraint:
    """A row has a `due_at` exactly while it is open: no open row can be forgotten."""
    return models.CheckConstraint(
        condition=Q(state__in=states, due_at__isnull=False) | (~Q(state__in=states) & Q(due_at__isnull=True)),
        name=name,
    )
