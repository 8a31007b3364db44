"""What the tests of replays do: let mails die, send them again, look at what became of them."""

from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

import msgspec

from core.models import User
from notifications import replays
from notifications.models import Attempt, Delivery, Event
from notifications.replays import Order, Replayed
from tests import factories, mail
from tests.deciding import deliver, tell
from tests.factories import NOW

HOUR = timedelta(hours=1)
AT, FAR = NOW + 9 * HOUR, NOW + 10 * HOUR  # the moment of the replay, after the last retry; the end of its window


def refusing(*names: str) -> AbstractContextManager[Any]:
    """The mail server does not take mails to these, now or later."""
    return mock.patch.dict(mail.RCPT_REPLIES, dict.fromkeys(names, "550 5.3.4 Too big"))


def fail(producer: User, *names: str, **fields: Any) -> list[Event]:
    """An event for each of these new people, whose mails die. Afterwards the server would take them."""
    told = []
    for name in names:
        factories.user(name)
        told.append(tell(producer, name, **fields))
    with refusing(*names):
        deliver()
    return told


def order(*, apply: bool = False, state: list[str] | None = None, **fields: Any) -> Order:
    """For what died from NOW on."""
    window = {"since": NOW.isoformat(), "until": FAR.isoformat(), "state": state or []}
    return msgspec.convert({"filter": window, "dry_run": not apply} | fields, Order)


def replay(*, now: datetime = AT, **fields: Any) -> Replayed:
    return replays.run(order(apply=True, **fields), by=None, now=now)


def rows() -> list[tuple[str, str, datetime | None]]:
    return list(Delivery.objects.order_by("pk").values_list("state", "reason", "due_at"))


def addressees(server: mail.MailServer) -> list[str]:
    return sorted(str(message["To"]).partition("@")[0] for message in server.received)


def attempts() -> list[tuple[str, int, str]]:
    """Whose, the token, the result."""
    found = Attempt.objects.order_by("delivery", "token").values_list("delivery__address", "token", "result")
    return [(address.partition("@")[0], token, result) for address, token, result in found]
