"""The words of messages, as staff write them."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from notifications.models.catalog import Type


class Layout(models.Model):
    """What stands around the text of every mail that names it: MJML with one place for the content."""

    key = models.CharField(max_length=100, primary_key=True)
    source = models.TextField()
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.key


class Template(models.Model):
    """One version of the words of a type on a channel in a language. Only the current one is used."""

    type = models.ForeignKey(Type, on_delete=models.CASCADE, db_index=False)
    channel = models.CharField(max_length=20)
    locale = models.CharField(max_length=35, help_text="A BCP 47 tag such as de or pt-BR.")
    version = models.PositiveIntegerField()
    current = models.BooleanField(default=True)
    layout = models.ForeignKey(Layout, on_delete=models.PROTECT, null=True)
    subject = models.CharField(max_length=500, help_text="Liquid; the title of an inbox line.")
    source = models.TextField(help_text="Liquid in MJML for mail, Liquid for other channels.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["type", "channel", "locale", "version"], name="template_version_once"),
            models.UniqueConstraint(
                fields=["type", "channel", "locale"], condition=Q(current=True), name="template_one_current"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type_id} {self.channel} {self.locale} v{self.version}"
