"""What rules about scopes and expiry have in common: the authorization-code grant, its scopes and how long it lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, NamedTuple, TypeVar

from msgspec import UNSET
from pydantic import Field

from pulumi_ampersand.inventory import Entry, Inventory
from pulumi_ampersand.model import AUTHORIZATION_CODE_SCHEMES, DETAILS_GAP, Observation, Token, parse_time
from pulumi_ampersand_policies.rule import Breach, Unverified

_T = TypeVar("_T")

Text = Annotated[str, Field(min_length=1)]


Scope = Annotated[str, Field(min_length=1, pattern=r"^\S*$", description="One scope; none holds a space.")]
ScopeGlobs = dict[str, list[Scope]]
"""For each provider, or ``*`` for those without an entry of their own, globs of scopes."""

_BLOCK = "oauth2AuthorizationCode"
_REFRESH_TOKEN_EXPIRY = f"{_BLOCK}.refreshToken.expiresAt"
_ACCESS_TOKEN_EXPIRY = f"{_BLOCK}.accessToken.expiresAt"
_NOT_SENT = "the API didn't send them"
_NO_TIME = "the API didn't send a time"
_NOTHING = timedelta(0)
NOT_OBSERVED = "how it was found wasn't passed on"


class Expiry(NamedTuple):
    """When a credential expires.

    Attributes:
        what: Which credential: "refresh token" or "access token".
        at: When, in UTC.
    """

    what: str
    at: datetime


def with_grant(entry: Entry, _options: Any = None) -> bool:
    """Whether rules about scopes and expiry apply: by the connection's scheme, or because it carries such a grant.

    Args:
        entry: The connection.
        _options: Those of a rule, which this can be the ``applies`` of.
    """
    return entry.connection.auth_scheme in AUTHORIZATION_CODE_SCHEMES or entry.observation.oauth


def for_provider(choices: Mapping[str, _T], provider: str) -> _T | None:
    """The choice for a provider; its own entry replaces the one for ``*``."""
    return choices.get(provider, choices.get("*"))


def why_no_scopes(observation: Observation) -> str:
    """Why the granted scopes of a connection aren't known."""
    return f"its granted scopes are unknown: {_gap('scopes', observation) or _NOT_SENT}"


def why_no_app_scopes(entry: Entry) -> str:
    """Why the scopes that the provider app asks for aren't known."""
    return f"the scopes of its provider app are unknown: {why_missing(entry, 'providerApp.scopes')}"


def why_missing(entry: Entry, field: str) -> str:
    """Why a field of a connection isn't known.

    Args:
        entry: The connection.
        field: The field under the API's name, those of an inner object after a dot.
    """
    for name in (field, field.rpartition(".")[0]):
        if name in entry.observation.gaps:
            return f"{entry.observation.gaps[name]} as {name}"
    return f"the API didn't send {field}"


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
        return NOT_OBSERVED
    refresh = observation.refresh_token
    if refresh is UNSET:
        return why_no_refresh_token(observation)
    if refresh is not None:
        return _expiry(refresh, "refresh token", _REFRESH_TOKEN_EXPIRY, observation)
    expiry = access_token_expiry(observation)
    return f"it has no refresh token, and {expiry}" if isinstance(expiry, str) else expiry


def access_token_expiry(observation: Observation) -> Expiry | str:
    """When the access token expires, or a clause that says why that isn't known."""
    if observation.access_token is None:
        return f"the access token's times are unknown: {_gap('accessToken', observation) or _NOT_SENT}"
    expiry = _expiry(observation.access_token, "access token", _ACCESS_TOKEN_EXPIRY, observation)
    return expiry or f"when the access token expires is unknown: {_NO_TIME}"


