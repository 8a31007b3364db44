"""`manage.py issue_token USER`: a token for a program, without its password."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from knox.models import AuthToken

from core.models import User


class Command(BaseCommand):
    help = "Print a new token for a user. It is stored hashed, and shown only here."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="the user name")
        parser.add_argument("--days", type=int, help="how long it is good for (default: TOKEN_TTL_DAYS)")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user {options['user']!r}.")
        days = options["days"]
        if days is not None and days < 1:
            raise CommandError("--days must be at least 1.")
        expiry = {"expiry": timedelta(days=days)} if days else {}
        self.stdout.write(AuthToken.objects.create(user=user, **expiry)[1])
