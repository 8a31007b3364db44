"""The tables. Constraints live here so that the database keeps them; behaviour lives in the noun modules."""

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import models
from django.db.models import Q

from notifications.words import DeliveryState, EventState, Lane, Priority


def _one_of(field: str, words: Any, name: str) -> models.CheckConstraint:
    return models.CheckConstraint(condition=Q(**{f"{field}__in": [w.value for w in words]}), name=name)


def _open_rows_are_due(states: list[str], name: str) -> models.CheckConstraint:
    """A row has a `due_at` exactly while it is open: no open row can be forgotten."""
    return models.CheckConstraint(
        condition=Q(state__in=states, due_at__isnull=False) | (~Q(state__in=states) & Q(due_at__isnull=True)),
        name=name,
    )


OPEN_EVENT = [EventState.ACCEPTED.value, EventState.PROCESSING.value]
OPEN_DELIVERY = [DeliveryState.PENDING.value]


class Category(models.Model):
    """What a person can mute; every type belongs to one."""

    key = models.CharField(max_length=50, primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.key


class Type(models.Model):
    """A kind of event, with what it does when the event does not say otherwise."""

    key = models.CharField(max_length=100, primary_key=True)
    category = models.ForeignKey(Category, on_delete=models.PROTECT)
    title = models.CharField(max_length=200, help_text="Used when an event brings no title.")
    priority = models.CharField(max_length=10, default=Priority.NORMAL)
    channels = ArrayField(models.CharField(max_length=20), default=list)
    # What to do when a call ended without an answer. False for what must never arrive twice.
    resend_unknown = models.BooleanField(default=True)

    class Meta:
        constraints = [_one_of("priority", Priority, "type_priority_known")]

    def __str__(self) -> str:
        return self.key


class Topic(models.Model):
    """A named feed."""

    key = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return self.key


class Subscription(models.Model):
    """Who follows which topic."""

    topic = models.ForeignKey(Topic, on_delete=models.CASCADE, db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        # The order is the one recipients are paged in.
        constraints = [models.UniqueConstraint(fields=["topic", "user"], name="subscription_once")]


class Event(models.Model):
    """What a producer told us. Committed means promised."""

    id = models.UUIDField(primary_key=True)
    producer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, db_index=False)
    idempotency_key = models.CharField(max_length=255, null=True)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the body, to compare with a repeat.")
    trace_id = models.CharField(max_length=64, help_text="Follows the event from the request to frame and mail.")

    type = models.ForeignKey(Type, on_delete=models.PROTECT)
    category = models.ForeignKey(Category, on_delete=models.PROTECT)
    priority = models.CharField(max_length=10)
    lane = models.CharField(max_length=10)
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    data = models.JSONField(default=dict)
    action_url = models.CharField(max_length=2000, blank=True)
    actor = models.CharField(max_length=200, blank=True)
    object = models.CharField(max_length=200, blank=True)
    tags = ArrayField(models.CharField(max_length=50), default=list)
    channels = ArrayField(models.CharField(max_length=20))
    email_if_unread_after = models.PositiveIntegerField(null=True, help_text="Seconds.")
    expires_at = models.DateTimeField(null=True)

    # The audience: exactly one of three.
    usernames = ArrayField(models.CharField(max_length=150), null=True)
    topic = models.ForeignKey(Topic, on_delete=models.PROTECT, null=True)
    everyone = models.BooleanField(default=False)

    state = models.CharField(max_length=10, default=EventState.ACCEPTED)
    due_at = models.DateTimeField(null=True, help_text="Not before; set exactly while the event is open.")
    token = models.PositiveIntegerField(default=0, help_text="Rises with every claim.")
    attempts = models.PositiveSmallIntegerField(default=0)
    # How far the audience has been read: an index into `usernames`, else the last user id.
    cursor = models.BigIntegerField(default=0)
    unknown_users = ArrayField(models.CharField(max_length=150), default=list)
    error = models.CharField(max_length=500, blank=True)
    accepted_at = models.DateTimeField()
    processed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["producer", "idempotency_key"], name="event_idempotency_key_once"),
            models.CheckConstraint(
                condition=Q(usernames__isnull=False, topic__isnull=True, everyone=False)
                | Q(usernames__isnull=True, topic__isnull=False, everyone=False)
                | Q(usernames__isnull=True, topic__isnull=True, everyone=True),
                name="event_one_audience",
            ),
            _one_of("state", EventState, "event_state_known"),
            _one_of("priority", Priority, "event_priority_known"),
            _one_of("lane", Lane, "event_lane_known"),
            _open_rows_are_due(OPEN_EVENT, "event_open_rows_are_due"),
        ]
        indexes = [
            models.Index(fields=["lane", "due_at"], condition=Q(due_at__isnull=False), name="event_due"),
            models.Index(fields=["producer", "-id"], name="event_by_producer"),
            GinIndex(SearchVector("title", "body", config="simple"), name="event_text"),
        ]


