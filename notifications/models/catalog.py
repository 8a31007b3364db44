"""What staff keep: categories, types and topics; and who follows which topic."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from notifications.models.constraints import one_of
from notifications.words import Priority


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
    # What nobody's preference can overrule.
    required = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    not_allowed = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    sample = models.JSONField(
        default=dict, blank=True, help_text="An example of `template_data`: it says which variables templates may use."
    )
    # What to do when a call ended without an answer. False for what must never arrive twice.
    resend_unknown = models.BooleanField(default=True)

    class Meta:
        constraints = [
            one_of("priority", Priority, "type_priority_known"),
            models.CheckConstraint(
                condition=~models.Q(required__overlap=models.F("not_allowed")), name="type_required_is_allowed"
            ),
        ]

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
