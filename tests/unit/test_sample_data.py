"""Sample data: the same seed gives the same events, and the API's own definition accepts each of them."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from notifications import devices, options
from notifications.submission import Submission
from scripts.shared import jsonplaceholder, sample_data
from scripts.shared.jsonplaceholder import Records, Todo

NAMES = [person.username for person in sample_data.people(20)]


def made(scenario: str, *, count: int = 30, seed: int = 7) -> list[dict[str, Any]]:
    return sample_data.events(scenario, count=count, usernames=NAMES, seed=seed)


def test_people_are_always_the_same_ones() -> None:
    assert sample_data.people(20)[:5] == sample_data.people(5)
    assert len(set(NAMES)) == 20
    assert {person.email for person in sample_data.people(20)} == {f"{name}@example.com" for name in NAMES}


def test_what_people_chose_is_always_the_same_and_may_be_chosen() -> None:
    chosen = sample_data.preferences(NAMES)
    assert list(chosen) == NAMES
    assert sample_data.preferences(NAMES[3:5]) == {name: chosen[name] for name in NAMES[3:5]}
    for one in chosen.values():
        assert options.columns(msgspec.convert(one, options.PreferenceChange)) == one
    fields = Counter(field for one in chosen.values() for field in one)
    assert set(fields) == {"locale", "timezone", "quiet_hours", "digests", "channels"}
    assert fields["locale"] == fields["timezone"] == 20


def test_devices_are_always_the_same_and_may_be_registered() -> None:
    made = sample_data.devices(NAMES)
    assert list(made) == NAMES
    assert sample_data.devices(NAMES[3:5]) == {name: made[name] for name in NAMES[3:5]}
    phones = [phone for some in made.values() for phone in some]
    prints = {devices.fingerprint(msgspec.convert(phone, devices.FCM | devices.APNs)) for phone in phones}
    assert len(prints) == len(phones)
    assert {len(some) for some in made.values()} == {0, 1, 2}
    assert {phone["kind"] for phone in phones} == {"fcm", "apns"}


def test_everybody_follows_one_team() -> None:
    followers = sample_data.followers(NAMES)
    assert list(followers) == list(sample_data.TOPICS)
    assert sorted(name for names in followers.values() for name in names) == sorted(NAMES)


@pytest.mark.parametrize("scenario", sample_data.SCENARIOS)
@pytest.mark.parametrize("count", [1, 2, 3, 31])
def test_events_are_valid_and_as_many_as_asked(scenario: str, count: int) -> None:
    events = made(scenario, count=count)
    assert len(events) == count
    for event in events:
        to = msgspec.convert(event, Submission).recipients
        assert to.users is msgspec.UNSET or set(to.users) <= set(NAMES)
        assert to.topic is msgspec.UNSET or to.topic in sample_data.TOPICS


@pytest.mark.parametrize("scenario", sample_data.SCENARIOS)
def test_the_seed_decides(scenario: str) -> None:
    assert made(scenario) == made(scenario)
    assert made(scenario) != made(scenario, seed=8)


def test_a_sprint_takes_each_task_from_assigned_to_completed() -> None:
    events = made("sprint")
    assert [event["type"] for event in events[:3]] == ["task.assigned", "task.updated", "task.completed"]
    assert Counter(event["object"] for event in events) == {f"task:{number}": 3 for number in range(1, 11)}
    assert events[0]["recipients"] == events[1]["recipients"]


def test_an_incident_alarms_two_people_and_ends() -> None:
    first, *updates, last = made("incident")
    assert (first["priority"], len(first["recipients"]["users"])) == ("critical", 2)
    assert {(event["type"], event["priority"]) for event in updates} == {("task.updated", "high")}
    assert last["type"] == "task.completed"


def test_a_broadcast_is_to_everyone_every_tenth_time() -> None:
    everyone = [number for number, event in enumerate(made("broadcast")) if event["recipients"] == {"all": True}]
    assert everyone == [0, 10, 20]


def test_the_bundled_records_are_like_the_public_ones() -> None:
    records = jsonplaceholder.bundled()
    assert [user.id for user in records.users] == list(range(1, 11))
    assert [todo.id for todo in records.todos] == list(range(1, 201))
    assert Counter(todo.user_id for todo in records.todos) == dict.fromkeys(range(1, 11), 20)
    assert {user.email.partition("@")[2] for user in records.users} == {"example.com"}


def test_a_todo_becomes_a_task_event() -> None:
    todo = Todo(id=7, user_id=1, title="delectus\n aut autem", completed=False)
    assert jsonplaceholder.event(todo, username="Bret") == {
        "type": "task.assigned",
        "recipients": {"users": ["Bret"]},
        "title": "delectus aut autem",
        "object": "todo:7",
        "data": {"source": "jsonplaceholder", "todo": 7},
        "tags": ["jsonplaceholder"],
    }
    done = msgspec.structs.replace(todo, completed=True)
    assert jsonplaceholder.event(done, username="Bret")["type"] == "task.completed"


def test_every_bundled_todo_is_a_valid_event() -> None:
    records: Records = jsonplaceholder.bundled()
    events = [msgspec.convert(jsonplaceholder.event(todo, username="Bret"), Submission) for todo in records.todos]
    assert Counter(event.type for event in events) == {"task.assigned": 109, "task.completed": 91}
