"""The design Bellhop is measured against: a view, a row per person, a Celery task per row, `group_send`."""

from scripts.bench.naive.queue import app as celery

__all__ = ["celery"]
