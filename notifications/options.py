"""
What a person, or a default template, may choose: the one definition of the fields and their limits, for REST,
for the sockets and for staff.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any
from zoneinfo import available_timezones

import msgspec
from django.conf import settings
from msgspec import UNSET, Meta, UnsetType

from core.errors import Invalid
from notifications.hours import Every
from notifications.models import Category, Topic, Type
from notifications.submission import EARLIEST, LATEST
from notifications.words import IN_APP, Value

MOST_WINDOWS = 21  # three on every weekday
MOST_CHANNELS = 20
MOST_SETTINGS = 1000  # of a template
WEEK = 7 * 24 * 60  # minutes

# Python's $ also matches before a last newline.
Clock = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)", examples=["22:00"])]
Weekday = Annotated[int, Meta(ge=0, le=6, description="0 is Monday.")]
Locale = Annotated[str, Meta(max_length=35, pattern=r"^([A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$(?!\n)", examples=["de"])]
Zone = Annotated[str, Meta(max_length=64, description="An IANA name.", examples=["Europe/Berlin"])]
Moment = Annotated[datetime, Meta(tz=True)]
Channel = Annotated[str, Meta(max_length=20)]


class Window(msgspec.Struct, forbid_unknown_fields=True):
    """Quiet from `start` to `end` on the person's clock; an end that is not after the start is on the next day."""

    days: Annotated[list[Weekday], Meta(min_length=1, max_length=7)]
    start: Clock
    end: Clock


class Frequency(msgspec.Struct, forbid_unknown_fields=True):
    """How often; `at` counts for `day` and `week`, `weekday` for `week`."""

    every: Every
    at: Clock = "09:00"
    weekday: Weekday = 0


class Chosen(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What people and templates can both say. Null: leave it to the next in the chain."""

    locale: Locale | UnsetType | None = UNSET
    timezone: Zone | UnsetType | None = UNSET
    channels: Annotated[dict[Channel, bool | None], Meta(max_length=MOST_CHANNELS)] | UnsetType = UNSET
    quiet_hours: Annotated[list[Window], Meta(max_length=MOST_WINDOWS)] | UnsetType | None = UNSET
    digests: Annotated[dict[Channel, Frequency | None], Meta(max_length=MOST_CHANNELS)] | UnsetType = UNSET


class PreferenceChange(Chosen, kw_only=True):
    """What a person changes; `version` is the one they last read (or send it as If-Match)."""

    version: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    muted_until: Moment | UnsetType | None = UNSET


Switches = dict[Channel, Value | None]


class TemplateChange(Chosen, kw_only=True):
    """What staff change in a default template; `version` is the one they last read (or send it as If-Match)."""

    version: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\r\n]*$(?!\n)")] | UnsetType = UNSET
    is_default: bool | UnsetType = UNSET
    settings: (
        Annotated[dict[Annotated[str, Meta(max_length=120)], Switches | None], Meta(max_length=MOST_SETTINGS)]
        | UnsetType
    ) = UNSET


def known_channels() -> set[str]:
    """What a choice can be about: the inbox, and what this installation has."""
    return {IN_APP, *settings.DELIVERY_CHANNELS}


@cache
def _zones() -> set[str]:
    return available_timezones()  # reads a directory tree


def columns(given: Chosen) -> dict[str, Any]:
    """The fields that were given, as the tables hold them. Raises Invalid naming each that cannot be."""
    found: dict[str, Any] = msgspec.to_builtins(given, builtin_types=(datetime,))
    found.pop("version", None)
    wrong: dict[str, list[str]] = {}
    for name in ("locale", "timezone"):
        if name in found:
            found[name] = found[name] or ""
    if found.get("timezone") and found["timezone"] not in _zones():
        wrong["timezone"] = ["Not an IANA time zone; one is Europe/Berlin."]
    for name in ("channels", "digests"):
        wrong |= _strange_channels(name, found.get(name) or {})
    if (found.get("digests") or {}).get(IN_APP):
        wrong["digests"] = ["The inbox gathers nothing."]
    if _always_quiet(found.get("quiet_hours") or []):
        wrong["quiet_hours"] = ["They leave no time in the week; switch the channels off instead."]
    wrong |= _wrong_settings(found.get("settings") or {})
    if (moment := found.get("muted_until")) is not None and not EARLIEST <= moment < LATEST:
        wrong["muted_until"] = [f"Between the years {EARLIEST.year} and {LATEST.year}."]
    if wrong:
        raise Invalid("The body is not valid: see details.", **wrong)
    return found | {name: kept(found[name]) for name, kept in _KEPT.items() if found.get(name)}


def merge(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`stored` with what was given: null takes an entry out of a map (RFC 7396), everything else is replaced."""
    merged = dict(stored)
    for name, value in given.items():
        if name in ("channels", "digests"):
            merged[name] = _patched(stored[name], value)
        elif name == "settings":
            by_scope = {
                scope: None if by is None else _patched(stored[name].get(scope, {}), by) or None
                for scope, by in value.items()
            }
            merged[name] = _patched(stored[name], by_scope)
        else:
            merged[name] = value
    return merged


def _patched(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**stored, **given}.items() if value is not None}


