"""What people chose, and what staff chose for those who did not."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from notifications.models.catalog import Category, Topic, Type
from notifications.models.constraints import one_of
from notifications.words import Value


class Choices(models.Model):
    """What a person and a default template can both say; what is left out is for the next in the chain."""

    locale = models.CharField(max_length=35, blank=True)
    timezone = models.CharField(max_length=64, blank=True)
    channels = models.JSONField(default=dict, blank=True, help_text='{"email": false}')
    quiet_hours = models.JSONField(
        null=True,
        blank=True,
        help_text='[{"days": [0, 1], "start": "22:00", "end": "07:00"}], 0 is Monday. NULL: inherit.',
    )
    digests = models.JSONField(default=dict, blank=True, help_text='{"email": {"every": "day", "at": "09:00"}}')
    version = models.PositiveIntegerField(default=1, help_text="Rises with every change: a change must name it.")
    updated_at = models.DateTimeField()

    class Meta:
        abstract = True


class PreferenceTemplate(Choices):
    """Defaults kept by staff, for everyone who did not choose."""

    name = models.CharField(max_length=100, unique=True)
    is_default = models.BooleanField(default=False, help_text="For people who are not given another.")
    settings = models.JSONField(default=dict, blank=True, help_text='{"category:tasks": {"email": "digest"}}')

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="preference_template_one_default"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Preference(Choices):
    """One person's own choices. Without a row, or where it is silent, the template speaks."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True)
    template = models.ForeignKey(
        PreferenceTemplate, on_delete=models.PROTECT, null=True, help_text="NULL: the default one."
    )
    muted_until = models.DateTimeField(null=True)
    rev = models.BigIntegerField(default=0, help_text="The person's sequence number at the last change.")


class NotificationSetting(models.Model):
    """On, off or digest, for one category, type or topic on one channel."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    category = models.ForeignKey(Category, on_delete=models.CASCADE, null=True)
    type = models.ForeignKey(Type, on_delete=models.CASCADE, null=True)
    topic = models.ForeignKey(Topic, on_delete=models.CASCADE, null=True)
    channel = models.CharField(max_length=20)
    value = models.CharField(max_length=10)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "category", "channel"], name="setting_once_per_category"),
            models.UniqueConstraint(fields=["user", "type", "channel"], name="setting_once_per_type"),
            models.UniqueConstraint(fields=["user", "topic", "channel"], name="setting_once_per_topic"),
            models.CheckConstraint(
                condition=Q(category__isnull=False, type__isnull=True, topic__isnull=True)
                | Q(category__isnull=True, type__isnull=False, topic__isnull=True)
                | Q(category__isnull=True, type__isnull=True, topic__isnull=False),
                name="setting_of_one_thing",
            ),
            one_of("value", Value, "setting_value_known"),
            models.CheckConstraint(condition=~Q(channel="in_app", value="digest"), name="setting_no_digest_in_app"),
        ]
