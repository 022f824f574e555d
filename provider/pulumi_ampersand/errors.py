"""What can go wrong between a program and the Ampersand API.

::

    AmpersandError
    ├── SettingsError             a setting is missing or wrong; nothing was sent
    ├── TransportError            no whole answer arrived: network, TLS, time-out, redirect
    │   └── DeadlineExceededError the time for the whole call, retries included, is over
    ├── AnswerError               an answer arrived that the API doesn't promise: no JSON, too large, no ID
    └── ApiError                  the API refused (status 4xx) or failed (5xx)
        ├── AuthenticationError   401: the key is missing, wrong or revoked
        ├── PermissionDeniedError 403: the key may not do this
        ├── NotFoundError         404: no such project or connection
        ├── RateLimitedError      429: too many requests
        └── ServerError           5xx

The text of every one is a single line that is safe on a terminal: it says what failed, where, and how to mend it, and
never holds a header, a body or an API key.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from pulumi_ampersand.terminal import one_line


class AmpersandError(Exception):
    """Anything that pulumi-ampersand reports as failed."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class SettingsError(AmpersandError):
    """A setting is missing or wrong. Nothing was sent."""


class TransportError(AmpersandError):
    """No whole answer arrived."""


class DeadlineExceededError(TransportError):
    """The time for the whole call, retries included, is over."""


class AnswerError(AmpersandError):
    """The answer isn't what the API promises, or is larger than the limit."""


class ApiError(AmpersandError):
    """The API answered with an error.

    Attributes:
        status: The HTTP status.
        detail: The API's explanation of this occurrence, or its title, or the status's name.
        remedy: What to do about it: the API's own words, else ours; may be empty.
        request_id: The API's name for the request, for its support; may be empty.
        retryable: Whether the API says that the request may be repeated; None if it doesn't say.
        retry_after: The time before which the API wants no repetition; None if it doesn't say.
    """

    def __init__(  # noqa: PLR0913 - one argument for each field of the document
        self,
        doing: str,
        *,
        status: int,
        detail: str,
        remedy: str = "",
        request_id: str = "",
        retryable: bool | None = None,
        retry_after: datetime | None = None,
    ) -> None:
        self.status = status
        self.detail: str = one_line(detail, 500)
        self.remedy: str = one_line(remedy, 300)
        self.request_id: str = one_line(request_id, 100)
        self.retryable = retryable
        self.retry_after = retry_after
        text = f"{doing}: {status} {self.detail.rstrip('.')}"
        if self.remedy:
            text += f". {self.remedy.rstrip('.')}"
        if retry_after is not None:
            text += f"; not before {retry_after.isoformat(timespec='seconds').replace('+00:00', 'Z')}"
        if self.request_id:
            text += f" (request {self.request_id})"
        super().__init__(text)


class AuthenticationError(ApiError):
    """401: the API key is missing, wrong or revoked."""


class PermissionDeniedError(ApiError):
    """403: the API key may not do this."""


class NotFoundError(ApiError):
    """404: no such project or connection."""


class RateLimitedError(ApiError):
    """429: too many requests."""


class ServerError(ApiError):
    """5xx: the API failed."""


def api_error_type(status: int) -> type[ApiError]:
    """The class for an HTTP status."""
    if status >= 500:
        return ServerError
    return {401: AuthenticationError, 403: PermissionDeniedError, 404: NotFoundError, 429: RateLimitedError}.get(
        status, ApiError
    )


@contextmanager
def plain_errors() -> Iterator[None]:
    """Have an expected error end a Pulumi program with its sentence instead of a traceback.

    It stays the error that it is, for those who catch it.
    """
    try:
        yield
    except AmpersandError as error:
        if "pulumi" in sys.modules:
            error.__class__ = _ending(type(error))
        raise


def _ending(kind: type[AmpersandError]) -> type[AmpersandError]:
    """The error's class as one that the SDK reports by its text alone."""
    from pulumi import RunError  # noqa: PLC0415 - loaded already

    if issubclass(kind, RunError):
        return kind
    return type(kind.__name__, (kind, RunError), {"__module__": kind.__module__, "__doc__": kind.__doc__})
