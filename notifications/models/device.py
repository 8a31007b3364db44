"""Where push messages go."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from notifications.models.constraints import one_of
from notifications.words import DeviceKind


class Device(models.Model):
    """A browser or a phone of a person. One address belongs to one person at a time."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_index=False)
    kind = models.CharField(max_length=10)
    address = models.JSONField(help_text="What its push service needs. Never shown.")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the address.")
    name = models.CharField(max_length=100, blank=True)
    locale = models.CharField(max_length=35, blank=True)
    created_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    gone_at = models.DateTimeField(null=True, help_text="Its push service said that it does not exist any more.")

    class Meta:
        constraints = [
            one_of("kind", DeviceKind, "device_kind_known"),
            models.UniqueConstraint(fields=["fingerprint"], name="device_address_once"),
        ]
        indexes = [
            models.Index(fields=["user"], condition=Q(gone_at__isnull=True), name="device_of_user"),
            models.Index(fields=["gone_at"], condition=Q(gone_at__isnull=False), name="device_gone"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint[:8]}"
