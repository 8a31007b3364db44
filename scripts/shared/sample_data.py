"""Invented people and real-world mixes of events, by Faker. Pure: the same seed gives the same data."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from faker import Faker

TOPICS = {"team-web": "Web team", "team-mobile": "Mobile team", "team-platform": "Platform team"}
TASKS = ("Fix", "Review", "Test", "Document", "Release")
PARTS = ("sign-in", "search", "checkout", "the inbox", "billing", "the mobile menu", "exports", "the API")
LOCALES = ("en", "en", "de", "fr")
ZONES = ("Europe/Berlin", "Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Sydney")
ANDROIDS, IPHONES = ("Pixel", "Galaxy", "Work phone"), ("iPhone", "iPad")
BROADCAST_EVERY = 10  # in the broadcast mix every tenth event is to everyone, the others go to teams

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who does not exist; mail for example.com goes nowhere (RFC 2606)."""

    username: str
    first_name: str
    last_name: str
    email: str


def people(count: int) -> list[Person]:
    """The first `count` of always the same people."""
    fake = Faker()
    fake.seed_instance(1)
    made = []
    for number in range(1, count + 1):
        first, last = fake.first_name(), fake.last_name()
        username = re.sub(r"[^a-z.]", "", f"{first}.{last}".lower()) + str(number)
        made.append(Person(username=username, first_name=first, last_name=last, email=f"{username}@example.com"))
    return made


def preferences(usernames: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each of them chose: the fields of PATCH /preferences, always the same for the same name."""
    made, fake = {}, Faker()
    for username in usernames:
        fake.seed_instance(username)
        chosen: dict[str, Any] = {"locale": fake.random_element(LOCALES), "timezone": fake.random_element(ZONES)}
        if fake.boolean(40):
            start, end = fake.random_element(("21:00", "22:00", "23:30")), fake.random_element(("06:30", "08:00"))
            chosen["quiet_hours"] = [{"days": list(range(7)), "start": start, "end": end}]
        if fake.boolean(30):
            chosen["digests"] = {"email": fake.random_element(({"every": "hour"}, {"every": "day", "at": "17:00"}))}
        elif fake.boolean(20):
            chosen["channels"] = {"email": False}
        made[username] = chosen
    return made


def devices(usernames: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """
    Up to two phones for each of them: bodies of POST /devices, always the same for the same name.

    No browsers: those are asked for over the network, and these are nobody's.
    """
    made, fake = {}, Faker()
    for username in usernames:
        fake.seed_instance(username)
        phones: list[dict[str, Any]] = []
        if fake.boolean(70):
            token = fake.pystr_format("sample:??????????????????????????????")
            phones.append({"kind": "fcm", "token": token, "name": fake.random_element(ANDROIDS)})
        if fake.boolean(50):
            phones.append({"kind": "apns", "token": fake.sha256(), "name": fake.random_element(IPHONES)})
        made[username] = phones
    return made


def followers(usernames: Sequence[str]) -> dict[str, list[str]]:
    """Who follows which topic: everybody is in one team."""
    teams = list(TOPICS)
    return {team: list(usernames[place :: len(teams)]) for place, team in enumerate(teams)}


def events(scenario: str, *, count: int, usernames: Sequence[str], seed: int) -> list[Event]:
    """Exactly `count` bodies for POST /events; the scenario is a key of SCENARIOS."""
    fake = Faker()
    fake.seed_instance(seed)
    return SCENARIOS[scenario](fake, count, list(usernames))


def _task(fake: Faker, number: int) -> Event:
    return {
        "title": f"{fake.random_element(TASKS)} {fake.random_element(PARTS)}",
        "body": fake.sentence(),
        "actor": fake.name(),
        "object": f"task:{number}",
        "data": {"source": "sample", "task": number},
        "tags": ["sample"],
    }


def _mixed(fake: Faker, count: int, usernames: list[str]) -> list[Event]:
    """A little of everything: each event about another task, mostly to one person, now and then to a team."""
    made = []
    for number in range(1, count + 1):
        to = {"topic": fake.random_element(list(TOPICS))} if number % 10 == 0 else _one(fake, usernames)
        kind = fake.random_element(("task.assigned", "task.updated", "task.completed"))
        made.append({**_task(fake, number), "type": kind, "recipients": to})
    return made


def _sprint(fake: Faker, count: int, usernames: list[str]) -> list[Event]:
    """Each task is assigned to somebody, updated once, then completed, which the team hears."""
    made: list[Event] = []
    for number in range(1, (count + 2) // 3 + 1):
        task, owner = _task(fake, number) | {"tags": ["sample", "sprint"]}, _one(fake, usernames)
        team = {"topic": fake.random_element(list(TOPICS))}
        made += [
            {**task, "type": "task.assigned", "recipients": owner},
            {**task, "type": "task.updated", "recipients": owner, "body": fake.sentence()},
            {**task, "type": "task.completed", "recipients": team},
        ]
    return made[:count]


def _incident(fake: Faker, count: int, usernames: list[str]) -> list[Event]:
    """Two people are alarmed, the team reads the updates, and the last event says that it is over."""
    on_call = {"users": fake.random_elements(usernames, length=min(2, len(usernames)), unique=True)}
    team = {"topic": "team-platform"}
    base = {"object": "incident:1", "data": {"source": "sample"}, "tags": ["sample", "incident"]}
    part = fake.random_element(PARTS)
    made = [
        {"type": "task.assigned", "recipients": on_call, "priority": "critical", "title": f"Outage: {part} is down"},
        *(
            {"type": "task.updated", "recipients": team, "priority": "high", "title": f"Update {n}: {part}"}
            for n in range(1, count - 1)
        ),
        {"type": "task.completed", "recipients": team, "priority": "high", "title": f"Resolved: {part} is back"},
    ]
    return [base | event | {"body": fake.sentence(), "actor": fake.name()} for event in made[:count]]


def _broadcast(fake: Faker, count: int, usernames: list[str]) -> list[Event]:
    """Announcements: to everyone first and every tenth time, to one team otherwise."""
    made = []
    for number in range(count):
        to = {"topic": fake.random_element(list(TOPICS))} if number % BROADCAST_EVERY else {"all": True}
        task = _task(fake, number + 1) | {"tags": ["sample", "announcement"], "priority": "low"}
        made.append({**task, "type": "task.updated", "recipients": to})
    return made


def _one(fake: Faker, usernames: list[str]) -> dict[str, Any]:
    return {"users": [fake.random_element(usernames)]}


SCENARIOS: dict[str, Callable[[Faker, int, list[str]], list[Event]]] = {
    "mixed": _mixed,
    "sprint": _sprint,
    "incident": _incident,
    "broadcast": _broadcast,
}
