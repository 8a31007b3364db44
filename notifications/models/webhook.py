"""Webhooks: who is told what became of deliveries, and the calls that tell it."""

from enum import StrEnum

from django.contrib.postgres.fields import ArrayField
from django.db import models

from notifications.models.constraints import one_of, open_rows_are_due
from notifications.models.delivery import Delivery
from notifications.words import DeliveryState


class CallState(StrEnum):
    """Where a call stands. Only `pending` is open: it has a `due_at`."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


class Webhook(models.Model):
    """A URL that is told how deliveries end."""

    url = models.CharField(max_length=2000)
    secret = models.CharField(max_length=100, help_text="Signs every call, so it stands here as it is. Never shown.")
    kinds = ArrayField(models.CharField(max_length=10), help_text="The states of deliveries that it is told.")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField()
    since = models.DateTimeField(help_text="Deliveries that ended before are not told: made, or switched on again.")
    position = models.DateTimeField(help_text="What ended before this, less an overlap, has its calls.")
    busy_until = models.DateTimeField(help_text="Somebody is calling: nobody else does before this.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kinds__contained_by=[s.value for s in DeliveryState if s != DeliveryState.PENDING])
                & models.Q(kinds__len__gt=0),
                name="webhook_kinds_known",
            ),
        ]

    def __str__(self) -> str:
        return f"webhook {self.pk}"


class WebhookCall(models.Model):
    """One end of one delivery, for one webhook."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, db_index=False)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, db_index=False)
    kind = models.CharField(max_length=10, help_text="The state in which the delivery ended.")
    happened_at = models.DateTimeField(help_text="When it ended.")
    state = models.CharField(max_length=10, default=CallState.PENDING)
    due_at = models.DateTimeField(null=True, help_text="Not before; set exactly while the call is open.")
    token = models.PositiveIntegerField(default=0, help_text="Rises with every claim; only its holder may write.")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Counted at claim, before the call.")
    code = models.CharField(max_length=100, blank=True, default="", db_default="")
    detail = models.CharField(max_length=500, blank=True, default="", db_default="")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["delivery", "webhook", "kind"], name="webhookcall_once"),
            one_of("state", CallState, "webhookcall_state_known"),
            open_rows_are_due([CallState.PENDING.value], "webhookcall_open_rows_are_due"),
        ]
        indexes = [
            models.Index(
                fields=["webhook", "due_at"], condition=models.Q(due_at__isnull=False), name="webhookcall_due"
            ),
            models.Index(fields=["webhook", "id"], name="webhookcall_of_webhook"),
        ]
