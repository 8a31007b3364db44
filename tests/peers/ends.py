"""Each provider with a real peer at its other end, in one form: what tests/contracts/test_providers.py runs against."""

import contextlib
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.test import override_settings
from django.utils.module_loading import import_string

from delivery.channels.base import Provider
from delivery.providers.smtp import GREYLIST
from notifications.values import Result
from tests import mail
from tests.peers import apns, fcm, postmark, webpush
from tests.peers.authority import Authority
from tests.peers.http import Answer, Reset
from tests.peers.orders import Order

HASTY = 1.5  # seconds: long enough for a peer that answers, short enough to wait for one that does not
WAIT = timedelta(seconds=17)


def made(path: str, **values: Any) -> Provider:
    """A provider as an installation with these settings makes it."""
    with override_settings(**values):
        provider: Provider = import_string(path).from_settings()
        return provider


class End(ABC):
    """A peer. `running` starts it; not started it is a provider with nobody at the other end."""

    path: str  # of the provider's class
    secrets: list[str]  # what it signs in with
    busy: tuple[Result, timedelta]  # what comes of an answer that asks for time
    unwritable: list[dict[str, str]] = [{"text": "\ud800"}]  # content that no message of this kind can have

    def __init__(self, authority: Authority, directory: Path) -> None:
        self.authority, self.directory = authority, directory

    @abstractmethod
    def settings(self, *, limit: float) -> dict[str, Any]: ...
    @abstractmethod
    def running(self) -> contextlib.AbstractContextManager[Any]: ...
    @abstractmethod
    def address(self, name: str) -> str:
        """Of a person with this name. Those of `silent`, `hangup`, `gone` and `busy` get the answer they say."""

    @property
    @abstractmethod
    def keys(self) -> list[str]:
        """Of the messages that came, sorted."""

    @property
    @abstractmethod
    def port(self) -> int: ...

    def provider(self, *, limit: float = 10) -> Provider:
        return made(self.path, **self.settings(limit=limit))

    def other(self) -> "End":
        """Another one like this, not running."""
        return type(self)(self.authority, self.directory)

    @contextlib.contextmanager
    def mute(self) -> Iterator[None]:
        """Somebody listens, and never says a word."""
        with socket.create_server(("127.0.0.1", self.port)):
            yield


class SMTPEnd(End):
    path = "delivery.providers.smtp.SMTPProvider"
    secrets = ["s3cret"]
    busy = Result.RETRY, GREYLIST  # SMTP has no Retry-After
    unwritable = [{"text": "\ud800"}, {"html": "\ud800"}, {"trace_id": "a\nb"}]

    def __init__(self, authority: Authority, directory: Path) -> None:
        super().__init__(authority, directory)
        self._server = mail.MailServer()

    def settings(self, *, limit: float) -> dict[str, Any]:
        return {"EMAIL_URL": self._server.url, "EMAIL_TIMEOUT": limit}

    def running(self) -> mail.MailServer:
        return self._server

    def address(self, name: str) -> str:
        return f"{'later' if name == 'busy' else name}@example.com"

    @property
    def keys(self) -> list[str]:
        return sorted(str(m["Message-ID"]).partition("@")[0].removeprefix("<") for m in self._server.received)

    @property
    def port(self) -> int:
        return self._server.port


class AnymailEnd(End):
    """An ESP."""

    path = "delivery.providers.anymail.AnymailProvider"
    busy = Result.THROTTLED, WAIT
    unwritable = SMTPEnd.unwritable

    def __init__(self, authority: Authority, directory: Path) -> None:
        super().__init__(authority, directory)
        self.peer = postmark.Postmark(authority)
        self.peer.told = {
            "silent": "silent",
            "hangup": Reset(),
            "gone": postmark.invalid(self.address("gone")),
            "busy": postmark.refusal(429, 0, "Rate limit exceeded.", **{"retry-after": "17"}),
        }

    @property
    def secrets(self) -> list[str]:  # type: ignore[override]
        return [self.peer.token]

    def settings(self, *, limit: float) -> dict[str, Any]:
        backend = "anymail.backends.postmark.EmailBackend"
        return {"EMAIL_ESP": backend, "ANYMAIL": self.peer.anymail, "EMAIL_TIMEOUT": limit}

    def running(self) -> contextlib.AbstractContextManager[Any]:
        return self.peer.server

    def address(self, name: str) -> str:
        return f"{name}@example.com"

    @property
    def keys(self) -> list[str]:
        return self.peer.keys

    @property
    def port(self) -> int:
        return self.peer.server.port