def _kept_windows(windows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [window | {"days": sorted(set(window["days"]))} for window in windows]


def _kept_digests(digests: dict[str, Any]) -> dict[str, Any]:
    """Without what does not count, so that people who chose the same have equal rows."""
    counts = {Every.DAY: ("every", "at"), Every.WEEK: ("every", "at", "weekday")}
    return {
        channel: given and {name: given[name] for name in counts.get(given["every"], ("every",))}
        for channel, given in digests.items()
    }


_KEPT: dict[str, Callable[[Any], Any]] = {
    "quiet_hours": _kept_windows,
    "digests": _kept_digests,
    "muted_until": lambda moment: moment.astimezone(UTC),
}


def _always_quiet(windows: list[dict[str, Any]]) -> bool:
    """Whether no minute of the week is left: what waits for the end of such quiet hours would never go."""
    covered = 0  # a bit for every minute from Monday 00:00 on
    for window in windows:
        start, end = (int(text[:2]) * 60 + int(text[3:]) for text in (window["start"], window["end"]))
        for day in window["days"]:
            minutes = (1 << ((end - start - 1) % 1440 + 1)) - 1 << (day * 1440 + start)
            covered |= minutes | minutes >> WEEK
    whole = (1 << WEEK) - 1
    return covered & whole == whole


def _strange_channels(name: str, given: Mapping[str, Any]) -> dict[str, list[str]]:
    """What is wrong with the channels of a map; one that is only taken out may be anything."""
    strange = sorted({channel for channel, value in given.items() if value is not None} - known_channels())
    known = ", ".join(sorted(known_channels()))
    return {name: [f"Unknown: {', '.join(strange)}. Known: {known}."]} if strange else {}


def check_switch(*, channel: str, value: str) -> None:
    """Raises Invalid for a channel that is not there, and for an inbox that gathers."""
    wrong = _strange_channels("channel", {channel: value})
    if channel == IN_APP and value == Value.DIGEST:
        wrong["value"] = ["The inbox gathers nothing: on or off."]
    if wrong:
        raise Invalid("The body is not valid: see details.", **wrong)


def _wrong_settings(given: Mapping[str, Mapping[str, str | None] | None]) -> dict[str, list[str]]:
    """What is wrong with a template's settings, of which there may be many: one query for each kind of scope."""
    wrong = [f"{scope!r} does not exist." for scope in missing(scope for scope, by in given.items() if by)]
    for scope, by in given.items():
        for sentences in _strange_channels(scope, by or {}).values():
            wrong += [f"{scope}: {sentence}" for sentence in sentences]
        if (by or {}).get(IN_APP) == Value.DIGEST:
            wrong.append(f"{scope}: the inbox gathers nothing.")
    return {"settings": wrong[:10]} if wrong else {}


def missing(scopes: Iterable[str]) -> list[str]:
    """Those of "category:tasks", "type:task.assigned", "topic:garden" that name nothing."""
    asked = list(scopes)
    found: set[str] = set()
    for kind, model in (("category", Category), ("type", Type), ("topic", Topic)):
        keys = [key for scope in asked for of, _, key in [scope.partition(":")] if of == kind and "\0" not in key]
        if keys:
            found |= {
                f"{kind}:{key}" for key in model._default_manager.filter(key__in=keys).values_list("key", flat=True)
            }
    return [scope for scope in asked if scope not in found]
