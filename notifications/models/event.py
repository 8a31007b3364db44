"""Events: what producers told us."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import models
from django.db.models import Q

from notifications.models.catalog import Category, Topic, Type
from notifications.models.constraints import one_of, open_rows_are_due
from notifications.words import EventState, Lane, Priority

OPEN_EVENT = [EventState.ACCEPTED.value, EventState.PROCESSING.value, EventState.RETRACTING.value]


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
    template_data = models.JSONField(default=dict)
    channels = ArrayField(models.CharField(max_length=20), null=True, help_text="NULL: those of the type.")
    digest_key = models.CharField(max_length=100, blank=True, help_text="Splits digests: one per key.")
    email_if_unread_after = models.PositiveIntegerField(null=True, help_text="Seconds.")
    expires_at = models.DateTimeField(null=True)

    # The audience: exactly one of three.
    usernames = ArrayField(models.CharField(max_length=150), null=True)
    topic = models.ForeignKey(Topic, on_delete=models.PROTECT, null=True)
    everyone = models.BooleanField(default=False)
    zone = models.CharField(max_length=64, blank=True, help_text="Only people whose clock is in this time zone.")

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
    retracted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["producer", "idempotency_key"], name="event_idempotency_key_once"),
            models.CheckConstraint(
                condition=Q(usernames__isnull=False, topic__isnull=True, everyone=False)
                | Q(usernames__isnull=True, topic__isnull=False, everyone=False)
                | Q(usernames__isnull=True, topic__isnull=True, everyone=True),
                name="event_one_audience",
            ),
            one_of("state", EventState, "event_state_known"),
            one_of("priority", Priority, "event_priority_known"),
            one_of("lane", Lane, "event_lane_known"),
            open_rows_are_due(OPEN_EVENT, "event_open_rows_are_due"),
        ]
        indexes = [
            models.Index(fields=["lane", "due_at"], condition=Q(due_at__isnull=False), name="event_due"),
            models.Index(fields=["producer", "-id"], name="event_by_producer"),
            models.Index(fields=["object"], condition=~Q(object=""), name="event_by_object"),
            GinIndex(SearchVector("title", "body", config="simple"), name="event_text"),
        ]
