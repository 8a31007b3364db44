"""A channel: a way to reach a person. It decides the form of a message; a provider carries it."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from notifications.values import Message, Outcome


class Provider(Protocol):
    """Who carries a channel."""

    # The longest one message can take, in seconds, with signing in; a call starts only with more lease left.
    timeout: float

    def send(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        """
        Send, and yield one Outcome per message, in order, before the next message is taken from `messages`.

        Never raises for a bad message or a dead server: that is an Outcome. The caller may stop early,
        and then what was not yet yielded was not sent.
        """
        ...


class Channel:
    """The common part: a channel passes messages to its provider."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    @property
    def timeout(self) -> float:
        return self.provider.timeout

    def send(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        """As Provider.send."""
        return self.provider.send(messages)
