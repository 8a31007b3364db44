#!/usr/bin/env python
"""
Fill a demo: people and topics through Django, events by Faker or from JSONPlaceholder over REST.

    python scripts/generate_sample_data.py --scenario sprint --events 60
    python scripts/generate_sample_data.py --jsonplaceholder
"""

import contextlib
import hashlib
import json
import os
import random
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.shared import jsonplaceholder, sample_data, terminal
from scripts.shared.rest import Rest, reason
from scripts.shared.terminal import Failed

BATCH = 500  # events in one request; the API takes 1,000 and at most 5 MB
DEMO_PEOPLE = ("alice", "bob", "carol")  # they get events too, so that whoever signs in as one sees something


def set_up() -> None:
    """Set Django up as `make run` does. Raises Failed outside a demo: real people must get no invented mail."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")
    if "SECRET_KEY" not in os.environ:
        os.environ.setdefault("DEMO", "1")
    import django
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    try:
        django.setup()
    except ImproperlyConfigured as error:
        raise Failed(str(error)) from error
    if not settings.DEMO:
        raise Failed("Sample data is for a demo: set DEMO=1, with a DATABASE_URL where no real person is.")


@contextlib.contextmanager
def producer_token(username: str) -> Iterator[str]:
    """A token of that producer, who is made when missing. It ends with the context, and after an hour anyway."""
    from knox.models import AuthToken

    from core.models import User

    producer, _ = User.objects.get_or_create(username=username, defaults={"is_producer": True, "password": "!"})
    stored, token = AuthToken.objects.create(user=producer, expiry=timedelta(hours=1))
    try:
        yield token
    finally:
        stored.delete()


def make_people(count: int) -> list[str]:
    """
    Make the sample people that are missing, what they chose and their devices, topics and subscriptions. The people's
    names. Safe to run again.
    """
    from core.models import User
    from notifications.models import Subscription, Topic

    people = sample_data.people(count)
    usernames = [person.username for person in people]
    known = User.objects.filter(username__in=usernames).count()
    User.objects.bulk_create(
        [
            User(
                username=person.username,
                first_name=person.first_name,
                last_name=person.last_name,
                email=person.email,
                password="!",  # unusable: nobody signs in as them
            )
            for person in people
        ],
        ignore_conflicts=True,
    )
    chosen, phones = _make_choices(usernames), _make_devices(usernames)
    # First, so that their teams stay the same with another --users.
    usernames = [
        *User.objects.filter(username__in=DEMO_PEOPLE).order_by("username").values_list("username", flat=True),
        *usernames,
    ]
    ids = dict(User.objects.filter(username__in=usernames).values_list("username", "id"))
    for key, names in sample_data.followers(usernames).items():
        topic, _ = Topic.objects.get_or_create(key=key, defaults={"name": sample_data.TOPICS[key]})
        Subscription.objects.bulk_create(
            [Subscription(topic=topic, user_id=ids[name]) for name in names], ignore_conflicts=True
        )
    print(f"people: {count}, {count - known} of them new; topics: {', '.join(sample_data.TOPICS)}")
    print(f"preferences: {chosen} new; devices: {phones} new")
    return usernames


def _make_choices(usernames: list[str]) -> int:
    """Choose for those who have not chosen; how many. Six statements, however many people."""
    from django.db import transaction
    from django.utils import timezone

    from core.models import User
    from notifications import preferences
    from notifications.models import Preference

    silent = dict(User.objects.filter(username__in=usernames, preference=None).values_list("username", "id"))
    if not silent:
        return 0
    chosen, now = sample_data.preferences(list(silent)), timezone.now()
    with transaction.atomic():
        steps = preferences.step(sorted(silent.values()), now=now)
        Preference.objects.bulk_update(
            [Preference(user_id=silent[name], **preferences.BLANK | fields) for name, fields in chosen.items()],
            list(preferences.BLANK),
        )
        preferences.tell(steps, now=now)
    return len(silent)


def _make_devices(usernames: list[str]) -> int:
    """Make the phones that are missing; how many."""
    import msgspec
    from django.utils import timezone

    from core.models import User
    from notifications import devices

    ids = dict(User.objects.filter(username__in=usernames).values_list("username", "id"))
    return devices.add(
        [
            (ids[name], msgspec.convert(phone, devices.FCM | devices.APNs))
            for name, phones in sample_data.devices(usernames).items()
            for phone in phones
        ],
        now=timezone.now(),
    )


def send_batches(rest: Rest, events: Sequence[dict[str, Any]]) -> None:
    """Send by /events/batch. The key is the content, so the same events again are not doubled. Raises Failed."""
    for start in range(0, len(events), BATCH):
        part = list(events[start : start + BATCH])
        results = rest.post("/api/v1/events/batch", {"events": part}, key=_key(part))["results"]
        if errors := [result["error"] for result in results if "error" in result]:
            raise Failed(f"{len(errors)} of {len(part)} events were refused: {reason(errors[0])}")


def send_todos(rest: Rest, url: str) -> None:
    """
    One event for each todo, each with a key of its own: a rerun sends only what has changed. Raises Failed.

    When the server cannot be reached the bundled records stand in, and one line says so.
    """
    try:
        records = jsonplaceholder.fetch(url)
    except Failed as failure:
        print(f"jsonplaceholder: {failure}; using the bundled records")
        records = jsonplaceholder.bundled()
    usernames = {user.id: _username(user) for user in records.users}
    sent = [
        jsonplaceholder.event(todo, username=usernames[todo.user_id])
        for todo in records.todos
        if todo.user_id in usernames
    ]
    for event in sent:
        rest.post("/api/v1/events", event, key=_key(event))
    completed = sum(event["type"] == "task.completed" for event in sent)
    print(f"jsonplaceholder: {len(sent)} events to {len(usernames)} people, {completed} task.completed")


def _username(user: jsonplaceholder.User) -> str:
    """Ours with that user name, else with that e-mail address, else a new one."""
    from core.models import User

    for found in (User.objects.filter(username=user.username), User.objects.filter(email__iexact=user.email)):
        if username := found.order_by("id").values_list("username", flat=True).first():
            return username
    first, _, last = user.name.partition(" ")
    made, _ = User.objects.get_or_create(
        username=user.username,
        defaults={"email": user.email, "first_name": first[:150], "last_name": last[:150], "password": "!"},
    )
    return made.username


def _key(body: Any) -> str:
    return "sample:" + hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def generate(options: Namespace) -> None:
    """Everything the options ask for. Raises Failed."""
    set_up()
    from django.db import DatabaseError

    url = terminal.target(options).http
    try:
        with producer_token(options.producer) as token, Rest(url, token=token) as rest:
            rest.get("/health/live")
            if options.jsonplaceholder:
                send_todos(rest, options.jsonplaceholder)
            else:
                usernames = make_people(options.users)
                seed = random.randrange(10**6) if options.seed is None else options.seed
                send_batches(
                    rest, sample_data.events(options.scenario, count=options.events, usernames=usernames, seed=seed)
                )
                print(f"events: {options.events} accepted, scenario {options.scenario}, seed {seed}")
    except DatabaseError as error:
        raise Failed(
            f"The database cannot be used ({str(error).splitlines()[0]}): start Bellhop with `make run` first, with "
            "the same DATA_DIR or DATABASE_URL."
        ) from error


def _parser() -> ArgumentParser:
    parser = terminal.parser(
        "Fill a demo: people and topics through Django, events over REST.",
        epilog="The same seed sends the same events, and running it again doubles none of them.",
    )
    parser.add_argument("--producer", default="producer", metavar="NAME", help="the producer who sends the events")
    parser.add_argument("--users", type=terminal.whole, default=20, metavar="N", help="how many sample people")
    parser.add_argument("--events", type=terminal.whole, default=50, metavar="N", help="how many events")
    parser.add_argument("--seed", type=int, metavar="N", help="what the events are made from; without it, any")
    parser.add_argument("--scenario", choices=list(sample_data.SCENARIOS), default="mixed", help="the mix of events")
    parser.add_argument(
        "--jsonplaceholder",
        nargs="?",
        const=jsonplaceholder.PUBLIC,
        metavar="URL",
        help=f"instead: one event for each todo of this server, its users are made (without URL: "
        f"{jsonplaceholder.PUBLIC}; when it cannot be reached: bundled records)",
    )
    return parser


def main() -> int:
    """Read the command line, generate."""
    generate(_parser().parse_args())
    return 0


if __name__ == "__main__":
    terminal.run(main)
