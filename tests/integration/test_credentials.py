"""What a socket's credential is worth, and what a ticket gives away."""

import base64
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken

from core import tickets
from core.models import User
from delivery import credentials
from delivery.credentials import Who

pytestmark = pytest.mark.usefixtures("committed")


def by_token(user: User) -> tuple[AuthToken, Who]:
    stored = AuthToken.objects.create(user=user)[0]
    return stored, Who(user_id=user.pk, credential=tickets.token_credential(stored.digest))


def by_session(user: User) -> tuple[str, Who]:
    browser = Client()
    browser.force_login(user)
    key = browser.session.session_key or ""
    return key, Who(user_id=user.pk, credential=tickets.session_credential(key))


def test_what_exists_is_alive_and_nothing_else(alice: User, bob: User) -> None:
    _, mine = by_token(alice)
    _, session = by_session(alice)
    forged = Who(user_id=bob.pk, credential=mine.credential)
    assert credentials.alive([mine, session, forged]) == {mine, session}


def test_a_token_dies_when_it_is_deleted_or_expires(alice: User) -> None:
    deleted, one = by_token(alice)
    expired, other = by_token(alice)
    deleted.delete()
    AuthToken.objects.filter(pk=expired.pk).update(expiry=timezone.now() - timedelta(seconds=1))
    assert credentials.alive([one, other]) == set()


def test_a_session_dies_when_it_is_deleted_or_expires(alice: User) -> None:
    deleted, one = by_session(alice)
    expired, other = by_session(alice)
    Session.objects.filter(pk=deleted).delete()
    Session.objects.filter(pk=expired).update(expire_date=timezone.now() - timedelta(seconds=1))
    assert credentials.alive([one, other]) == set()


def test_everything_of_a_closed_account_is_dead(alice: User) -> None:
    whos = [by_token(alice)[1], by_session(alice)[1]]
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert credentials.alive(whos) == set()


def test_a_ticket_does_not_give_the_session_away(alice: User) -> None:
    browser = Client()
    browser.force_login(alice)
    key = browser.session.session_key or ""
    ticket = browser.post("/api/v1/auth/ws-ticket").json()["ticket"]
    readable = base64.urlsafe_b64decode(ticket.split(":")[0] + "==")
    assert key.encode() not in readable
    assert tickets.read(ticket).credential == tickets.session_credential(key)
