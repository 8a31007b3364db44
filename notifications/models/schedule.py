"""Events that come back."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django_celery_beat.models import CrontabSchedule, IntervalSchedule


class Schedule(models.Model):
    """An event that is accepted anew at every occurrence. When is in django-celery-beat's tables."""

    producer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=200)
    submission = models.JSONField(help_text="The body of POST /events.")
    crontab = models.ForeignKey(CrontabSchedule, on_delete=models.PROTECT, null=True)
    interval = models.ForeignKey(IntervalSchedule, on_delete=models.PROTECT, null=True)
    each_own_zone = models.BooleanField(
        default=False, help_text="The crontab's time on each recipient's own clock; else in the crontab's time zone."
    )
    enabled = models.BooleanField(default=True)
    due_at = models.DateTimeField(null=True, help_text="The next occurrence; set exactly while it is enabled.")
    last_at = models.DateTimeField(null=True, help_text="The last occurrence that became an event.")
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(crontab__isnull=False, interval__isnull=True)
                | Q(crontab__isnull=True, interval__isnull=False),
                name="schedule_one_of_two",
            ),
            models.CheckConstraint(
                condition=Q(each_own_zone=False) | Q(crontab__isnull=False), name="schedule_own_zone_needs_a_crontab"
            ),
            models.CheckConstraint(
                condition=Q(enabled=True, due_at__isnull=False) | Q(enabled=False, due_at__isnull=True),
                name="schedule_enabled_ones_are_due",
            ),
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="schedule_due")]

    def __str__(self) -> str:
        return self.name
