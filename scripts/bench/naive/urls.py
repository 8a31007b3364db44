"""Bellhop's paths."""

from django.urls import path

from scripts.bench.naive.views import BatchView, EventsView

urlpatterns = [
    path("api/v1/events", EventsView.as_view()),
    path("api/v1/events/batch", BatchView.as_view()),
]
