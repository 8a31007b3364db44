"""Who opens a socket: by a token in the handshake, by a ticket in `hello`, or by a session cookie of our own pages."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.db import connection
from django.http import HttpRequest
from rest_framework.exceptions import AuthenticationFailed

from core import tickets
from core.authentication import BearerAuthentication
from core.errors import AppError


class NotAuthenticated(AppError):
    """Send a valid token in the handshake, or a ticket in hello; a cookie counts only from an allowed Origin."""

    code = "not_authenticated"
    status = 401


@dataclass(frozen=True, slots=True)
class Who:
    """A person, and the credential whose end ends the socket."""

    user_id: int
    credential: str = field(repr=False)


def identify(scope: dict[str, Any], *, ticket: str | None) -> Who:
    """
    Who this is: the Authorization header first, then the ticket, then the cookie. Raises AppError.

    A browser sends cookies from any page, so a cookie counts only with an Origin that is ours, compared
    whole: scheme, host and port (RFC 6455, 10.2).
    """
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    if authorization := headers.get("authorization"):
        return _by_token(authorization)
    if ticket:
        return _by_ticket(ticket)
    if headers.get("origin") in settings.ALLOWED_ORIGINS:
        return _by_cookie(headers.get("cookie", ""))
    raise NotAuthenticated


def _by_token(authorization: str) -> Who:
    kind, _, token = authorization.partition(" ")
    if kind.lower() != "bearer" or not token:
        raise NotAuthenticated
    try:
        user, stored = BearerAuthentication().authenticate_credentials(token.strip().encode())
    except AuthenticationFailed as error:
        raise NotAuthenticated from error
    return Who(user_id=user.pk, credential=tickets.token_credential(stored.digest))


def _by_ticket(text: str) -> Who:
    ticket = tickets.read(text)
    who = Who(user_id=ticket.user_id, credential=ticket.credential)
    # Logging out after the ticket was made must count.
    if not alive([who]):
        raise NotAuthenticated
    return who


_ALIVE = """
SELECT w.user_id, w.credential
FROM unnest(%(users)s::bigint[], %(credentials)s::text[]) AS w(user_id, credential)
JOIN core_user u ON u.id = w.user_id AND u.is_active
WHERE EXISTS (SELECT FROM knox_authtoken t
              WHERE t.user_id = u.id AND w.credential = 'token:' || left(t.digest, 32)
                AND (t.expiry IS NULL OR t.expiry > now()))
   OR w.credential IN (SELECT 'session:' || left(encode(sha256(s.session_key::bytea), 'hex'), 32)
                       FROM django_session s WHERE s.expire_date > now())
"""


def alive(whos: Sequence[Who]) -> set[Who]:
    """Those whose account is active and whose credential still exists. One query, however many."""
    with connection.cursor() as cursor:
        cursor.execute(
            _ALIVE, {"users": [who.user_id for who in whos], "credentials": [who.credential for who in whos]}
        )
        return {Who(user_id=user_id, credential=credential) for user_id, credential in cursor.fetchall()}


def _by_cookie(header: str) -> Who:
    try:
        morsel = SimpleCookie(header).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        morsel = None
    if morsel is None:
        raise NotAuthenticated
    request = HttpRequest()
    request.session = _sessions(morsel.value)
    user = get_user(request)
    if not user.is_authenticated or not user.is_active:
        raise NotAuthenticated
    return Who(user_id=int(user.pk), credential=tickets.session_credential(morsel.value))


def _sessions(key: str | None = None) -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore(key)
