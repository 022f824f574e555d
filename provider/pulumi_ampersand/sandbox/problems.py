"""Problem documents: the bodies of the API's errors, ``application/problem+json`` (RFC 9457)."""

from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any

from pulumi_ampersand.sandbox.times import write

PROBLEM_TYPE = "application/problem+json"
"""The media type of a problem document."""


def problem(status: int, detail: str, *, request: int, **more: Any) -> dict[str, Any]:
    """A problem document.

    Args:
        status: the HTTP status, 400 to 599.
        detail: what is wrong with this request.
        request: the request's number, which makes up the `requestId`.
        more: further fields under the API's names: `remedy`, `retryable` (False unless given), `retryAfter`, `issues`.
    """
    return {
        "type": "about:blank",
        "title": title(status),
        "status": status,
        "detail": detail,
        "subsystem": "api",
        "time": write(datetime.now(timezone.utc), fraction=6),
        "requestId": f"sandbox#{request}",
        "retryable": False,
        **more,
    }


def issue(place: str, name: str, detail: str, value: str) -> dict[str, str]:
    """What is wrong with one input: `place` is ``path``, ``query``, ``header`` or ``body``."""
    return {"type": "about:blank", "in": place, "name": name, "detail": detail, "value": value}


def title(status: int) -> str:
    """The status's phrase."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
