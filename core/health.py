"""Health: is this process alive, and is the installation fit to take work."""

from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

from core import redis


@never_cache
def live(request: HttpRequest) -> JsonResponse:
    """This process answers. Says nothing about others: restarting it would not mend them."""
    return JsonResponse({"status": "ok"})


@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """
    503 while PostgreSQL is away: nothing can be promised then. Without Redis events are still accepted,
    so that is reported as degraded and stays 200.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        database = True
    except Error:
        database = False
    live_channel = redis.available()
    status = "ok" if database and live_channel else "degraded" if database else "unavailable"
    return JsonResponse(
        {"status": status, "database": database, "redis": live_channel}, status=200 if database else 503
    )
