"""`manage.py templates check [DIR] | export DIR | import DIR`: the words of messages as files in git."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from core.errors import Invalid
from notifications import template_files


class Command(BaseCommand):
    help = "Check templates, write them as files, or read them back; exit status 1 when one cannot be used."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        check = actions.add_parser("check", help="every variable, every language, every layout; one line a problem")
        check.add_argument("folder", type=Path, nargs="?", help="without it, what the database holds")
        actions.add_parser("export", help="write the current versions").add_argument("folder", type=Path)
        actions.add_parser("import", help="make new versions of what differs").add_argument("folder", type=Path)

    def handle(self, *args: Any, action: str, folder: Path | None, **options: Any) -> None:
        if folder and action != "export" and not folder.is_dir():
            raise CommandError(f"There is no directory {folder}.")
        try:
            if action == "export" and folder:
                self.stdout.write(f"{template_files.write(template_files.stored(), to=folder)} files written.")
            elif action == "import" and folder:
                made = template_files.load(template_files.read(folder), by=None, now=timezone.now())
                self.stdout.write(f"{made} new versions.")
            else:
                self._check(template_files.read(folder) if folder else template_files.stored())
        except Invalid as error:
            for where, why in error.details.items():
                self.stderr.write(f"{where}: {' '.join(map(str, why))}")
            raise CommandError(error.message) from error

    def _check(self, found: template_files.Folder) -> None:
        problems = list(template_files.problems(found))
        for problem in problems:
            self.stdout.write(problem)
        self.stdout.write(f"{len(found.words)} templates, {len(problems)} problems.")
        if problems:
            sys.exit(1)
