"""The user: who can sign in, who may produce events, and where their mail goes."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A person, or a program that produces events. Our own model from the first migration on."""

    # A column and not a permission: accepting an event must not cost two more queries.
    is_producer = models.BooleanField(default=False, help_text="May send events over the REST API.")

    class Meta(AbstractUser.Meta):
        constraints = [
            models.CheckConstraint(condition=~models.Q(username=""), name="user_username_not_empty"),
        ]
