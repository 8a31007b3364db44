"""What a person chose, over REST."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.models import User
from notifications.models import InboxHead, NotificationSetting, Preference, PreferenceTemplate
from tests.api import Caller, error

NIGHT = {"days": [0, 1, 2, 3, 4], "start": "22:00", "end": "07:00"}
NOTHING = {
    "locale": None,
    "timezone": None,
    "channels": {},
    "quiet_hours": None,
    "digests": {},
    "muted_until": None,
    "template": None,
    "version": 0,
    "rev": 0,
    "updated_at": None,
    "effective": {"locale": "", "timezone": "UTC", "quiet_hours": [], "digests": {}},
}
CHOICE = {
    "locale": "pt-BR",
    "timezone": "America/St_Johns",
    "channels": {"email": False, "in_app": True},
    "quiet_hours": [NIGHT],
    "digests": {"email": {"every": "week", "at": "08:30", "weekday": 4}},
    "muted_until": "2030-01-01T00:00:00Z",
}
CHOSEN_EFFECTIVE = {
    "locale": "pt-BR",
    "timezone": "America/St_Johns",
    "quiet_hours": [NIGHT],
    "digests": CHOICE["digests"],
}


def patch(who: Caller, version: int, **fields: Any) -> Any:
    return who("PATCH", "/preferences", {"version": version} | fields)


def own(shown: dict[str, Any]) -> dict[str, Any]:
    """What the person chose themselves, of the object."""
    return {name: shown[name] for name in CHOICE}


BLANK = {name: NOTHING[name] for name in CHOICE}


def test_somebody_who_never_chose_has_the_defaults(as_alice: Caller) -> None:
    answer = as_alice("GET", "/preferences")
    assert (answer.status_code, answer.json(), answer["ETag"]) == (200, NOTHING, '"0"')
    assert not Preference.objects.exists()


def test_everything_that_can_be_chosen_comes_back(as_alice: Caller) -> None:
    answer = as_alice("PUT", "/preferences", CHOICE | {"version": 0})
    shown = answer.json()
    assert (answer.status_code, answer["ETag"]) == (200, '"1"')
    updated_at = shown.pop("updated_at")
    expected = NOTHING | CHOICE | {"version": 1, "rev": 1, "effective": CHOSEN_EFFECTIVE}
    assert shown == {name: value for name, value in expected.items() if name != "updated_at"}
    assert updated_at.endswith("Z")
    assert as_alice.get("/preferences") == shown | {"updated_at": updated_at}


def test_patch_leaves_the_rest_and_takes_nulls_out_of_maps(as_alice: Caller) -> None:
    as_alice("PUT", "/preferences", CHOICE | {"version": 0})
    change = {
        "locale": None,
        "channels": {"email": True, "in_app": None},
        "digests": {"email": {"every": "hour", "at": "08:30", "weekday": 4}},
    }
    shown = patch(as_alice, 1, **change).json()
    # An hourly digest has no time of day, and says none.
    expected = CHOICE | {"locale": None, "channels": {"email": True}, "digests": {"email": {"every": "hour"}}}
    assert own(shown) == expected
    shown = patch(as_alice, 2, digests={"email": None}, timezone="", muted_until=None).json()
    assert own(shown) == expected | {"digests": {}, "timezone": None, "muted_until": None}
    assert shown["version"] == 3


def test_put_lets_go_of_what_it_does_not_say(as_alice: Caller) -> None:
    as_alice("PUT", "/preferences", CHOICE | {"version": 0})
    shown = as_alice("PUT", "/preferences", {"version": 1, "channels": {"email": False, "in_app": None}}).json()
    assert own(shown) == BLANK | {"channels": {"email": False}}


def test_no_quiet_hours_are_another_thing_than_those_of_the_template(as_alice: Caller) -> None:
    PreferenceTemplate.objects.update(
        quiet_hours=[NIGHT], timezone="Asia/Kathmandu", digests={"email": {"every": "hour"}}
    )
    try:
        inherited = {"locale": "", "timezone": "Asia/Kathmandu", "quiet_hours": [NIGHT]}
        assert as_alice.get("/preferences")["effective"] == inherited | {"digests": {"email": {"every": "hour"}}}
        shown = patch(as_alice, 0, quiet_hours=[], digests={"email": {"every": "instant"}}).json()
        assert (shown["quiet_hours"], shown["effective"]["quiet_hours"]) == ([], [])
        assert shown["effective"]["digests"] == {"email": {"every": "instant"}}
        shown = patch(as_alice, 1, quiet_hours=None).json()
        assert (shown["quiet_hours"], shown["effective"]["quiet_hours"]) == (None, [NIGHT])
    finally:
        PreferenceTemplate.objects.update(quiet_hours=None, timezone="", digests={})


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_stale_change_is_refused_with_what_is_there(as_alice: Caller, method: str) -> None:
    patch(as_alice, 0, locale="de")
    present = as_alice.get("/preferences")
    for version in (0, 2, 7):
        answer = as_alice(method, "/preferences", {"version": version, "locale": "fr"})
        assert error(answer) == (409, "stale")
        assert answer.json()["details"] == {"present": present}
    assert as_alice.get("/preferences") == present


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_change_names_the_version_it_rests_on(as_alice: Caller, method: str) -> None:
    answer = as_alice(method, "/preferences", {"locale": "de"})
    assert error(answer) == (400, "invalid")
    assert list(answer.json()["details"]) == ["version"]
    for tag in ("x", "*", '"-1"', '""', '"1", "2"'):
        assert error(as_alice(method, "/preferences", {"locale": "de"}, If_Match=tag)) == (400, "invalid")
    for tag, version in (('"0"', 1), ("1", 2), ('W/"2"', 3)):
        answer = as_alice(method, "/preferences", {"locale": f"d{'abc'[version - 1]}"}, If_Match=tag)
        assert (answer.status_code, answer.json()["version"]) == (200, version)
    assert error(as_alice(method, "/preferences", {"locale": "fr"}, If_Match='"2"')) == (409, "stale")


def test_what_changes_nothing_takes_no_version(as_alice: Caller, alice: User) -> None:
    assert patch(as_alice, 0).json() == NOTHING
    assert patch(as_alice, 0, locale="", channels={"pigeon": None}).json() == NOTHING
    assert not Preference.objects.exists()
    first = patch(as_alice, 0, locale="de", quiet_hours=[NIGHT]).json()
    assert patch(as_alice, 1, locale="de", quiet_hours=[NIGHT | {"days": [4, 3, 2, 1, 0, 0]}]).json() == first
    assert InboxHead.objects.get(user=alice).head_seq == 1


def test_delete_restores_the_template_and_forgets_the_settings(as_alice: Caller, as_bob: Caller, bob: User) -> None:
    for who in (as_alice, as_bob):
        who("PUT", "/preferences", CHOICE | {"version": 0})
        who("POST", "/settings", {"category": "tasks", "channel": "email", "value": "off"})
    before = as_bob.get("/preferences")
    assert as_alice("DELETE", "/preferences").status_code == 204
    shown = as_alice.get("/preferences")
    assert (own(shown), shown["effective"], shown["version"]) == (BLANK, NOTHING["effective"], 3)
    assert as_alice.get("/settings")["results"] == []
    assert as_bob.get("/preferences") == before
    assert list(NotificationSetting.objects.values_list("user_id", flat=True)) == [bob.pk]
    assert as_alice("DELETE", "/preferences").status_code == 204
    assert as_alice.get("/preferences") == shown, "a second time changes nothing"


def test_settings_alone_are_forgotten_too(as_alice: Caller) -> None:
    as_alice("POST", "/settings", {"category": "tasks", "channel": "email", "value": "off"})
    assert as_alice("DELETE", "/preferences").status_code == 204
    assert as_alice.get("/settings")["results"] == []
    assert as_alice.get("/preferences")["version"] == 2


def test_nothing_to_restore_makes_no_row(as_alice: Caller) -> None:
    assert as_alice("DELETE", "/preferences").status_code == 204
    assert as_alice.get("/preferences") == NOTHING
    assert not Preference.objects.exists()


def test_everybody_has_their_own(as_alice: Caller, as_bob: Caller) -> None:
    patch(as_alice, 0, locale="de")
    assert as_bob.get("/preferences") == NOTHING
    patch(as_bob, 0, locale="fr")
    assert as_alice.get("/preferences")["locale"] == "de"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timezone": "Europe/Atlantis"}, "timezone"),
        ({"timezone": "europe/berlin"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"timezone": "UTC\n"}, "timezone"),
        ({"timezone": 7}, "timezone"),
        ({"locale": "de_DE"}, "locale"),
        ({"locale": "d"}, "locale"),
        ({"locale": "de\n"}, "locale"),
        ({"locale": "de-" + "a" * 40}, "locale"),
        ({"channels": {"pigeon": True}}, "channels"),
        ({"channels": {"email": "yes"}}, "channels[...]"),
        ({"channels": {f"channel{n}": True for n in range(21)}}, "channels"),
        ({"quiet_hours": [NIGHT | {"start": "25:00"}]}, "quiet_hours[0].start"),
        ({"quiet_hours": [NIGHT, NIGHT | {"end": "07:60"}]}, "quiet_hours[1].end"),
        ({"quiet_hours": [NIGHT | {"end": "07:00\n"}]}, "quiet_hours[0].end"),
        ({"quiet_hours": [NIGHT | {"days": []}]}, "quiet_hours[0].days"),
        ({"quiet_hours": [NIGHT | {"days": [7]}]}, "quiet_hours[0].days[0]"),
        ({"quiet_hours": [NIGHT | {"zone": "UTC"}]}, "quiet_hours[0]"),
        ({"quiet_hours": [NIGHT] * 22}, "quiet_hours"),
        ({"quiet_hours": [{"days": [0, 1, 2, 3, 4, 5, 6], "start": "08:00", "end": "08:00"}]}, "quiet_hours"),
        ({"digests": {"email": {"every": "minute"}}}, "digests[...].every"),
        ({"digests": {"email": {"every": "day", "at": "9:00"}}}, "digests[...].at"),
        ({"digests": {"email": {"every": "week", "weekday": 7}}}, "digests[...].weekday"),
        ({"digests": {"pigeon": {"every": "day"}}}, "digests"),
        ({"digests": {"in_app": {"every": "day"}}}, "digests"),
        ({"muted_until": "2030-01-01T00:00:00"}, "muted_until"),
        ({"muted_until": "0001-01-01T00:00:00+14:00"}, "muted_until"),
        ({"muted_until": "9999-12-31T23:59:59Z"}, "muted_until"),
        ({"muted_until": "soon"}, "muted_until"),
        ({"version": -1}, "version"),
        ({"version": "1"}, "version"),
        ({"template": "1"}, "body"),
        ({"effective": {}}, "body"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_what_is_not_valid_is_named(as_alice: Caller, method: str, change: dict[str, Any], field: str) -> None:
    answer = as_alice(method, "/preferences", {"version": 0} | change)
    assert error(answer) == (400, "invalid")
    assert list(answer.json()["details"]) == [field]
    assert not Preference.objects.exists()


def test_several_faults_are_named_together(as_alice: Caller) -> None:
    answer = patch(as_alice, 0, timezone="Mars", channels={"pigeon": True}, digests={"owl": {"every": "day"}})
    assert answer.json()["details"] == {
        "timezone": ["Not an IANA time zone; one is Europe/Berlin."],
        "channels": ["Unknown: pigeon. Known: email, in_app."],
        "digests": ["Unknown: owl. Known: email, in_app."],
    }


@pytest.mark.parametrize("body", ['{"version":0,"locale":"d\\u0000e"}', '{"version":0,"channels":{"\\u0000":true}}'])
def test_nul_is_refused(as_alice: Caller, body: str) -> None:
    assert error(as_alice("PATCH", "/preferences", body)) == (400, "invalid")
    assert not Preference.objects.exists()


def test_a_week_with_one_free_minute_is_allowed(as_alice: Caller) -> None:
    week = {"days": [0, 1, 2, 3, 4, 5], "start": "00:00", "end": "00:00"}
    sunday = {"days": [6], "start": "00:00", "end": "23:59"}
    assert patch(as_alice, 0, quiet_hours=[week, sunday]).status_code == 200
    answer = patch(as_alice, 1, quiet_hours=[week, sunday, {"days": [6], "start": "23:58", "end": "00:01"}])
    assert list(answer.json()["details"]) == ["quiet_hours"]


def test_a_time_in_another_zone_is_shown_in_utc(as_alice: Caller) -> None:
    shown = patch(as_alice, 0, muted_until="2030-01-01T00:00:00+05:45").json()
    assert shown["muted_until"] == "2029-12-31T18:15:00Z"
    assert Preference.objects.get().muted_until == datetime(2030, 1, 1, tzinfo=UTC) - timedelta(hours=5, minutes=45)


def test_strangers_have_none(stranger: Caller) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert error(stranger(method, "/preferences", {"version": 0})) == (401, "not_authenticated")
