"""Tokens and tickets: how one gets in, how often one may guess, and what ends it."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client, override_settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from knox.models import AuthToken

from core import tickets
from core.models import User
from delivery import credentials
from tests.api import Caller, error
from tests.live import Listener

pytestmark = pytest.mark.usefixtures("committed")


def sign_in(call: Caller, username: str = "alice", password: str = "alice") -> str:
    answer = call("POST", "/auth/token", {"username": username, "password": password})
    assert answer.status_code == 200, answer.content
    return str(answer.json()["token"])


def test_a_token_is_given_for_the_right_password_and_works(stranger: Caller, alice: User) -> None:
    before = timezone.now()
    body = stranger("POST", "/auth/token", {"username": "alice", "password": "alice"}).json()
    assert set(body) == {"token", "expires_at"}
    expires_at = parse_datetime(body["expires_at"])
    assert expires_at is not None
    assert body["expires_at"].endswith("Z")
    assert before + settings.TOKEN_TTL <= expires_at <= timezone.now() + settings.TOKEN_TTL
    assert Caller(token=body["token"]).get("/notifications/counts")["unread"] == 0


def test_a_token_is_stored_hashed(stranger: Caller, alice: User) -> None:
    token = sign_in(stranger)
    stored = AuthToken.objects.get()
    assert token not in (stored.digest, stored.token_key)
    assert not token.endswith(stored.digest)
    assert len(stored.token_key) < 20  # the part that is kept cannot be used


@pytest.mark.parametrize(
    ("username", "password"),
    [("alice", "wrong"), ("alice", ""), ("Alice", "alice"), ("nobody", "alice"), ("", ""), ("closed", "closed")],
)
def test_everything_else_is_the_same_wrong_password(
    stranger: Caller, alice: User, username: str, password: str
) -> None:
    User.objects.create_user("closed", password="closed", is_active=False)
    answer = stranger("POST", "/auth/token", {"username": username, "password": password})
    assert error(answer) == (401, "wrong_password")
    assert answer["WWW-Authenticate"] == "Bearer"
    assert AuthToken.objects.count() == 0


@pytest.mark.parametrize("body", [{}, {"username": "alice"}, {"username": 7, "password": "x"}, [], None, "no json"])
def test_half_a_sign_in_is_not_valid(stranger: Caller, alice: User, body: object) -> None:
    assert error(stranger("POST", "/auth/token", body)) == (400, "invalid")


def test_guessing_is_limited_and_says_how_long(stranger: Caller, alice: User, bob: User) -> None:
    with override_settings(RATE_LOGIN="3/hour"):
        guesses = [stranger("POST", "/auth/token", {"username": "alice", "password": "x"}) for _ in range(4)]
        assert [answer.status_code for answer in guesses] == [401, 401, 401, 429]
        assert error(guesses[3]) == (429, "rate_limited")
        assert 1 <= int(guesses[3]["Retry-After"]) <= 3600
        # The right password does not help any more, and someone else is not held up.
        assert error(stranger("POST", "/auth/token", {"username": "alice", "password": "alice"}))[0] == 429
        assert sign_in(stranger, "bob", "bob")


def test_every_endpoint_together_is_limited_by_person(as_alice: Caller, as_bob: Caller) -> None:
    with override_settings(RATE_API="2/hour"):
        answers = [as_alice("GET", path) for path in ("/notifications", "/notifications/counts", "/notifications")]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert int(answers[2]["Retry-After"]) >= 1
        assert as_bob("GET", "/notifications").status_code == 200


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Bearer nonsense", "Token {}", "Bearer {} x", "Bearer {}x", "{}"]
)
def test_what_is_no_token_is_401(alice: User, authorization: str) -> None:
    token = Caller(alice).token
    headers = {"Authorization": authorization.format(token)} if authorization else {}
    answer = Client().get("/api/v1/notifications", headers=headers)
    assert error(answer) == (401, "not_authenticated")
    assert answer["WWW-Authenticate"] == "Bearer"


def test_an_expired_token_is_401(as_alice: Caller) -> None:
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert error(as_alice("GET", "/notifications")) == (401, "not_authenticated")


def test_the_token_of_a_closed_account_is_401(as_alice: Caller, alice: User) -> None:
    alice.is_active = False
    alice.save()
    assert error(as_alice("GET", "/notifications")) == (401, "not_authenticated")


def test_logout_ends_this_token_and_its_sockets(stranger: Caller, alice: User) -> None:
    first, second = Caller(token=sign_in(stranger)), Caller(token=sign_in(stranger))
    with Listener() as heard:
        answer = first("POST", "/auth/logout")
        (message,) = heard.messages()
    assert (answer.status_code, answer.content) == (204, b"")
    assert error(first("GET", "/notifications")) == (401, "not_authenticated")
    assert second("GET", "/notifications").status_code == 200
    assert message.kick is not None
    assert message.kick.user_id == alice.pk
    assert message.kick.credential.startswith("token:")
    kept = AuthToken.objects.get()
    assert message.kick.credential != f"token:{kept.digest[:32]}"


def test_logout_all_ends_every_token_of_this_person(stranger: Caller, alice: User, as_bob: Caller) -> None:
    calls = [Caller(token=sign_in(stranger)) for _ in range(3)]
    with Listener() as heard:
        assert calls[0]("POST", "/auth/logout-all").status_code == 204
        (message,) = heard.messages()
    assert [call("GET", "/notifications").status_code for call in calls] == [401] * 3
    assert as_bob("GET", "/notifications").status_code == 200
    assert message.kick is not None
    assert (message.kick.user_id, message.kick.credential) == (alice.pk, "")


def test_logout_all_in_a_browser_ends_the_session_too(alice: User) -> None:
    browser = Client()
    browser.force_login(alice)
    assert browser.get("/api/v1/notifications").status_code == 200
    assert browser.post("/api/v1/auth/logout-all").status_code == 204
    assert browser.get("/api/v1/notifications").status_code == 401


def test_a_ticket_opens_a_socket_for_this_person_until_logout(as_alice: Caller, alice: User) -> None:
    before = timezone.now()
    body = as_alice("POST", "/auth/ws-ticket").json()
    assert set(body) == {"ticket", "expires_at"}
    expires_at = parse_datetime(body["expires_at"])
    assert expires_at is not None
    assert before < expires_at <= timezone.now() + timedelta(minutes=10)
    who = credentials.identify({"headers": []}, ticket=body["ticket"])
    digest = AuthToken.objects.get().digest
    assert who == credentials.Who(user_id=alice.pk, credential=f"token:{digest[:32]}")
    as_alice("POST", "/auth/logout")
    with pytest.raises(credentials.NotAuthenticated):
        credentials.identify({"headers": []}, ticket=body["ticket"])


def test_a_ticket_is_for_sockets_only_and_cannot_be_altered(as_alice: Caller) -> None:
    ticket = as_alice("POST", "/auth/ws-ticket").json()["ticket"]
    assert error(Caller(token=ticket)("GET", "/notifications")) == (401, "not_authenticated")
    for wrong in ("", "x", ticket[:-1], "x" + ticket, ticket + "x"):
        with pytest.raises(tickets.BadTicket):
            tickets.read(wrong)
    with override_settings(TICKET_TTL=timedelta(seconds=-1)), pytest.raises(tickets.BadTicket):
        tickets.read(ticket)


def test_a_session_counts_only_with_its_csrf_token(alice: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    assert browser.get("/api/v1/notifications").status_code == 200
    assert error(browser.post("/api/v1/notifications/bulk", {}, content_type="application/json")) == (
        403,
        "forbidden",
    )


@pytest.mark.parametrize("path", ["/auth/logout", "/auth/logout-all", "/auth/ws-ticket"])
def test_a_stranger_has_nothing_to_end(stranger: Caller, path: str) -> None:
    assert error(stranger("POST", path)) == (401, "not_authenticated")
