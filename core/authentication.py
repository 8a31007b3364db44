"""Who calls the REST API, and what only some may do."""

from typing import TYPE_CHECKING, Any

from django.utils import timezone
from knox.auth import TokenAuthentication
from rest_framework import permissions
from rest_framework.request import Request

from core.models import User

if TYPE_CHECKING:
    from rest_framework.views import APIView


class BearerAuthentication(TokenAuthentication):  # type: ignore[misc]
    """`Authorization: Bearer <token>`; tokens are stored hashed and expire. One query."""

    def _cleanup_token(self, auth_token: Any) -> bool:
        # Knox deletes the user's expired tokens here, at a query for each request; refusing them is enough.
        return bool(auth_token.expiry and auth_token.expiry < timezone.now())


def caller(request: Request) -> int:
    """The id of who calls; only where a permission has let them in."""
    assert request.user.pk is not None
    return request.user.pk


class IsProducer(permissions.BasePermission):
    """Producers and staff."""

    message = "Only a producer may do this: ask staff to set is_producer on your user."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        user = request.user
        return isinstance(user, User) and (user.is_producer or user.is_staff)
