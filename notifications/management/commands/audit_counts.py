"""`manage.py audit_counts [--fix]`: recount unread and unseen against the heads."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from notifications import audit


class Command(BaseCommand):
    help = "Recount everybody's unread and unseen; exit status 1 when a head differs and was not fixed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--fix", action="store_true", help="set the heads to what the lines give")

    def handle(self, *args: Any, **options: Any) -> None:
        drifted = audit.find()
        for drift in drifted:
            self.stdout.write(
                f"{drift.username}: unread {drift.unread}, counted {drift.unread_lines}; "
                f"unseen {drift.unseen}, counted {drift.unseen_lines}"
            )
        if not drifted:
            self.stdout.write("Every head is exact.")
        elif options["fix"]:
            self.stdout.write(f"Fixed: {audit.fix()}.")
        else:
            sys.exit(1)
