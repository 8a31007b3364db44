"""The configured channels: settings name the classes, this makes each once per process."""

from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from delivery.channels.base import Channel


@cache
def channel(name: str) -> Channel:
    """The channel behind an entry of DELIVERY_CHANNELS. KeyError for a name that is not configured."""
    entry = settings.DELIVERY_CHANNELS[name]
    made: Channel = import_string(entry["CLASS"])(import_string(entry["PROVIDER"]).from_settings())
    return made


def _forget(*, setting: str, **_: Any) -> None:
    if setting.startswith(("DELIVERY_", "EMAIL_")):
        channel.cache_clear()


setting_changed.connect(_forget)
