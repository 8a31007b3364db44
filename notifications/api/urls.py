"""The addresses under /api/v1 (docs/api.md)."""

from django.urls import path

from notifications.api import auth, catalog, events, notifications

urlpatterns = [
    path("auth/token", auth.TokenView.as_view()),
    path("auth/logout", auth.LogoutView.as_view()),
    path("auth/logout-all", auth.LogoutAllView.as_view()),
    path("auth/ws-ticket", auth.TicketView.as_view()),
    path("events", events.EventsView.as_view()),
    path("events/batch", events.BatchView.as_view()),
    path("events/<uuid:id>", events.EventView.as_view()),
    path("events/<uuid:id>/cancel", events.CancelView.as_view()),
    path("events/<uuid:id>/explain", events.ExplainView.as_view()),
    path("categories", catalog.CategoriesView.as_view()),
    path("categories/<str:key>", catalog.CategoryView.as_view()),
    path("types", catalog.TypesView.as_view()),
    path("types/<str:key>", catalog.TypeView.as_view()),
    path("topics", catalog.TopicsView.as_view()),
    path("topics/<str:key>", catalog.TopicView.as_view()),
    path("topics/<str:key>/subscriptions", catalog.SubscriptionsView.as_view()),
    path("notifications", notifications.NotificationsView.as_view()),
    path("notifications/bulk", notifications.BulkView.as_view()),
    path("notifications/counts", notifications.CountsView.as_view()),
    path("notifications/<str:id>", notifications.NotificationView.as_view()),
]
