"""The closed lists of words: states, priorities, lanes, reasons. Pure Python; docs/glossary.md explains each."""

from enum import StrEnum

IN_APP = "in_app"  # the one channel without a delivery row: the notification itself is the delivery
PUSH = "push"  # the one channel on which a person may have several addresses: their devices


class Priority(StrEnum):
    """How much an event matters; decides its lane."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"


class Lane(StrEnum):
    """A queue with workers of its own, so that bulk work never delays what is urgent."""

    URGENT = "urgent"
    NORMAL = "normal"
    BULK = "bulk"
    DIGEST = "digest"


class EventState(StrEnum):
    """Where an event stands. The first three are open: they have a `due_at`."""

    ACCEPTED = "accepted"
    PROCESSING = "processing"
    RETRACTING = "retracting"
    PROCESSED = "processed"
    CANCELLED = "cancelled"
    RETRACTED = "retracted"
    FAILED = "failed"


class DeliveryState(StrEnum):
    """Where a delivery stands. Only `pending` is open: it has a `due_at`."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    DIGESTED = "digested"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why we chose not to send, or to wait. Each stands on a row and in docs/glossary.md."""

    NOT_REQUESTED = "not_requested"  # the event or its type does not use this channel
    NOT_ALLOWED = "not_allowed"  # the type forbids this channel, whoever wants it
    MUTED = "muted"  # the person, or the template of those who did not choose, switched it off
    NOT_INSTALLED = "not_installed"  # this installation does not have the channel
    NO_ADDRESS = "no_address"  # the person has no address on this channel
    ADDRESS_SUPPRESSED = "address_suppressed"  # the address bounced, complained, or staff put it on the list
    DEVICE_GONE = "device_gone"  # the device is not there any more, or somebody else's
    ALREADY_READ = "already_read"  # read before the delivery was due
    EXPIRED = "expired"  # the event's expires_at has passed
    CANCELLED = "cancelled"  # the producer took the event back
    RETRACTED = "retracted"  # the producer withdrew everything about the object
    QUIET_HOURS = "quiet_hours"  # held until the person's quiet hours end
    DIGEST = "digest"  # goes into a digest, as the person wants it
    BUDGET = "budget"  # too many messages in this hour: the rest becomes a digest
    EMPTY_DIGEST = "empty_digest"  # nothing was left to say when the digest was due
    WAITING_FOR_READ = "waiting_for_read"  # goes out only if still unread at due_at
    RETRYING = "retrying"  # the provider could not take it; due_at says when next
    PROVIDER_AWAY = "provider_away"  # its provider did not answer another message; due_at says when next
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"  # tried as often as allowed
    LEASE_LOST = "lease_lost"  # a worker died in the call, and the type forbids sending again
    REPLAYED = "replayed"  # was dead, and goes again at due_at: the rule names the replay


class Value(StrEnum):
    """What can be chosen for a channel."""

    ON = "on"  # at once
    OFF = "off"
    DIGEST = "digest"  # gathered


class DeviceKind(StrEnum):
    """The push services."""

    WEBPUSH = "webpush"
    FCM = "fcm"
    APNS = "apns"


class BreakerState(StrEnum):
    """Whether a provider is called."""

    CLOSED = "closed"  # as always
    OPEN = "open"  # not at all
    HALF_OPEN = "half_open"  # one probe is on its way


class Change(StrEnum):
    """What happened to a person's inbox, as the sockets tell it."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    READ_ALL = "read_all"
    PREFERENCES = "preferences"


def lane_of(*, priority: str, broadcast: bool) -> Lane:
    """The lane of an event: broadcasts and low priority never share a queue with what is urgent."""
    if priority == Priority.CRITICAL or (priority == Priority.HIGH and not broadcast):
        return Lane.URGENT
    return Lane.BULK if broadcast or priority == Priority.LOW else Lane.NORMAL
