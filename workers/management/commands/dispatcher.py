"""`manage.py dispatcher`: look at PostgreSQL once a second and hint what is due. Safe to run twice."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand
from django.db import Error, close_old_connections
from django.utils import timezone

from core import logs
from workers import sweep

log = logs.logger(__name__)

INTERVAL = 1.0  # seconds


class Command(BaseCommand):
    help = "Hint the lanes that have due rows; while Redis is away, run the urgent lane itself."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        while not stop.is_set():
            close_old_connections()
            try:
                sweep.tick(clock=timezone.now)
            except Error as error:
                # PostgreSQL restarting is an operator's doing, not a bug: look again in a second.
                log.warning("dispatcher.database_away", error=str(error))
            stop.wait(INTERVAL)
