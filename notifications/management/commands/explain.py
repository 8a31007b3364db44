"""`manage.py explain EVENT --user NAME`: did they get it, and if not, why?"""

import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from notifications import explanations
from notifications.models import Event


class Command(BaseCommand):
    help = "Tell what became of an event for one person: every decision, every wait, every try."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("event", help="the id from the producer's 202")
        parser.add_argument("--user", required=True, help="the user name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            event = Event.objects.get(pk=uuid.UUID(options["event"]))
        except (ValueError, Event.DoesNotExist):
            raise CommandError(f"There is no event {options['event']}.") from None
        found = explanations.explain(event, username=options["user"])
        self.stdout.write(f"{found['answer']}\n")
        for moment in found["timeline"]:
            at = f"{moment['at']:%Y-%m-%d %H:%M:%S.%f}Z"
            rule = moment["rule"] and f"by {moment['rule']}"
            rest = " ".join(part for part in (moment["channel"], moment["reason"], rule, moment["detail"]) if part)
            self.stdout.write(f"  {at}  {moment['what']:<16} {rest}".rstrip())
