"""The pages a person sees in a browser, and the one sign-in for all of them."""

from typing import Any

from django.conf import settings
from django.contrib.auth import views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from rest_framework.request import Request

from core.throttles import LoginThrottle
from core.tickets import session_credential
from notifications import live


@never_cache
@login_required
def inbox(request: HttpRequest) -> HttpResponse:
    """The inbox demo: the caller's notifications, live. Never kept: it must not come back after signing out."""
    return render(
        request,
        "core/inbox.html",
        {"demo": settings.DEMO, "ws_url": settings.WS_URL, "ws_port": settings.WS_PORT},
    )


class SignIn(views.LoginView):
    """Guesses count together with those at POST /api/v1/auth/token; too many answer 429."""

    template_name = "core/login.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"demo": settings.DEMO}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        throttle = LoginThrottle()
        if throttle.allow(Request(request), name=request.POST.get("username", "")):
            return super().post(request, *args, **kwargs)
        wait = int(throttle.wait())
        context = self.get_context_data(form=AuthenticationForm(request), wait=wait)
        return self.render_to_response(context, status=429, headers={"Retry-After": str(wait)})

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        before, session = self.request.user.pk, self.request.session.session_key
        response = super().form_valid(form)
        if before and before != form.get_user().pk:
            # Somebody else was signed in here: that session has ended, so do its sockets.
            live.kick(user_id=before, credential=session_credential(session or ""))
        return response


class SignOut(views.LogoutView):
    """Ends the session, and its sockets with 4506. Doing it again does nothing."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        who, session = request.user.pk, request.session.session_key
        response = super().post(request, *args, **kwargs)
        if who:
            live.kick(user_id=who, credential=session_credential(session or ""))
        return response
