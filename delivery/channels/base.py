"""A channel: a way to reach a person. It decides the form of a message; a provider carries it."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from notifications.values import Message, Outcome


class Provider(Protocol):
    """Who carries a channel."""

    # The longest that `at_once` messages can take, in seconds, with signing in: they start only with more lease left.
    timeout: float
    # How many messages it takes before it yields the first of their outcomes, and sends side by side.
    at_once: int

    def send(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        """
        Send, and yield one Outcome per message, in order. At most `at_once` messages are taken and not yet answered.

        Never raises for a bad message or a dead server: that is an Outcome. The caller may stop early: what was
        not taken was not sent, and nobody knows of what was taken and not answered.
        """
        ...


class Channel:
    """The common part: a channel passes messages to its provider."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    @property
    def timeout(self) -> float:
        return self.provider.timeout

    @property
    def at_once(self) -> int:
        return self.provider.at_once

    def send(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        """As Provider.send."""
        return self.provider.send(messages)
