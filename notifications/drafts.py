"""Drafts: an event as it would be claimed, without being stored. For the preview."""

from datetime import datetime

from msgspec import UNSET

from notifications import events, names
from notifications.models import Topic, Type
from notifications.submission import Submission
from notifications.words import EventState, lane_of


def draft(submission: Submission, *, now: datetime) -> events.Claimed:
    """
    The event a worker would claim. Raises Invalid for whatever events.accept would refuse. Five queries, nothing
    is written.
    """
    to = submission.recipients
    topic = None if to.topic is UNSET else to.topic
    row = {"type": submission.type, "category": submission.category, "topic": topic}
    for wrong in (names.unknown_channels(submission.channels), *names.unknown_names([row])):
        if wrong:
            raise wrong
    kind = Type.objects.get(key=submission.type)
    priority = submission.priority or kind.priority
    return events.Claimed(
        id=events.new_id(now),
        token=0,
        attempts=1,
        state=EventState.PROCESSING,
        trace_id="",
        type=submission.type,
        category=submission.category or kind.category_id,
        priority=priority,
        lane=lane_of(priority=priority, broadcast=to.users is UNSET),
        title=submission.title or kind.title,
        body=submission.body,
        data="{}",
        template_data="{}",
        action_url=submission.action_url,
        actor=submission.actor,
        object=submission.about,
        tags=submission.normalised_tags(),
        channels=submission.channels,
        type_channels=kind.channels,
        required=kind.required,
        not_allowed=kind.not_allowed,
        digest_key=submission.digest_key,
        email_if_unread_after=submission.email_if_unread_after,
        expires_at=submission.expires_at,
        usernames=None if to.users is UNSET else list(dict.fromkeys(to.users)),
        topic_id=None if topic is None else Topic.objects.get(key=topic).pk,
        topic=topic,
        everyone=to.all is not UNSET,
        zone="",
        worded=False,
        cursor=0,
        error="",
    )
