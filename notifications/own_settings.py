"""
A person's own settings: on, off or digest, for one category, type or topic on one channel; and what follows
from all of them. The only writer of NotificationSetting beside `preferences.forget`.
"""

from datetime import datetime

import msgspec
from django.db import connection, transaction
from django.db.models import QuerySet
from msgspec import UNSET, UnsetType

from core.errors import Conflict, Invalid, NotFound
from core.models import User
from notifications import choices, options, preferences, resolver
from notifications.models import Category, NotificationSetting, Topic, Type
from notifications.words import IN_APP, Reason, Value


class AlreadyThere(Conflict):
    """You have a setting for this on that channel already: change the one whose id is in details."""

    code = "already_there"


class SettingBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """On, off or digest for exactly one of a category, a type and a topic, on one channel."""

    category: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    channel: options.Channel
    value: Value

    def __post_init__(self) -> None:
        if sum(x is not UNSET for x in (self.category, self.type, self.topic)) != 1:
            raise ValueError("Give exactly one of `category`, `type` and `topic`")


class Setting(msgspec.Struct, kw_only=True):
    """A setting as the API shows it: of the three, the one it is for."""

    id: str
    category: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    channel: str
    value: Value
    updated_at: datetime


def shape(row: NotificationSetting) -> Setting:
    return Setting(
        id=str(row.pk),
        category=row.category_id or UNSET,
        type=row.type_id or UNSET,
        topic=row.topic.key if row.topic else UNSET,
        channel=row.channel,
        value=Value(row.value),
        updated_at=row.updated_at,
    )


def rows(user_id: int) -> QuerySet[NotificationSetting]:
    """A person's settings. Nobody else's can come out of it."""
    return NotificationSetting.objects.filter(user_id=user_id).select_related("topic")


def create(user_id: int, given: SettingBody, *, now: datetime) -> NotificationSetting:
    """Add a setting. Raises Invalid for what does not exist, and AlreadyThere with the id of the one there is."""
    scope = _scope(given)
    options.check_switch(channel=given.channel, value=given.value)
    with transaction.atomic():
        steps = preferences.step([user_id], now=now)
        there = rows(user_id).filter(channel=given.channel, **scope).first()
        if there is not None:
            raise AlreadyThere(id=str(there.pk))
        row = NotificationSetting(user_id=user_id, channel=given.channel, value=given.value, updated_at=now, **scope)
        row.save(force_insert=True)
        preferences.tell(steps, now=now)
    return row


def change(user_id: int, id: int, *, value: Value, now: datetime) -> NotificationSetting:
    """Give a setting another value; the same one changes nothing. Raises NotFound and Invalid."""
    with transaction.atomic():
        steps = preferences.step([user_id], now=now)
        row = rows(user_id).filter(pk=id).first()
        if row is None:
            raise NotFound
        options.check_switch(channel=row.channel, value=value)
        if row.value == value:
            transaction.set_rollback(True)
        else:
            row.value, row.updated_at = value, now
            row.save(update_fields=["value", "updated_at"])
            preferences.tell(steps, now=now)
    return row


def delete(user_id: int, id: int, *, now: datetime) -> None:
    """Forget a setting: the next rule of the chain decides again. Raises NotFound."""
    with transaction.atomic():
        steps = preferences.step([user_id], now=now)
        if not rows(user_id).filter(pk=id).delete()[0]:
            raise NotFound
        preferences.tell(steps, now=now)


_MODELS: dict[str, type[Category | Type | Topic]] = {"category": Category, "type": Type, "topic": Topic}


def name(scope: str) -> str:
    """What people call what a scope stands for. Raises NotFound."""
    found = named(scope)
    return (found.title if isinstance(found, Type) else found.name) or found.key


def named(scope: str) -> Category | Type | Topic:
    """What "category:tasks", "type:task.assigned" or "topic:garden" stands for. Raises NotFound."""
    kind, _, key = scope.partition(":")
    found = _MODELS[kind]._default_manager.filter(key=key).first()
    if found is None:
        raise NotFound
    return found


