"""
Choices as the database gives them, and as the resolver wants them. One set-based query brings them; equal
texts are read once, and because the text is the key, what is remembered cannot be stale.
"""

from datetime import datetime, time
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from notifications import hours
from notifications.resolver import Choices, Switches
from notifications.words import Value

DEFAULT_ZONE = "UTC"


class Raw(NamedTuple):
    """A person's choices as texts. People who chose the same have equal ones."""

    locale: str = ""
    timezone: str = ""
    muted_until: datetime | None = None
    quiet_hours: str | None = None
    digests: str | None = None
    channels: str | None = None
    settings: str | None = None
    template_channels: str | None = None
    template_settings: str | None = None


# Joins and columns for a query that has a user `u`. `scopes` narrows the settings (alias s, topic o) to those
# that can matter, so that people who differ elsewhere stay alike.
JOINS = """
LEFT JOIN notifications_preference p ON p.user_id = u.id
LEFT JOIN notifications_preferencetemplate pt
    ON pt.id = p.template_id OR (p.template_id IS NULL AND pt.is_default)
"""
ZONE = f"coalesce(nullif(p.timezone, ''), nullif(pt.timezone, ''), '{DEFAULT_ZONE}')"
COLUMNS = f"""
coalesce(nullif(p.locale, ''), pt.locale, ''), {ZONE}, p.muted_until,
coalesce(p.quiet_hours, pt.quiet_hours)::text,
(coalesce(pt.digests, '{{{{}}}}') || coalesce(p.digests, '{{{{}}}}'))::text,
nullif(p.channels, '{{{{}}}}')::text,
(SELECT jsonb_object_agg(
     coalesce('topic:' || o.key, 'type:' || s.type_id, 'category:' || s.category_id) || ' ' || s.channel, s.value)
 FROM notifications_notificationsetting s LEFT JOIN notifications_topic o ON o.id = s.topic_id
 WHERE s.user_id = u.id AND ({{scopes}}))::text,
nullif(pt.channels, '{{{{}}}}')::text, nullif(pt.settings, '{{{{}}}}')::text
"""
WIDTH = len(Raw._fields)


def columns(*, scopes: str = "true") -> str:
    """The columns of a Raw."""
    return COLUMNS.format(scopes=scopes)


@lru_cache(maxsize=10_000)
def read(raw: Raw) -> Choices:
    """The choices that these texts say."""
    return Choices(
        person=Switches(channels=_json(raw.channels), settings=_flat(_json(raw.settings))),
        template=Switches(channels=_json(raw.template_channels), settings=_nested(_json(raw.template_settings))),
        locale=raw.locale,
        zone=ZoneInfo(raw.timezone or DEFAULT_ZONE),
        quiet=tuple(window(one) for one in _json(raw.quiet_hours) or ()),
        digests={channel: frequency(one) for channel, one in _json(raw.digests).items()},
        muted_until=raw.muted_until,
    )


def _json(text: str | None) -> Any:
    return msgspec.json.decode(text) if text else {}


def _flat(settings: dict[str, str]) -> dict[tuple[str, str], Value]:
    """A person's: {"category:tasks email": "off"}; a key holds no space."""
    return {(key.rpartition(" ")[0], key.rpartition(" ")[2]): Value(value) for key, value in settings.items()}


def _nested(settings: dict[str, dict[str, str]]) -> dict[tuple[str, str], Value]:
    """A template's: {"category:tasks": {"email": "off"}}."""
    return {(scope, channel): Value(value) for scope, by in settings.items() for channel, value in by.items()}


def window(stored: dict[str, Any]) -> hours.Window:
    """A window as it is stored: {"days": [0, 1], "start": "22:00", "end": "07:00"}."""
    return hours.Window(
        days=frozenset(stored["days"]),
        start=time.fromisoformat(stored["start"]),
        end=time.fromisoformat(stored["end"]),
    )


def frequency(stored: dict[str, Any]) -> hours.Frequency:
    """A frequency as it is stored: {"every": "week", "at": "09:00", "weekday": 0}."""
    return hours.Frequency(
        every=hours.Every(stored["every"]),
        at=time.fromisoformat(stored.get("at", "09:00")),
        weekday=stored.get("weekday", 0),
    )
