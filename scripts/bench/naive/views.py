"""The naive API: in the request, each person is read, gets a row, and the row gets a task."""

from typing import Any

from django.contrib.auth import get_user_model
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from scripts.bench.naive.models import Notification, Preference
from scripts.bench.naive.tasks import send_notification


class RecipientsSerializer(serializers.Serializer[Any]):
    users = serializers.ListField(child=serializers.CharField(max_length=150))


class EventSerializer(serializers.Serializer[Any]):
    type = serializers.CharField(max_length=100)
    title = serializers.CharField(max_length=200)
    body = serializers.CharField(allow_blank=True, default="")
    data = serializers.JSONField(default=dict)  # type: ignore[assignment]  # DRF tells field and property apart
    recipients = RecipientsSerializer()


class BatchSerializer(serializers.Serializer[Any]):
    events = EventSerializer(many=True)


def notify(event: dict[str, Any]) -> list[int]:
    """A row and a task for each recipient; the ids of the rows."""
    ids = []
    for username in event["recipients"]["users"]:
        user = get_user_model().objects.get(username=username)
        if not Preference.objects.get(user=user).in_app:
            continue
        notification = Notification(
            user=user, type=event["type"], title=event["title"], body=event["body"], data=event["data"]
        )
        notification.save()
        send_notification.delay(notification.pk)
        ids.append(notification.pk)
    return ids


class EventsView(APIView):
    def post(self, request: Request) -> Response:
        serializer = EventSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response({"ids": notify(serializer.validated_data)}, status=202)


class BatchView(APIView):
    def post(self, request: Request) -> Response:
        serializer = BatchSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        results = [{"ids": notify(event)} for event in serializer.validated_data["events"]]
        return Response({"results": results}, status=202)
