"""Every HTTP address. Sockets are in core/asgi.py."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from core import api, health, metrics, pages

urlpatterns = [
    path("", pages.inbox, name="inbox"),
    path("login/", pages.SignIn.as_view(), name="login"),
    path("logout/", pages.SignOut.as_view(), name="logout"),
    # The admin's own sign-in knows no rate limit, and its sign-out closes no sockets.
    path("admin/login/", RedirectView.as_view(pattern_name="login", query_string=True)),
    path("admin/logout/", pages.SignOut.as_view()),
    path("unsubscribe/<str:token>", pages.unsubscribe),
    path("anymail/", include("anymail.urls")),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", metrics.show),
    path("admin/", admin.site.urls),
    path("api/v1/", include("workers.api")),
    path("api/v1/", include("notifications.api.urls")),
    path("api/v1/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    re_path("^api/", api.nowhere),
]
