"""What a producer may submit: each field at its limit, and one beyond."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.bodies import read
from core.errors import Invalid
from notifications.submission import MAX_DATA_BYTES, MAX_USERS, Submission
from notifications.words import Priority

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TO_ALICE = {"users": ["alice"]}


def submit(**fields: Any) -> Submission:
    return read(Submission, {"type": "task.assigned", "recipients": TO_ALICE} | fields)


def refusal(**fields: Any) -> tuple[str, str]:
    """The field that is named, and the sentence about it."""
    with pytest.raises(Invalid) as caught:
        submit(**fields)
    ((name, (sentence,)),) = caught.value.details.items()
    return name, sentence


DATA_ROOM = MAX_DATA_BYTES - len('{"k":""}')


@pytest.mark.parametrize(
    ("field", "at_limit", "beyond"),
    [
        ("type", "t" * 100, "t" * 101),
        ("title", "t" * 200, "t" * 201),
        ("body", "b" * 10_000, "b" * 10_001),
        ("data", {"k": "v" * DATA_ROOM}, {"k": "v" * (DATA_ROOM + 1)}),
        ("action_url", "/" + "a" * 1999, "/" + "a" * 2000),
        ("actor", "a" * 200, "a" * 201),
        ("category", "c" * 50, "c" * 51),
        ("tags", ["t" * 50], ["t" * 51]),
        ("tags", [f"t{n}" for n in range(20)], [f"t{n}" for n in range(21)]),
        ("object", "o" * 200, "o" * 201),
        ("channels", ["c" * 20], ["c" * 21]),
        ("channels", ["in_app"], []),
        ("email_if_unread_after", 1, 0),
        ("email_if_unread_after", 2_592_000, 2_592_001),
        ("recipients", {"users": ["u" * 150]}, {"users": ["u" * 151]}),
        ("recipients", {"users": ["u"] * MAX_USERS}, {"users": ["u"] * (MAX_USERS + 1)}),
        ("recipients", {"users": ["u"]}, {"users": []}),
        ("recipients", {"topic": "t" * 100}, {"topic": "t" * 101}),
        ("recipients", {"all": True}, {"all": False}),
    ],
)
def test_each_limit(field: str, at_limit: Any, beyond: Any) -> None:
    taken = submit(**{field: at_limit})
    assert getattr(taken, {"object": "about"}.get(field, field)) is not None
    name, _ = refusal(**{field: beyond})
    # What concerns the whole body (data, action_url, ...) is told about the body.
    assert name.split(".")[0].split("[")[0] in (field, "body")


@pytest.mark.parametrize("missing", ["type", "recipients"])
def test_what_cannot_be_left_out(missing: str) -> None:
    body = {"type": "task.assigned", "recipients": TO_ALICE}
    del body[missing]
    with pytest.raises(Invalid) as caught:
        read(Submission, body)
    assert caught.value.details == {"body": [f"Object missing required field `{missing}`"]}


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "evil.example",
        "ftp://files.example",
        "https://",
        "https://a b",
        "https://a\nb",
        "/\n//evil.example",
        "http://[",
        "/\\evil.example",
        "/\t/evil.example",
        "https://ok.example\n",
        "/tasks/1\n",
    ],
)
def test_an_address_that_a_browser_must_not_follow_is_refused(url: str) -> None:
    name, sentence = refusal(action_url=url)
    assert name == "body"
    assert sentence.startswith("`action_url` must start with https://, http:// or a single /")


@pytest.mark.parametrize("url", ["", "/", "/tasks/1?x=y#z", "http://a", "HTTPS://a.example/p", "https://[::1]/"])
def test_addresses_that_may_be_followed(url: str) -> None:
    assert submit(action_url=url).action_url == url


@pytest.mark.parametrize("field", ["title", "actor", "object"])
@pytest.mark.parametrize("text", ["a\r\nBcc: evil@example.com", "a\nb", "a\rb", "a\n"])
def test_a_line_that_could_break_a_header_is_refused(field: str, text: str) -> None:
    assert refusal(**{field: text})[0] == field


@pytest.mark.parametrize(
    "fields",
    [
        {"recipients": {}},
        {"recipients": {"users": ["alice"], "topic": "t"}},
        {"recipients": {"users": ["alice"], "all": True}},
        {"recipients": {"topic": "t", "all": True}},
        {"recipients": {"users": ["alice"], "topic": "t", "all": True}},
    ],
)
def test_exactly_one_kind_of_recipients(fields: dict[str, Any]) -> None:
    assert refusal(**fields) == ("recipients", "Give exactly one of `users`, `topic` and `all`")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"colour": "red"}, "body"),
        ({"about": "task:1"}, "body"),
        ({"recipients": {"users": ["alice"], "groups": ["g"]}}, "recipients"),
        ({"recipients": ["alice"]}, "recipients"),
        ({"recipients": {"users": "alice"}}, "recipients.users"),
        ({"recipients": {"users": [7]}}, "recipients.users[0]"),
        ({"recipients": {"users": [""]}}, "recipients.users[0]"),
        ({"priority": "urgent"}, "priority"),
        ({"title": None}, "title"),
        ({"data": []}, "data"),
        ({"email_if_unread_after": 1.5}, "email_if_unread_after"),
        ({"email_if_unread_after": "60"}, "email_if_unread_after"),
        ({"send_at": "tomorrow"}, "send_at"),
        ({"send_at": 1_772_452_800}, "send_at"),
        ({"send_at": "2026-03-02"}, "send_at"),
    ],
)
def test_what_is_not_a_field_or_not_of_its_kind_is_named(fields: dict[str, Any], name: str) -> None:
    assert refusal(**fields)[0] == name


@pytest.mark.parametrize("field", ["send_at", "expires_at"])
@pytest.mark.parametrize("moment", ["2026-03-02T12:00:00", "2026-03-02T12:00:00.5"])
def test_a_time_without_a_zone_is_refused(field: str, moment: str) -> None:
    assert refusal(**{field: moment}) == ("body", f"`{field}` needs a time zone, for example a final Z")


@pytest.mark.parametrize("field", ["send_at", "expires_at"])
@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_is_no_date_in_utc_is_refused(field: str, moment: str) -> None:
    assert refusal(**{field: moment})[1].startswith(f"`{field}` must be")


@pytest.mark.parametrize("minutes", [0, -1])
def test_an_event_cannot_expire_before_it_is_sent(minutes: int) -> None:
    fields = {"send_at": "2026-03-02T13:00:00Z", "expires_at": f"2026-03-02T{13 if not minutes else 12}:00:00Z"}
    assert refusal(**fields) == ("body", "`expires_at` must come after `send_at`")


@pytest.mark.parametrize(
    ("send_at", "due_at"),
    [
        (None, NOW),
        ("2026-03-02T11:59:59Z", NOW),
        ("2026-03-02T12:00:00Z", NOW),
        ("2026-03-02T14:00:00Z", NOW + timedelta(hours=2)),
        ("2026-03-02T14:00:00+01:00", NOW + timedelta(hours=1)),
    ],
)
def test_when_it_is_due(send_at: str | None, due_at: datetime) -> None:
    assert submit(send_at=send_at).due_at(NOW) == due_at


def test_tags_are_trimmed_lower_case_and_each_there_once() -> None:
    assert submit(tags=["Work", " work ", "HOME", "a b"]).normalised_tags() == ["work", "home", "a b"]


def test_what_is_left_out_comes_from_the_type() -> None:
    plain = submit()
    assert (plain.title, plain.category, plain.priority, plain.channels) == ("", None, None, None)
    assert submit(priority="critical").priority is Priority.CRITICAL
