"""Retraction: a producer withdraws everything about an object."""

from typing import Annotated

import msgspec
from django.utils import timezone
from msgspec import Meta
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.authentication import IsProducer, caller
from core.bodies import read
from core.openapi import describe
from notifications import retraction


class Retraction(msgspec.Struct, forbid_unknown_fields=True, rename={"about": "object"}):
    """The object as the events named it; with `type`, only the events of that type."""

    about: Annotated[str, Meta(min_length=1, max_length=200)]
    type: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class RetractedBody(msgspec.Struct):
    """How many events are withdrawn, and how many deliveries that stopped."""

    events: int
    deliveries: int


class RetractView(APIView):
    permission_classes = (IsProducer,)

    @describe(
        "retract_events",
        "Withdraw everything about an object",
        request=Retraction,
        answers={200: RetractedBody},
        errors=(400, 401, 403, 429),
    )
    def post(self, request: Request) -> Response:
        body = read(Retraction, request.data)
        done = retraction.retract(
            body.about,
            producer_id=None if request.user.is_staff else caller(request),
            type=body.type,
            now=timezone.now(),
        )
        return Response(RetractedBody(events=done.events, deliveries=done.deliveries))
