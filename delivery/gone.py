"""What becomes of an address when its provider says that it does not exist any more."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from notifications import devices, suppressions
from notifications.ledger import Claimed
from notifications.suppressions import Cause
from notifications.values import Outcome


class Gone(NamedTuple):
    """A delivery whose outcome was GONE; whoever registered since `started_at` is not meant."""

    delivery: Claimed
    outcome: Outcome
    started_at: datetime


def note(heard: Sequence[Gone], *, now: datetime) -> None:
    """
    Devices are marked, other addresses suppressed; a statement for each kind that there is. Safe to run twice.

    After the deliveries were recorded, in a transaction of its own: whoever dies between hears it again with the next.
    """
    devices.gone(
        [
            devices.Gone(one.delivery.device.id, one.outcome.gone_since or one.started_at)
            for one in heard
            if one.delivery.device
        ],
        now=now,
    )
    suppressions.add(
        [
            suppressions.Said(
                channel=one.delivery.channel,
                address=one.delivery.address,
                cause=Cause.BOUNCE,
                detail=one.outcome.detail or one.outcome.code,
            )
            for one in heard
            if not one.delivery.device
        ],
        now=now,
    )