class InboxHead(models.Model):
    """One row per person: the last sequence number given out, and exact counts."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True)
    epoch = models.CharField(max_length=16, help_text="Changes only if this person's numbering restarts.")
    head_seq = models.BigIntegerField(default=0)
    unread = models.IntegerField(default=0)
    unseen = models.IntegerField(default=0)
    # Everything with a rev up to here is read: "mark all read" is one update, however long the inbox.
    read_watermark = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(unread__gte=0, unseen__gte=0), name="inbox_head_counts_positive"),
            models.CheckConstraint(
                condition=Q(read_watermark__lte=models.F("head_seq")), name="inbox_head_watermark_behind_head"
            ),
        ]


class ReadMark(models.Model):
    """One "mark all read": everything of this person with a rev up to `seq` was read at this moment, if not before."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_index=False)
    seq = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "seq"], name="read_mark_once")]


class Notification(models.Model):
    """One event for one recipient: the inbox line. What it says stands on the event."""

    # No index of its own: the unique constraint begins with it. The same below, wherever db_index is False.
    event = models.ForeignKey(Event, on_delete=models.PROTECT, db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_index=False)
    rev = models.BigIntegerField(
        null=True,
        help_text="The person's sequence number at the last change; NULL keeps the row out of the inbox.",
    )
    created_at = models.DateTimeField()
    seen_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)
    snoozed_until = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)
    skipped = models.JSONField(default=dict, help_text="Channels that got no delivery, each with its Reason.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["event", "user"], name="notification_once_per_recipient"),
            models.UniqueConstraint(fields=["user", "rev"], name="notification_rev_once_per_user"),
        ]
        indexes = [
            models.Index(
                fields=["user", "-id"],
                condition=Q(deleted_at__isnull=True, rev__isnull=False),
                name="notification_inbox",
            ),
        ]


class Delivery(models.Model):
    """One notification on one channel to one address."""

    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, db_index=False)
    channel = models.CharField(max_length=20)
    address = models.CharField(max_length=320)
    lane = models.CharField(max_length=10)
    state = models.CharField(max_length=10, default=DeliveryState.PENDING)
    reason = models.CharField(max_length=30, blank=True)
    due_at = models.DateTimeField(null=True, help_text="Not before; set exactly while the delivery is open.")
    token = models.PositiveIntegerField(default=0, help_text="Rises with every claim; only its holder may write.")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Counted at claim, before the call.")
    in_flight = models.BooleanField(default=False, help_text="Claimed, and nothing recorded yet.")
    lost_claims = models.PositiveSmallIntegerField(
        default=0, help_text="Claims that ended without a record: each may have sent a duplicate."
    )
    code = models.CharField(max_length=100, blank=True)
    provider_id = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["notification", "channel", "address"], name="delivery_once_per_address"),
            _one_of("state", DeliveryState, "delivery_state_known"),
            _one_of("lane", Lane, "delivery_lane_known"),
            _open_rows_are_due(OPEN_DELIVERY, "delivery_open_rows_are_due"),
        ]
        indexes = [
            models.Index(fields=["channel", "lane", "due_at"], condition=Q(due_at__isnull=False), name="delivery_due"),
        ]


class Attempt(models.Model):
    """One try of a delivery. Append-only."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, db_index=False)
    token = models.PositiveIntegerField()
    result = models.CharField(max_length=10)
    code = models.CharField(max_length=100, blank=True)
    detail = models.CharField(max_length=500, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["delivery", "token"], name="attempt_once_per_claim")]
