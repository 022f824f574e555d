"""The errors: their hierarchy, and that each is one harmless line."""

import inspect
import traceback
from datetime import datetime, timedelta, timezone
from http import HTTPStatus

import pytest

from pulumi_ampersand import errors
from pulumi_ampersand.errors import (
    AmpersandError,
    AnswerError,
    ApiError,
    AuthenticationError,
    DeadlineExceededError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    SettingsError,
    TransportError,
    api_error_type,
)

HOSTILE = "a\nb\x1b[31m\u202e<{%fg 1%}>\ud800"
HARMLESS = "a b[31m< {%fg 1%}>\ufffd"
AT = datetime(2026, 3, 1, 12, 30, 15, 999999, tzinfo=timezone.utc)


def test_the_hierarchy_is_as_documented() -> None:
    """The tree in the module's docstring names each class below its base, and no other."""
    bases = {
        AmpersandError: Exception,
        SettingsError: AmpersandError,
        TransportError: AmpersandError,
        DeadlineExceededError: TransportError,
        AnswerError: AmpersandError,
        ApiError: AmpersandError,
        AuthenticationError: ApiError,
        PermissionDeniedError: ApiError,
        NotFoundError: ApiError,
        RateLimitedError: ApiError,
        ServerError: ApiError,
    }
    defined = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, Exception)]
    assert {item: item.__base__ for item in defined} == bases
    tree = [line.lstrip("│├└─ ").split()[0] for line in (errors.__doc__ or "").splitlines() if "Error" in line]
    assert sorted(tree) == sorted(item.__name__ for item in defined)


@pytest.mark.parametrize("kind", [AmpersandError, SettingsError, TransportError, DeadlineExceededError, AnswerError])
def test_every_text_is_one_harmless_line(kind: type[AmpersandError]) -> None:
    """Whoever raises an error need not clean its text."""
    assert str(kind(HOSTILE)) == HARMLESS


def api_error(**fields: object) -> ApiError:
    """An error of the API, of status 418 unless told otherwise."""
    return ApiError("reading", **{"status": 418, "detail": "No coffee.", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "reading: 418 No coffee"),
        ({"remedy": "Ask for tea."}, "reading: 418 No coffee. Ask for tea"),
        ({"request_id": "r-1"}, "reading: 418 No coffee (request r-1)"),
        ({"retry_after": AT}, "reading: 418 No coffee; not before 2026-03-01T12:30:15Z"),
        (
            {"retry_after": AT.astimezone(timezone(timedelta(hours=1)))},
            "reading: 418 No coffee; not before 2026-03-01T13:30:15+01:00",
        ),
        (
            {"remedy": "Ask for tea", "request_id": "r-1", "retry_after": AT, "retryable": True},
            "reading: 418 No coffee. Ask for tea; not before 2026-03-01T12:30:15Z (request r-1)",
        ),
    ],
    ids=["least", "remedy", "request", "time", "offset", "all"],
)
def test_an_api_error_says_status_detail_remedy_and_request(fields: dict[str, object], text: str) -> None:
    """The text has what helps to mend the error, as one sentence after the other."""
    assert str(api_error(**fields)) == text


def test_an_api_error_keeps_its_parts() -> None:
    """A program need not take the text apart."""
    error = api_error(remedy="Ask for tea.", request_id="r-1", retryable=False, retry_after=AT)
    parts = (error.status, error.detail, error.remedy, error.request_id, error.retryable, error.retry_after)
    assert parts == (418, "No coffee.", "Ask for tea.", "r-1", False, AT)


def test_hostile_parts_of_an_api_error_are_harmless() -> None:
    """Each part is safe on a terminal by itself, and of bounded length."""
    error = api_error(detail=HOSTILE, remedy=HOSTILE, request_id=HOSTILE)
    assert (error.detail, error.remedy, error.request_id) == (HARMLESS,) * 3
    assert str(error).count(HARMLESS) == 3
    long = api_error(detail="d" * 10_000, remedy="r" * 10_000, request_id="i" * 10_000)
    assert len(str(long)) < 1000


@pytest.mark.parametrize("status", sorted(map(int, HTTPStatus)))
def test_each_status_has_its_class(status: int) -> None:
    """A program tells the cases apart by class."""
    known = {401: AuthenticationError, 403: PermissionDeniedError, 404: NotFoundError, 429: RateLimitedError}
    assert api_error_type(status) is (ServerError if status >= 500 else known.get(status, ApiError))


def test_a_traceback_ends_in_one_line() -> None:
    """Even a traceback shows the message as one line."""
    assert traceback.format_exception_only(AmpersandError(HOSTILE)) == [
        f"pulumi_ampersand.errors.AmpersandError: {HARMLESS}\n"
    ]