def expiring(
    inventory: Inventory,
    expiry_of: Callable[[Observation], Expiry | str | None],
    limit: timedelta,
    minimum: str,
    now: datetime,
) -> Iterator[Breach | Unverified]:
    """Judge how long credentials still work.

    Args:
        inventory: The connections.
        expiry_of: When a connection's credential expires; None if never; or why that isn't known.
        limit: How long it must still work. What expires in exactly so long is fine.
        minimum: The limit in words.
        now: The time to judge by.
    """
    for entry in inventory:
        expiry = expiry_of(entry.observation)
        if expiry is None:
            continue
        if isinstance(expiry, str):
            yield Unverified(expiry, entry)
            continue
        left = expiry.at - now
        if left <= _NOTHING:
            yield Breach(f"{expiry.what} expired {describe_span(-left)} ago, {describe_time(expiry.at)}", entry)
        elif left < limit:
            when = f"{describe_span(left)}, {describe_time(expiry.at)}"
            yield Breach(f"{expiry.what} expires in {when}; minimum {minimum}", entry)


def wrongly_granted(
    inventory: Inventory, choices: Mapping[str, _T], cause_of: Callable[[_T, Sequence[str]], str]
) -> Iterator[Breach | Unverified]:
    """Judge granted scopes. Connections to one provider that were granted the same are judged once.

    Args:
        inventory: The connections, each of whose providers has a choice.
        choices: For each provider, or ``*``, what is said of its scopes.
        cause_of: What is wrong with scopes by a choice; nothing if they are as they should be.
    """
    causes: dict[tuple[str, ...], str] = {}
    # By the list itself, which many share: kept, so that it stays the same.
    known: dict[tuple[str, int], tuple[Sequence[str], str]] = {}
    for entry in inventory:
        provider, scopes = entry.connection.provider, entry.connection.scopes
        if scopes is None:
            yield Unverified(why_no_scopes(entry.observation), entry)
            continue
        shared = provider, id(scopes)
        if shared not in known:
            alike = (provider, *scopes)
            if alike not in causes:
                choice = for_provider(choices, provider)
                causes[alike] = "" if choice is None else cause_of(choice, scopes)
            known[shared] = scopes, causes[alike]
        if cause := known[shared][1]:
            yield Breach(cause, entry)


def why_no_refresh_token(observation: Observation) -> str:
    """Why it isn't known whether a connection has a refresh token."""
    if observation.status is None:
        return NOT_OBSERVED
    gap = _gap("refreshToken", observation)
    if gap or observation.access_token is None:
        return f"its token times are unknown: {gap or _NOT_SENT}"
    return (
        "whether it has a refresh token is unknown: the API didn't send one, which a list may leave out; "
        'set details to "auto"'
    )


def why_no_issue_time(observation: Observation) -> str:
    """Why it isn't known when the refresh token was issued."""
    if not isinstance(observation.refresh_token, Token):
        return why_no_refresh_token(observation)
    return f"when the refresh token was issued is unknown: {_gap('refreshToken.issuedAt', observation) or _NO_TIME}"


def _expiry(token: Token, what: str, field: str, observation: Observation) -> Expiry | str | None:
    if observation.gaps and field in observation.gaps:
        return f"when the {what} expires is unknown: {observation.gaps[field]} as {field}"
    if token.expires_at is None:
        return None
    at = parse_time(token.expires_at)
    return Expiry(what, at) if at else f"when the {what} expires is unknown: expiresAt is no time"


def known_time(text: str | None) -> datetime | None:
    """A time that the API may not have sent."""
    return parse_time(text) if text is not None else None


def describe_time(moment: datetime) -> str:
    """A time as RFC 3339 in UTC, to the second."""
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def describe_span(span: timedelta) -> str:
    """A positive span in the unit that people would use, rounded down: "3 days", "1 hour"."""
    seconds = int(span.total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return plural(seconds // size, unit)
    return "less than a minute"


def plural(count: float, unit: str) -> str:
    """A number of things: "1 day", "2.5 days"."""
    return f"{count:g} {unit}{'' if count == 1 else 's'}"
