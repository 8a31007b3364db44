"""
Structured logs, one line an event, with one `trace_id` from the request to the frame and the mail.

The id comes from the producer's X-Request-ID or is made here; it is stored on the event, so every
later process can bind it again.
"""

import contextlib
import logging
import logging.config
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse

from core import faults, traces

_ACCEPTABLE = re.compile(r"^[A-Za-z0-9._:-]{8,64}$")


def configure(config: dict[str, Any]) -> None:
    """Set up structlog and the standard library alike: JSON lines, or colours for a person at a terminal."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        faults.tell,
        structlog.processors.format_exc_info,
    ]
    console = config["format"] == "console"
    renderer: Any = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the rich one prints locals, secrets among them
        )
        if console
        else structlog.processors.JSONRenderer()
    )
    if console:
        shared.remove(structlog.processors.format_exc_info)  # the console renderer draws tracebacks itself
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(config["level"])
    # hpack and httpcore would write down the headers, and so tokens.
    for noisy in ("celery", "kombu", "amqp", "uvicorn", "django.server", "asyncio", "httpx", "httpcore", "hpack"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def logger(name: str) -> Any:
    """The structlog logger of a module: `log.info("fixed.name", field=value)`."""
    return structlog.stdlib.get_logger(name)


def new_trace_id() -> str:
    """An id for a chain of work that has none yet."""
    return uuid.uuid4().hex


def trace_id() -> str:
    """The id bound in this context, or a new one."""
    bound = structlog.contextvars.get_contextvars().get("trace_id")
    return bound if isinstance(bound, str) else new_trace_id()


@contextlib.contextmanager
def tracing(trace_id: str) -> Iterator[None]:
    """Bind `trace_id` to every log line of the block."""
    with structlog.contextvars.bound_contextvars(trace_id=trace_id):
        yield


class TraceMiddleware:
    """Take the caller's X-Request-ID if well-formed, else the id in its traceparent, else make one; answer with it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        if not _ACCEPTABLE.match(given):
            given = traces.given(request.headers.get("traceparent", ""))
        current, began = given or new_trace_id(), datetime.now(UTC)
        with tracing(current):
            response = self.get_response(request)
        if request.resolver_match:
            name = f"{request.method} /{request.resolver_match.route}"
            traces.record(name, trace_id=current, began=began, told={"status": str(response.status_code)})
        response["X-Request-ID"] = current
        return response
