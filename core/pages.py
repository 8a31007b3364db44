"""The pages a person sees in a browser, and the one sign-in for all of them."""

from typing import Any

from django.conf import settings
from django.contrib.auth import views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from rest_framework.request import Request

from core.errors import NotFound
from core.throttles import LoginThrottle, RateThrottle
from core.tickets import session_credential
from notifications import live, own_settings, unsubscribing


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


LINK_RATE = "20/min"  # of one link: it has one thing to do


@csrf_exempt  # the signed link is the permission; a mail program has no cookie and no page (RFC 8058, 3.2)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """
    The link of a mail. A GET changes nothing, because scanners fetch links; a POST of `List-Unsubscribe=One-Click`
    switches one setting off, and one of `undo` forgets that. Twice is once. What we did not sign is 404.

    Limited by link, and by address only as the API is: mail providers POST for many people from few addresses.
    """
    throttle, asked, template = RateThrottle(), Request(request), "core/unsubscribe.html"
    try:
        link = unsubscribing.opened(token)
        allowed = throttle.count(throttle.who(asked), rate=throttle.rate())
        if not (allowed and throttle.count(":".join(map(str, link)), rate=LINK_RATE)):
            wait = int(throttle.wait())
            response = render(request, template, {"wait": wait}, status=429)
            response["Retry-After"] = str(wait)
            return response
        context: dict[str, Any] = {"name": own_settings.name(link.scope)}
        if request.method == "POST":
            off = request.POST.get("List-Unsubscribe") == "One-Click"
            if not off and "undo" not in request.POST:
                return render(request, template, context | {"state": "unclear"}, status=400)
            own_settings.switch(link.user_id, scope=link.scope, channel=link.channel, off=off, now=timezone.now())
            context["state"] = "off" if off else "undone"
    except NotFound:
        return render(request, template, {"state": "nothing"}, status=404)
    return render(request, template, context)
