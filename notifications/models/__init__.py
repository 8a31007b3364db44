"""The tables. Constraints live here so that the database keeps them; behaviour lives in the noun modules."""

from notifications.models.catalog import Category, Subscription, Topic, Type
from notifications.models.delivery import Attempt, Delivery, Digest, Spending
from notifications.models.device import Device
from notifications.models.event import Event
from notifications.models.inbox import InboxHead, Notification, ReadMark
from notifications.models.policy import Breaker, Replay, Suppression
from notifications.models.preference import NotificationSetting, Preference, PreferenceTemplate
from notifications.models.schedule import Schedule
from notifications.models.template import Layout, Template
from notifications.models.webhook import Webhook, WebhookCall

__all__ = [
    "Attempt",
    "Breaker",
    "Category",
    "Delivery",
    "Device",
    "Digest",
    "Event",
    "InboxHead",
    "Layout",
    "Notification",
    "NotificationSetting",
    "Preference",
    "PreferenceTemplate",
    "ReadMark",
    "Replay",
    "Schedule",
    "Spending",
    "Subscription",
    "Suppression",
    "Template",
    "Topic",
    "Type",
    "Webhook",
    "WebhookCall",
]
