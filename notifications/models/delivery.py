"""The ledger: deliveries and their attempts."""

from django.db import models
from django.db.models import Q

from notifications.models.constraints import one_of, open_rows_are_due
from notifications.models.inbox import Notification
from notifications.words import DeliveryState, Lane

OPEN_DELIVERY = [DeliveryState.PENDING.value]


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
            one_of("state", DeliveryState, "delivery_state_known"),
            one_of("lane", Lane, "delivery_lane_known"),
            open_rows_are_due(OPEN_DELIVERY, "delivery_open_rows_are_due"),
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
