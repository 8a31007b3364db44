"""Tokens for programs, tickets for sockets."""

from datetime import datetime

import msgspec
from django.contrib.auth import authenticate
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core import tickets
from core.authentication import caller
from core.bodies import read
from core.errors import AppError
from core.openapi import describe
from core.throttles import LoginThrottle
from notifications import live


class WrongPassword(AppError):
    """The user name or the password is wrong, or the account is closed."""

    code = "wrong_password"
    status = 401


class Credentials(msgspec.Struct, forbid_unknown_fields=True):
    """Who signs in."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(...)"  # never what it holds


class Token(msgspec.Struct):
    """A token for the Authorization header; it is shown only once."""

    token: str
    expires_at: datetime | None

    def __repr__(self) -> str:
        return "Token(...)"  # never what it holds


class WebSocketTicket(msgspec.Struct):
    """What a page sends in `hello`."""

    ticket: str
    expires_at: datetime

    def __repr__(self) -> str:
        return "WebSocketTicket(...)"  # never what it holds


def credential_of(request: Request) -> str:
    """What this request was authenticated with, as sockets remember it: logging it out closes them."""
    if isinstance(request.auth, AuthToken):
        return tickets.token_credential(request.auth.digest)
    return tickets.session_credential(request.session.session_key or "")


class TokenView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (LoginThrottle,)

    @describe("create_token", "Sign in for a token", request=Credentials, answers={200: Token}, errors=(400, 401, 429))
    def post(self, request: Request) -> Response:
        given = read(Credentials, request.data)
        user = authenticate(request, username=given.username, password=given.password)
        if user is None:
            raise WrongPassword
        stored, token = AuthToken.objects.create(user=user)
        return Response(Token(token=token, expires_at=stored.expiry))


class LogoutView(APIView):
    @describe("logout", "End this token or session; its sockets close", answers={204: None}, errors=(401,))
    def post(self, request: Request) -> Response:
        credential = credential_of(request)
        if isinstance(request.auth, AuthToken):
            request.auth.delete()
        else:
            request.session.flush()
        live.kick(user_id=caller(request), credential=credential)
        return Response(status=204)


class LogoutAllView(APIView):
    @describe("logout_all", "End all tokens of this user; all sockets close", answers={204: None}, errors=(401,))
    def post(self, request: Request) -> Response:
        AuthToken.objects.filter(user_id=caller(request)).delete()
        if request.auth is None:
            request.session.flush()
        live.kick(user_id=caller(request))
        return Response(status=204)


class TicketView(APIView):
    @describe("create_ws_ticket", "A short-lived ticket for `hello`", answers={200: WebSocketTicket}, errors=(401,))
    def post(self, request: Request) -> Response:
        ticket, expires_at = tickets.issue(
            user_id=caller(request), credential=credential_of(request), now=timezone.now()
        )
        return Response(WebSocketTicket(ticket=ticket, expires_at=expires_at))
