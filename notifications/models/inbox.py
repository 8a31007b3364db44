"""A person's inbox: its head, its lines, and each "mark all read"."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from notifications.models.event import Event


class InboxHead(models.Model):
    """One row per person: the last sequence number given out, and exact counts."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True)
    epoch = models.CharField(max_length=16, help_text="Changes only if this person's numbering restarts.")
    head_seq = models.BigIntegerField(default=0)
    unread = models.IntegerField(default=0)
    unseen = models.IntegerField(default=0)
    # Rises with every change of what the person chose: whoever decided before it must decide again.
    choices = models.BigIntegerField(default=0)
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
    # The event's words in this person's language, from a template; NULL: the event's own.
    title = models.CharField(max_length=200, null=True)
    body = models.TextField(null=True)
    decisions = models.JSONField(
        default=dict, help_text="By channel: on, off or digest, the rule that said so, the Reason."
    )

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
