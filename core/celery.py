"""
The Celery app. Tasks are hints ("lane X has work"); the work is a row in PostgreSQL.

So nothing here needs results, ETAs, retries or exactly-once: losing a message costs a second, getting
one twice costs an empty claim. Each setting says why it is so.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, task_prerun, worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")

from django.conf import settings


class LateWork(Exception):
    """A task was published with an ETA, a countdown or a retry. Put a `due_at` on a row instead."""


def broker_url(redis_url: str) -> str:
    """Kombu's spelling of a Redis address: unix sockets have a scheme of their own, TLS is verified on request."""
    if redis_url.startswith("unix://"):
        path, _, query = redis_url.removeprefix("unix://").partition("?")
        database = query.removeprefix("db=") or "0"
        return f"redis+socket://{path}?virtual_host={database}"
    if redis_url.startswith("rediss://") and "ssl_cert_reqs" not in redis_url:
        return f"{redis_url}{'&' if '?' in redis_url else '?'}ssl_cert_reqs=required"
    return redis_url


class Publisher(Celery):
    """Celery with the publish guard: time is `due_at` on a row, never a message in flight."""

    def send_task(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Every way to publish comes through here: send_task, apply_async, retry, beat. Raises LateWork."""
        # Not a receiver of before_task_publish: Celery's signals swallow what a receiver raises.
        if len(arguments) > 2 or options.get("countdown") or options.get("eta") or options.get("retries"):
            raise LateWork(name)
        return super().send_task(name, *arguments, **options)


# Consumed in this order by a worker that has several (-Q in the Procfile).
QUEUES = ("urgent", "normal", "bulk", "digest", "deliver_urgent", "deliver")
_lease = settings.LEASE.total_seconds()

app = Publisher("bellhop")
app.conf.update(
    broker_url=broker_url(settings.REDIS_URL),
    # Results would double the traffic; what became of the work stands in PostgreSQL.
    result_backend=None,
    task_ignore_result=True,
    # A child killed in mid-task hands the hint back instead of losing it.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # A task that raised is a bug; running it again at queue speed would not mend it. Leases will.
    task_acks_on_failure=True,
    task_acks_on_timeout=True,
    # soft < hard < lease < visibility: a task is over before its rows are claimable again.
    task_soft_time_limit=_lease * 0.45,
    task_time_limit=_lease * 0.66,
    broker_transport_options={
        "visibility_timeout": _lease * 2,
        "unacked_restore_interval": 5,
        # The defaults wait for ever on a half-open connection.
        "socket_connect_timeout": 0.2,
        "socket_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # -Q urgent,normal,... is consumed in that order.
        "queue_order_strategy": "priority",
        "global_keyprefix": "bellhop:",
    },
    # Publishing a hint is best effort: one try, and the dispatcher covers the rest.
    task_publish_retry=False,
    broker_pool_acquire_timeout=0.2,
    broker_connection_retry_on_startup=True,
    # Keep trying: the default gives up after 100 tries and the worker exits.
    broker_connection_max_retries=None,
    # True would kill a child in the middle of a provider call and manufacture unknown outcomes.
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # A child takes one hint at a time: one that waits behind a slow one is work that another could do.
    worker_prefetch_multiplier=1,
    # Long enough for a task that is in its time box, shorter than what supervisors wait.
    worker_soft_shutdown_timeout=10,
    # Against slow leaks: a child is replaced now and then, and when it has grown to several times its size.
    worker_max_tasks_per_child=20_000,
    worker_max_memory_per_child=400_000,  # KiB
    # For Flower, for eyes only. Not "sent" too: that would be one more message in every producer's write.
    worker_send_task_events=True,
    task_send_sent_event=False,
    # A mistyped queue would be a list that nobody reads.
    task_create_missing_queues=False,
    task_queues={lane: {"exchange": "", "routing_key": lane} for lane in QUEUES},
    task_default_queue="normal",
    # Without it Celery's Django glue closes every database connection around every task.
    db_reuse_max=500,
    worker_hijack_root_logger=False,
    timezone="UTC",
    # By name: the floor does not import what stands above it.
    imports=("workers.tasks", "workers.schedules"),
)


@setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Connected so that Celery leaves logging to Django's settings."""


@task_prerun.connect
def _drop_dead_connections(**_: Any) -> None:
    from django.db import close_old_connections

    close_old_connections()


@worker_process_init.connect
def _start_clean(**_: Any) -> None:
    from django.db import connections

    connections.close_all()  # a connection made before the fork must not be shared