def switch(user_id: int, *, scope: str, channel: str, off: bool, now: datetime) -> bool:
    """
    Make one setting `off`, whatever it was, if any; or forget it if it is. Whether that changed something: the
    second time it does not. Raises NotFound when the scope or the person are not there any more.
    """
    target = {scope.partition(":")[0]: named(scope)}
    if not User.objects.filter(pk=user_id).exists():
        raise NotFound
    with transaction.atomic():
        steps = preferences.step([user_id], now=now)
        row = rows(user_id).filter(channel=channel, **target).first()
        if off == (row is not None and row.value == Value.OFF):
            transaction.set_rollback(True)
            return False
        if row is None:
            NotificationSetting.objects.create(
                user_id=user_id, channel=channel, value=Value.OFF, updated_at=now, **target
            )
        elif off:
            row.value, row.updated_at = Value.OFF, now
            row.save(update_fields=["value", "updated_at"])
        else:
            row.delete()
        preferences.tell(steps, now=now)
    return True


def _scope(given: SettingBody) -> dict[str, Category | Type | Topic]:
    """What the setting is for. Raises Invalid naming it; of categories and types also the known ones."""
    if isinstance(given.topic, str):
        return {"topic": _find(Topic, "topic", given.topic, tell_known=False)}
    if isinstance(given.type, str):
        return {"type": _find(Type, "type", given.type)}
    assert isinstance(given.category, str)
    return {"category": _find(Category, "category", given.category)}


def _find(
    model: type[Category | Type | Topic], field: str, key: str, *, tell_known: bool = True
) -> Category | Type | Topic:
    found = model._default_manager.filter(key=key).first() if "\0" not in key else None
    if found is None:
        known = ", ".join(model._default_manager.order_by("key").values_list("key", flat=True)) if tell_known else ""
        sentence = f"{key!r} does not exist." + (f" Known: {known}." if known else "")
        raise Invalid("The body is not valid: see details.", **{field: [sentence]})
    return found


# --- What follows ---------------------------------------------------------------------------------------------


class Cell(msgspec.Struct):
    """What happens on a channel, and the rule that says so; with a reason for all but "at once"."""

    value: Value
    rule: str
    reason: Reason | None


class EffectiveType(msgspec.Struct):
    type: str
    category: str
    channels: dict[str, Cell]


class EffectiveTopic(msgspec.Struct):
    """On the channels that have a setting for it; a type that requires or forbids a channel stands above."""

    topic: str
    channels: dict[str, Cell]


class Effective(msgspec.Struct):
    """What is decided for every type on every channel, quiet hours aside."""

    types: list[EffectiveType]
    topics: list[EffectiveTopic]


def effective(user_id: int, *, now: datetime) -> Effective:
    """The resolver's answer for every type and channel, and for every topic the person has settings on. Two queries."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {choices.columns()} FROM core_user u {choices.JOINS} WHERE u.id = %(user)s", {"user": user_id}
        )
        own = choices.read(choices.Raw(*cursor.fetchone()))
    channels = sorted(options.known_channels(), key=lambda channel: (channel != IN_APP, channel))

    def cell(facts: resolver.Facts, channel: str) -> Cell:
        decision = resolver.resolve(channel=channel, facts=facts, choices=own, now=now)
        return Cell(value=decision.value, rule=decision.rule, reason=decision.reason)

    types = []
    for row in Type.objects.order_by("key"):
        facts = resolver.Facts(
            type=row.key,
            category=row.category_id,
            channels=tuple(row.channels),
            required=tuple(row.required),
            not_allowed=tuple(row.not_allowed),
        )
        cells = {channel: cell(facts, channel) for channel in channels}
        types.append(EffectiveType(type=row.key, category=row.category_id, channels=cells))
    topics: dict[str, dict[str, Cell]] = {}
    for scope, channel in sorted(own.person.settings):
        if scope.startswith("topic:") and channel in channels:
            key = scope.removeprefix("topic:")
            topics.setdefault(key, {})[channel] = cell(resolver.Facts(type="", category="", topics=(key,)), channel)
    return Effective(types=types, topics=[EffectiveTopic(topic=key, channels=by) for key, by in topics.items()])
