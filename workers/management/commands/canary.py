"""`manage.py canary`: does a notification arrive on every channel, and how fast?"""

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from core.errors import AppError
from core.models import User
from workers import canary

LOOK_EVERY = 0.1  # seconds


class Command(BaseCommand):
    help = "Send one test notification through every channel and wait for it; exit status 1 unless all arrive."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", default=settings.CANARY_USER, help="who gets it (default: CANARY_USER)")
        parser.add_argument("--within", type=float, default=60.0, help="seconds to wait (default: 60)")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user {options['user']!r}: name one with --user or CANARY_USER.")
        try:
            event_id = canary.send(user, now=timezone.now())
        except AppError as error:
            raise CommandError(error.message) from error
        end = time.monotonic() + options["within"]
        found = canary.look(event_id, user=user)
        while any(one.seconds is None for one in found) and time.monotonic() < end:
            time.sleep(LOOK_EVERY)
            found = canary.look(event_id, user=user)
        for one in found:
            after = "still on its way" if one.seconds is None else f"after {one.seconds:.2f} s"
            self.stdout.write(f"{'ok' if one.arrived else 'FAIL':<5} {one.channel:<10} {one.what}, {after}")
        if not all(one.arrived for one in found):
            self.stdout.write(f"`manage.py explain {event_id} --user {user.username}` tells more.")
            raise SystemExit(1)
