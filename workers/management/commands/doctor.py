"""`manage.py doctor`: is this installation sound? One line and one remedy for each thing that is not."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from workers import doctor, probes


class Command(BaseCommand):
    help = "Look at the settings, the servers, the processes and the work; exit status 1 when something fails."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON list instead of lines")

    def handle(self, *args: Any, **options: Any) -> None:
        lines = probes.everything(clock=timezone.now)
        if options["json"]:
            self.stdout.write(json.dumps([line._asdict() for line in lines], indent=1))
        else:
            for line in lines:
                self.stdout.write(f"{line.state:<5} {line.name:<14} {line.what}")
                if line.remedy:
                    self.stdout.write(f"{'':<21}{line.remedy}")
        if any(line.state == doctor.State.FAIL for line in lines):
            raise SystemExit(1)
