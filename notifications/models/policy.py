"""What stops messages: addresses that must not be written to, and providers that are in trouble."""

from django.conf import settings
from django.db import models

from notifications.models.constraints import one_of
from notifications.words import BreakerState


class Suppression(models.Model):
    """An address that gets nothing on a channel: it bounced, complained, or staff said so."""

    channel = models.CharField(max_length=20)
    address = models.CharField(max_length=320, help_text="A mail address in lower case.")
    cause = models.CharField(max_length=20)
    detail = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    until = models.DateTimeField(null=True, help_text="NULL: for good.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["channel", "address"], name="suppression_once")]
        indexes = [models.Index(fields=["created_at"], name="suppression_recent")]

    def __str__(self) -> str:
        return f"{self.channel} {self.cause}"


class Breaker(models.Model):
    """A provider's standing. Open: nobody calls it but for one probe when `probe_at` has come."""

    provider = models.CharField(max_length=100, primary_key=True)
    state = models.CharField(max_length=10, default=BreakerState.CLOSED)
    failures = models.PositiveIntegerField(default=0, help_text="Failed calls in a row.")
    opened_at = models.DateTimeField(null=True)
    probe_at = models.DateTimeField(null=True)
    trips = models.PositiveIntegerField(default=0, help_text="Times it opened in a row: each wait is longer.")
    detail = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [one_of("state", BreakerState, "breaker_state_known")]

    def __str__(self) -> str:
        return f"{self.provider} {self.state}"


class Replay(models.Model):
    """One replay of dead deliveries: who asked for what, and what it did. Append-only."""

    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True)
    at = models.DateTimeField()
    wanted = models.JSONField(help_text="The filter as it was given.")
    replayed = models.PositiveIntegerField()
    stale = models.PositiveIntegerField()
