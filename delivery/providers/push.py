"""Push: to each device by the provider of its kind, all of them side by side."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
from django.conf import settings
from django.utils.module_loading import import_string

from delivery.providers import payloads
from delivery.providers.http import Carry, SideBySide
from notifications.values import Message, Outcome, Result


class Device(msgspec.Struct):
    """What every address of a device has; the provider of its kind reads the rest."""

    kind: str


class PushProvider(SideBySide):
    """The providers of PUSH_PROVIDERS."""

    def __init__(self, *, providers: Mapping[str, SideBySide]) -> None:
        self._providers = providers
        self.timeout = max(provider.timeout for provider in providers.values())

    @classmethod
    def from_settings(cls) -> "PushProvider":
        return cls(
            providers={kind: import_string(path).from_settings() for kind, path in settings.PUSH_PROVIDERS.items()}
        )

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Carry]:
        """See SideBySide.session."""
        async with AsyncExitStack() as stack:
            carries = {
                kind: await stack.enter_async_context(provider.session()) for kind, provider in self._providers.items()
            }

            async def carry(message: Message) -> Outcome:
                try:
                    kind = payloads.read_address(message, Device).kind
                except payloads.BadAddress:
                    return Outcome(Result.FAILED, code="bad_address")
                if kind not in carries:
                    return Outcome(
                        Result.FAILED, code="no_provider", detail="No provider is configured for this device."
                    )
                return await carries[kind](message)

            yield carry
