"""E-mail: a subject line, a text part and an HTML part."""

from delivery.channels.base import Channel


class EmailChannel(Channel):
    """One message per recipient, so that each has an outcome of its own."""
