"""`manage.py replay --since ... --until ... [--apply]`: send failed or unknown deliveries of a window again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from core.bodies import read
from core.errors import Invalid
from core.models import User
from notifications import replays

FILTERS = ("state", "channel", "lane", "provider", "type", "category", "user", "code", "result", "since", "until")


class Command(BaseCommand):
    help = "Send failed or unknown deliveries again; without --apply it only tells which."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", required=True, help="they ended at or after, like 2026-01-31T09:00:00Z")
        parser.add_argument("--until", required=True, help="they ended before")
        parser.add_argument("--state", action="append", help="failed or unknown; without it both")
        for name in FILTERS:
            if name not in ("since", "until", "state"):
                parser.add_argument(f"--{name}", help="as in GET /deliveries")
        parser.add_argument("--rate", type=int, help="a minute (600)")
        parser.add_argument("--max-age", type=int, help="seconds; what is older is left out (86400)")
        parser.add_argument("--include-stale", action="store_true", help="also what is read, sent elsewhere or old")
        parser.add_argument("--apply", action="store_true", help="do it")
        parser.add_argument("--by", metavar="NAME", help="the user name of who does it, for the record")

    def handle(self, *args: Any, apply: bool, by: str | None, **options: Any) -> None:
        given = {name: options[name] for name in ("rate", "max_age", "include_stale") if options[name] is not None}
        wanted = {name: options[name] for name in FILTERS if options[name] is not None}
        user = User.objects.filter(username=by).first() if by else None
        if by and user is None:
            raise CommandError(f"There is no user {by!r}.")
        try:
            order = read(replays.Order, given | {"filter": wanted, "dry_run": not apply})
        except Invalid as error:
            why = "; ".join(f"{name}: {' '.join(said)}" for name, said in error.details.items())
            raise CommandError(why) from error
        self._tell(order, replays.run(order, by=user.pk if user else None, now=timezone.now()))

    def _tell(self, order: replays.Order, answer: replays.Replayed) -> None:
        for group in answer.groups:
            self.stdout.write(f"{group.channel:<10} {group.type or '(digest)':<40} {group.count:>8}")
        for why, count in answer.stale.items():
            self.stdout.write(f"{'left out':<10} {why:<40} {count:>8}")
        minutes = -(-answer.would // order.rate)
        if answer.dry_run:
            self.stdout.write(f"{answer.would} would go within {minutes} min. Nothing was changed: add --apply.")
        else:
            self.stdout.write(f"{answer.replayed} go within {minutes} min: replay {answer.replay}.")
