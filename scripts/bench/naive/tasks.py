"""The naive task: one per notification."""

from asgiref.sync import async_to_sync
from celery import shared_task
from channels.layers import get_channel_layer

from scripts.bench.naive.models import Notification


@shared_task
def send_notification(id: int) -> None:
    """Read the row and tell the person's group."""
    notification = Notification.objects.select_related("user").get(pk=id)
    content = {
        "id": notification.pk,
        "type": notification.type,
        "title": notification.title,
        "body": notification.body,
        "data": notification.data,
        "created_at": notification.created_at.isoformat(),
    }
    async_to_sync(get_channel_layer().group_send)(
        f"user_{notification.user.pk}", {"type": "notify", "content": content}
    )
