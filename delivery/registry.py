"""The configured channels: settings name the classes, this makes each once per process."""

from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from delivery.channels.base import Channel


def providers(name: str) -> tuple[str, ...]:
    """Who carries a channel, in the order in which they are asked. KeyError for a name that is not configured."""
    entry = settings.DELIVERY_CHANNELS[name]
    return (entry["PROVIDER"], *entry.get("FALLBACKS", ()))


@cache
def channel(name: str, provider: str) -> Channel:
    """A channel of DELIVERY_CHANNELS, carried by one of its providers."""
    made: Channel = import_string(settings.DELIVERY_CHANNELS[name]["CLASS"])(import_string(provider).from_settings())
    return made


def _forget(*, setting: str, **_: Any) -> None:
    if setting.startswith(("DELIVERY_", "EMAIL_", "PUSH_", "VAPID_", "FCM_", "APNS_", "ALLOWED_NETWORKS", "ANYMAIL")):
        channel.cache_clear()


setting_changed.connect(_forget)
