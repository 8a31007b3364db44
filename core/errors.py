"""
Errors the caller can fix. Each carries a code, a sentence that says what to do, and an HTTP status.

The concrete error stands beside the function that raises it; this is their root. A provider's answer
is a value (notifications/values.py), a choice not to send is a Reason on a row, anything else is a bug.
"""

from typing import Any


class AppError(Exception):
    """Something the caller can fix. The class docstring of a subclass is its default message."""

    code = "error"
    status = 400

    def __init__(self, message: str = "", **details: Any) -> None:
        self.message = message or " ".join((self.__doc__ or "").split())
        self.details = details
        super().__init__(self.message)

    def as_json(self) -> dict[str, Any]:
        """The one error shape of the API."""
        return {"code": self.code, "message": self.message, "details": self.details}


class Invalid(AppError):
    """Some fields are not valid; details names each."""

    code = "invalid"


class NotFound(AppError):
    """There is nothing here, or it is not yours."""

    code = "not_found"
    status = 404


class Conflict(AppError):
    """The request contradicts what is already there."""

    code = "conflict"
    status = 409


class TooLarge(AppError):
    """The body is too large; send less at a time."""

    code = "too_large"
    status = 413


class RateLimited(AppError):
    """Too many requests; wait as long as Retry-After says."""

    code = "rate_limited"
    status = 429

    def __init__(self, *, retry_after: int) -> None:
        super().__init__(retry_after=retry_after)
        self.retry_after = retry_after