class PushEnd(End):
    """What Web Push, FCM and APNs have in common."""

    peer: webpush.PushService | fcm.Google | apns.Apple
    busy = Result.THROTTLED, WAIT

    def _tell(self, *, gone: Order, busy: Order) -> None:
        self.peer.told = {"silent": "silent", "hangup": Reset(), "gone": gone, "busy": busy}

    def running(self) -> contextlib.AbstractContextManager[Any]:
        return self.peer.server

    def address(self, name: str) -> str:
        return self.peer.address(name)

    @property
    def keys(self) -> list[str]:
        return self.peer.keys

    @property
    def port(self) -> int:
        return self.peer.server.port


class WebPushEnd(PushEnd):
    path = "delivery.providers.webpush.WebPushProvider"

    def __init__(self, authority: Authority, directory: Path) -> None:
        super().__init__(authority, directory)
        self.peer: webpush.PushService = webpush.PushService(authority)
        self._tell(gone=Answer(410), busy=Answer(429, headers={"retry-after": "17"}))

    @property
    def secrets(self) -> list[str]:  # type: ignore[override]
        keys = [str(key) for key in self.peer.subscription("alice")["keys"].values()]
        return [self.peer.private_key, "/push/alice", *keys, *self.peer.tokens]

    def settings(self, *, limit: float) -> dict[str, Any]:
        return {
            "VAPID_PRIVATE_KEY": self.peer.private_key,
            "VAPID_SUBJECT": "mailto:bellhop@example.com",
            "ALLOWED_NETWORKS": ["127.0.0.0/8"],
            "PUSH_TIMEOUT": limit,
        }


class PushChannelEnd(WebPushEnd):
    """The provider of the push channel, with one kind of device."""

    path = "delivery.providers.push.PushProvider"

    def settings(self, *, limit: float) -> dict[str, Any]:
        return super().settings(limit=limit) | {"PUSH_PROVIDERS": {"webpush": WebPushEnd.path}}


class FCMEnd(PushEnd):
    path = "delivery.providers.fcm.FCMProvider"

    def __init__(self, authority: Authority, directory: Path) -> None:
        super().__init__(authority, directory)
        self.peer: fcm.Google = fcm.Google(authority, directory)
        self._tell(
            gone=fcm.error(404, "NOT_FOUND", fcm="UNREGISTERED"),
            busy=fcm.error(429, "RESOURCE_EXHAUSTED", fcm="QUOTA_EXCEEDED", retry_after="17"),
        )

    @property
    def secrets(self) -> list[str]:  # type: ignore[override]
        return [self.peer.private_pem.splitlines()[3], "registration:alice", *self.peer.bearers]

    def settings(self, *, limit: float) -> dict[str, Any]:
        return {
            "FCM_CREDENTIALS_FILE": str(self.peer.credentials),
            "FCM_URL": self.peer.server.url,
            "PUSH_TIMEOUT": limit,
        }


class APNSEnd(PushEnd):
    path = "delivery.providers.apns.APNSProvider"

    def __init__(self, authority: Authority, directory: Path) -> None:
        super().__init__(authority, directory)
        self.peer: apns.Apple = apns.Apple(authority, directory)
        self._tell(
            gone=apns.refusal(410, "Unregistered", timestamp=1_700_000_000_000),
            busy=apns.refusal(429, "TooManyRequests", retry_after="17"),
        )

    @property
    def secrets(self) -> list[str]:  # type: ignore[override]
        return [self.peer.private_pem.splitlines()[1], self.peer.token("alice"), *self.peer.tokens]

    def settings(self, *, limit: float) -> dict[str, Any]:
        return {
            "APNS_KEY_FILE": str(self.peer.key_file),
            "APNS_KEY_ID": "KEY1234567",
            "APNS_TEAM_ID": "TEAM123456",
            "APNS_TOPIC": apns.TOPIC,
            "APNS_URL": self.peer.server.url,
            "PUSH_TIMEOUT": limit,
        }


ENDS: dict[str, Callable[[Authority, Path], End]] = {
    end.path: end for end in (SMTPEnd, AnymailEnd, WebPushEnd, FCMEnd, APNSEnd, PushChannelEnd)
}
