"""The tables in the admin. What the pipeline writes is shown, not edited: its rows obey rules a form does not know."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from notifications.models import (
    Attempt,
    Category,
    Delivery,
    Event,
    InboxHead,
    Notification,
    NotificationSetting,
    Preference,
    PreferenceTemplate,
    Schedule,
    Subscription,
    Topic,
    Type,
)


class ReadOnly(ModelAdmin):  # type: ignore[misc]
    show_full_result_count = False  # counting a large table to draw a page is not worth it

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Category)
class CategoryAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("key", "name")


@admin.register(Type)
class TypeAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("key", "category", "priority", "channels", "resend_unknown")


@admin.register(Topic)
class TopicAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("key", "name")
    search_fields = ("key", "name")


@admin.register(Subscription)
class SubscriptionAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("topic", "user", "created_at")
    raw_id_fields = ("topic", "user")
    list_select_related = ("topic", "user")


@admin.register(Event)
class EventAdmin(ReadOnly):
    list_display = (
        "id",
        "type",
        "title",
        "state",
        "lane",
        "due_at",
        "attempts",
        "accepted_at",
        "processed_at",
    )
    list_filter = ("state", "lane", "type")
    search_fields = ("id", "trace_id", "object")
    ordering = ("-id",)


@admin.register(InboxHead)
class InboxHeadAdmin(ReadOnly):
    list_display = ("user", "head_seq", "unread", "unseen", "read_watermark", "epoch")
    search_fields = ("user__username",)
    list_select_related = ("user",)


@admin.register(Notification)
class NotificationAdmin(ReadOnly):
    list_display = ("id", "user", "event", "rev", "created_at", "seen_at", "read_at", "decisions")
    search_fields = ("user__username", "event__id")
    list_select_related = ("user",)
    ordering = ("-id",)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly):
    list_display = (
        "id",
        "notification_id",
        "channel",
        "state",
        "reason",
        "due_at",
        "attempts",
        "lost_claims",
        "code",
    )
    list_filter = ("state", "channel", "lane")
    ordering = ("-id",)


@admin.register(Attempt)
class AttemptAdmin(ReadOnly):
    list_display = ("delivery_id", "token", "result", "code", "detail", "started_at", "ended_at")
    list_filter = ("result",)
    ordering = ("-id",)


@admin.register(Schedule)
class ScheduleAdmin(ReadOnly):
    list_display = ("name", "producer", "crontab", "interval", "each_own_zone", "enabled", "due_at", "last_at", "error")
    list_filter = ("enabled",)
    search_fields = ("name", "producer__username")
    list_select_related = ("producer", "crontab", "interval")
    ordering = ("-id",)


@admin.register(Preference)
class PreferenceAdmin(ReadOnly):
    list_display = ("user", "template", "locale", "timezone", "channels", "muted_until", "version", "updated_at")
    search_fields = ("user__username",)
    list_select_related = ("user", "template")
    ordering = ("-user_id",)


@admin.register(NotificationSetting)
class NotificationSettingAdmin(ReadOnly):
    list_display = ("user", "category", "type", "topic", "channel", "value", "updated_at")
    list_filter = ("channel", "value")
    search_fields = ("user__username", "topic__key")
    list_select_related = ("user", "topic")
    ordering = ("-id",)


@admin.register(PreferenceTemplate)
class PreferenceTemplateAdmin(ReadOnly):
    list_display = ("name", "is_default", "locale", "timezone", "channels", "version", "updated_at")
    search_fields = ("name",)
