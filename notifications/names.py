"""The names an event may mention: what does not exist is refused, and what does is named."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings

from core.errors import Invalid
from notifications.models import Category, Topic, Type
from notifications.words import IN_APP


def unknown_channels(channels: Sequence[str] | None) -> Invalid | None:
    """What is wrong with the channels an event asks for, if anything. No query."""
    known = {IN_APP, *settings.DELIVERY_CHANNELS}
    unknown = sorted(set(channels or ()) - known)
    if not unknown:
        return None
    return _refusal(channels=[f"Unknown: {', '.join(unknown)}. Known: {', '.join(sorted(known))}"])


def unknown_names(rows: Sequence[Mapping[str, Any]]) -> list[Invalid | None]:
    """What is wrong with the `type`, `category` and `topic` of each row, if anything. Three queries for all."""
    known = {
        "type": set(Type.objects.values_list("key", flat=True)),
        "category": set(Category.objects.values_list("key", flat=True)),
        "topic": set(
            Topic.objects.filter(key__in=[r["topic"] for r in rows if r["topic"]]).values_list("key", flat=True)
        ),
    }
    answers: list[Invalid | None] = []
    for row in rows:
        details = {
            name: [f"{row[name]!r} does not exist." + _choices(name, names)]
            for name, names in known.items()
            if row[name] is not None and row[name] not in names
        }
        answers.append(_refusal(**details) if details else None)
    return answers


def _choices(name: str, names: set[str]) -> str:
    return "" if name == "topic" else f" Known: {', '.join(sorted(names))}."


def _refusal(**details: Any) -> Invalid:
    return Invalid("The body is not valid: see details.", **details)
