"""The pages a person sees in a browser."""

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


@login_required
def inbox(request: HttpRequest) -> HttpResponse:
    """The inbox demo: the caller's notifications, live."""
    return render(request, "core/inbox.html", {"ws_port": settings.WS_PORT})
