"""The tables. Constraints live here so that the database keeps them; behaviour lives in the noun modules."""

from notifications.models.catalog import Category, Subscription, Topic, Type
from notifications.models.delivery import Attempt, Delivery
from notifications.models.event import Event
from notifications.models.inbox import InboxHead, Notification, ReadMark

__all__ = [
    "Attempt",
    "Category",
    "Delivery",
    "Event",
    "InboxHead",
    "Notification",
    "ReadMark",
    "Subscription",
    "Topic",
    "Type",
]
