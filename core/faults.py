"""
Bugs, told to Sentry (or what speaks its protocol) when SENTRY_DSN is set; without it nothing here is imported.

Told is what was raised and where, the address of the request and its trace_id, which finds the log lines. Not told:
bodies, cookies, credentials, local variables, command lines: they hold what people wrote, and secrets.
"""

from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

_started = False


def start() -> None:
    """Tell bugs from here on. Each process calls it once; without SENTRY_DSN it does nothing."""
    global _started
    if not settings.SENTRY_DSN:
        return
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.celery import CeleryIntegration
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.django import DjangoIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.integrations.threading import ThreadingIntegration

    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        release=settings.RELEASE or None,
        # Named one by one: the others read command lines, log lines and every call to a provider.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            AtexitIntegration(callback=lambda *_: None),
            CeleryIntegration(propagate_traces=False),
            DedupeIntegration(),
            DjangoIntegration(signals_spans=False),
            ExcepthookIntegration(),
            ThreadingIntegration(),
        ],
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        before_send=_finish,
        trace_propagation_targets=[],
        auto_session_tracking=False,
        send_client_reports=False,
    )
    _started = True


def tell(logger: Any, method: str, fields: Any) -> Any:
    """A structlog processor: a log line with a traceback is told as the exception it is about. Changes nothing."""
    if _started and method in ("error", "exception", "critical"):
        _tell(fields)
    return fields


def _tell(fields: dict[str, Any]) -> None:
    import sentry_sdk

    raised = fields.get("exc_info")
    if raised:
        with sentry_sdk.new_scope() as scope:
            scope.set_tag("log", str(fields.get("event"))[:200])
            if "trace_id" in fields:
                scope.set_tag("trace_id", fields["trace_id"])
            sentry_sdk.capture_exception(None if raised is True else raised)


def _finish(event: "Event", hint: "Hint") -> "Event | None":
    """With the trace_id bound where it happened. Without the query: the SDK hides credentials in headers only."""
    bound = structlog.contextvars.get_contextvars().get("trace_id")
    tags = event.setdefault("tags", {})
    if isinstance(tags, dict) and bound:
        tags.setdefault("trace_id", bound)
    request = event.get("request")
    if isinstance(request, dict):
        request.pop("query_string", None)
    return event
