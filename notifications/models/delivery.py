"""The ledger: deliveries, their attempts, the digests they go into, and what a person got in an hour."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from notifications.models.catalog import Category
from notifications.models.constraints import one_of, open_rows_are_due
from notifications.models.inbox import Notification
from notifications.words import DeliveryState, Lane

OPEN_DELIVERY = [DeliveryState.PENDING.value]


class Digest(models.Model):
    """
    A window in which several notifications of one category become one message to one address.

    Two kinds of deliveries name it: the one that carries it, and each item that went into it.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_index=False)
    channel = models.CharField(max_length=20)
    address = models.CharField(max_length=320)
    category = models.ForeignKey(Category, on_delete=models.CASCADE)
    key = models.CharField(max_length=100, blank=True)
    open = models.BooleanField(default=True, help_text="Takes more items. Closed by the claim of its delivery.")
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "channel", "address", "category", "key"],
                condition=Q(open=True),
                name="digest_one_open_window",
            ),
            models.CheckConstraint(
                condition=Q(open=True, closed_at__isnull=True) | Q(open=False, closed_at__isnull=False),
                name="digest_closed_at_its_close",
            ),
        ]


class Spending(models.Model):
    """How many messages a person got on a channel in an hour; the hour before is forgotten."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_index=False)
    channel = models.CharField(max_length=20)
    hour = models.DateTimeField()
    used = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "channel"], name="spending_once")]


class Delivery(models.Model):
    """One notification on one channel to one address; or, without a notification, one digest."""

    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, null=True, db_index=False)
    # Of an item: the digest it went into. Without a notification: the digest it carries.
    digest = models.ForeignKey(Digest, on_delete=models.CASCADE, null=True, db_index=False)
    channel = models.CharField(max_length=20)
    address = models.CharField(max_length=320)
    lane = models.CharField(max_length=10)
    state = models.CharField(max_length=10, default=DeliveryState.PENDING)
    reason = models.CharField(max_length=30, blank=True)
    rule = models.CharField(max_length=120, blank=True, help_text="What decided last.")
    due_at = models.DateTimeField(null=True, help_text="Not before; set exactly while the delivery is open.")
    token = models.PositiveIntegerField(default=0, help_text="Rises with every claim; only its holder may write.")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Counted at claim, before the call.")
    in_flight = models.BooleanField(default=False, help_text="Claimed, and nothing recorded yet.")
    lost_claims = models.PositiveSmallIntegerField(
        default=0, help_text="Claims that ended without a record: each may have sent a duplicate."
    )
    code = models.CharField(max_length=100, blank=True)
    provider = models.CharField(max_length=100, blank=True, default="", db_default="", help_text="Who carried it last.")
    provider_id = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["notification", "channel", "address"], name="delivery_once_per_address"),
            models.UniqueConstraint(
                fields=["digest"], condition=Q(notification__isnull=True), name="delivery_one_carries_a_digest"
            ),
            models.CheckConstraint(
                condition=Q(notification__isnull=False) | Q(digest__isnull=False), name="delivery_is_of_something"
            ),
            models.CheckConstraint(
                condition=Q(notification__isnull=True) | Q(digest__isnull=True) | ~Q(state="pending"),
                name="delivery_in_a_digest_has_ended",
            ),
            one_of("state", DeliveryState, "delivery_state_known"),
            one_of("lane", Lane, "delivery_lane_known"),
            open_rows_are_due(OPEN_DELIVERY, "delivery_open_rows_are_due"),
        ]
        indexes = [
            models.Index(fields=["channel", "lane", "due_at"], condition=Q(due_at__isnull=False), name="delivery_due"),
            models.Index(fields=["digest"], condition=Q(digest__isnull=False), name="delivery_of_digest"),
            # What ended badly or in doubt is rare, and asked for often: gauges.py.
            models.Index(
                fields=["ended_at"],
                condition=Q(state__in=["failed", "unknown"]) | Q(lost_claims__gt=0),
                name="delivery_trouble",
            ),
            # What ended lately: webhooks.py.
            models.Index(fields=["ended_at", "id"], condition=Q(ended_at__isnull=False), name="delivery_ended"),
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
