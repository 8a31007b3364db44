"""Push: a title, a text and a link, to one device."""

from delivery.channels.base import Channel


class PushChannel(Channel):
    """One message per device, so that each has an outcome of its own."""
