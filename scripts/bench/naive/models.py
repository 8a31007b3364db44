"""The naive tables: one notification per person with its whole content, and one row of preferences."""

from typing import ClassVar

from django.conf import settings
from django.db import models


class Preference(models.Model):
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    in_app = models.BooleanField(default=True)

    objects: ClassVar[models.Manager["Preference"]] = models.Manager()  # named for mypy: it does not know this app

    class Meta:
        app_label = "naive"


class Notification(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    type = models.CharField(max_length=100)
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    read_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager["Notification"]] = models.Manager()

    class Meta:
        app_label = "naive"
