"""What a person chose, over REST: their own, nobody else's."""

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.authentication import caller
from core.bodies import read
from core.openapi import describe
from notifications import preferences
from notifications.api import rows
from notifications.options import PreferenceChange

ERRORS = (400, 401, 409, 429)
IF_MATCH = {"If-Match": 'The version you last read, like "3", when the body does not name it.'}


class PreferencesView(APIView):
    @describe("get_preferences", "What you chose", answers={200: preferences.Preferences}, errors=(401, 429))
    def get(self, request: Request) -> Response:
        return rows.tagged(preferences.of(caller(request)))

    @describe(
        "replace_preferences",
        "Choose anew; what is left out is left to the template",
        request=PreferenceChange,
        answers={200: preferences.Preferences},
        errors=ERRORS,
        headers=IF_MATCH,
    )
    def put(self, request: Request) -> Response:
        return self._change(request, replace=True)

    @describe(
        "change_preferences",
        "Change your choices; what is left out stays, null takes an entry out of a map",
        request=PreferenceChange,
        answers={200: preferences.Preferences},
        errors=ERRORS,
        headers=IF_MATCH,
    )
    def patch(self, request: Request) -> Response:
        return self._change(request, replace=False)

    def _change(self, request: Request, *, replace: bool) -> Response:
        given = rows.named(request, read(PreferenceChange, request.data))
        return rows.tagged(preferences.change(caller(request), given, replace=replace, now=timezone.now()).preferences)

    @describe(
        "restore_preferences",
        "Forget your choices and settings: the default template holds",
        answers={204: None},
        errors=(401, 429),
    )
    def delete(self, request: Request) -> Response:
        preferences.restore(caller(request), now=timezone.now())
        return Response(status=204)
