"""What rules about scopes and expiry have in common: the authorization-code grant and how long it lasts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, TypeVar

from msgspec import UNSET

from pulumi_ampersand.inventory import Entry
from pulumi_ampersand.model import AUTHORIZATION_CODE_SCHEMES, DETAILS_GAP, Observation, Token, parse_time

_T = TypeVar("_T")

_BLOCK = "oauth2AuthorizationCode"
_NOT_SENT = "the API didn't send them"


class Expiry(NamedTuple):
    """When a credential expires.

    Attributes:
        what: Which credential: "refresh token" or "access token".
        at: When, in UTC.
    """

    what: str
    at: datetime


def has_grant(entry: Entry) -> bool:
    """Whether rules about scopes and expiry apply: by the connection's scheme, or because it carries such a grant."""
    return entry.connection.auth_scheme in AUTHORIZATION_CODE_SCHEMES or entry.observation.oauth


def for_provider(choices: Mapping[str, _T], provider: str) -> _T | None:
    """The choice for a provider; its own entry replaces the one for ``*``."""
    return choices.get(provider, choices.get("*"))


def why_no_scopes(observation: Observation) -> str:
    """Why the granted scopes of a connection aren't known."""
    return f"its granted scopes are unknown: {_gap('scopes', observation) or _NOT_SENT}"


def _gap(field: str, observation: Observation) -> str | None:
    """Why a field of the grant isn't known, as far as reading it told."""
    for name in (f"{_BLOCK}.{field}", _BLOCK):
        if name in observation.gaps:
            return f"{observation.gaps[name]} as {name}"
    return observation.gaps.get(DETAILS_GAP)


def kept_gap(entry: Entry) -> str | None:
    """Why rules judge by what was known of the grant before; where nothing was, they say so themselves."""
    seen = entry.observation
    known = entry.connection.scopes is not None or seen.refresh_token is not UNSET
    return seen.gaps.get(DETAILS_GAP) if known else None


def effective_expiry(observation: Observation) -> Expiry | str | None:
    """When the credential stops working for good.

    With a refresh token that is when this one expires; without one, when the access token does.

    Returns:
        The expiry; None if it works until it is revoked; or a sentence that says why that isn't known.
    """
    if observation.status is None:
        return "how it was found wasn't passed on"
    refresh = observation.refresh_token
    if refresh is UNSET:
        gap = _gap("refreshToken", observation)
        if gap or observation.access_token is None:
            return f"its token times are unknown: {gap or _NOT_SENT}"
        return (
            "whether it has a refresh token is unknown: the API didn't send one, which a list may leave out; "
            'set details to "auto"'
        )
    if isinstance(refresh, Token):
        return _expiry(refresh, "refresh token", f"{_BLOCK}.refreshToken.expiresAt", observation)
    if observation.access_token is None:
        return "it has no refresh token, and the access token's times are unknown"
    expiry = _expiry(observation.access_token, "access token", f"{_BLOCK}.accessToken.expiresAt", observation)
    return expiry or "it has no refresh token, and when the access token expires is unknown"


def _expiry(token: Token, what: str, field: str, observation: Observation) -> Expiry | str | None:
    if field in observation.gaps:
        return f"when its {what} expires is unknown: {observation.gaps[field]} as {field}"
    if token.expires_at is None:
        return None
    at = parse_time(token.expires_at)
    return Expiry(what, at) if at else f"when its {what} expires is unknown: expiresAt is no time"


def describe_time(moment: datetime) -> str:
    """A time as RFC 3339 in UTC, to the second."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def describe_span(span: timedelta) -> str:
    """A positive span in the unit that people would use, rounded down: "3 days", "1 hour"."""
    seconds = int(span.total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"
