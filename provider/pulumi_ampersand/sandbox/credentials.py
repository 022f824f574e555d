"""The credentials inside a connection: which they are, leaving them out, and renewing them.

Which call answers with which credentials is the API's contract: a list has them all or none; a single connection has
none, or with ``includeCreds=true`` the access token and the scopes, or with ``includeRefreshToken=true`` everything.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from pulumi_ampersand.sandbox.times import write

BLOCK = "oauth2AuthorizationCode"
"""The field that holds a connection's OAuth tokens and scopes."""

_TOKENS = ("accessToken", "refreshToken")
# The API reference's sample answer writes this in place of a token, but in place of a scope, too.
_PLACEHOLDER = "<string>"
_DEFAULT_LIFETIME = timedelta(hours=2)
_issue = count(1)


def secrets_of(entry: Any) -> frozenset[str]:
    """The credentials in a connection: tokens and API key, without the sample answer's placeholder."""
    if not isinstance(entry, Mapping):
        return frozenset()
    block = _object(entry, BLOCK)
    found = [entry.get("apiKey"), *(_object(block, name).get("token") for name in _TOKENS)]
    return frozenset(item for item in found if isinstance(item, str) and item and item != _PLACEHOLDER)


def without(entry: Any) -> Any:
    """The connection as a call answers it that leaves OAuth credentials out."""
    if not isinstance(entry, Mapping) or BLOCK not in entry:
        return entry
    return {key: value for key, value in entry.items() if key != BLOCK}


def shown(connection: Mapping[str, Any], *, access: bool, refresh: bool) -> Mapping[str, Any]:
    """One connection with its access token and scopes, or with everything, or without OAuth credentials."""
    if refresh or BLOCK not in connection:
        return connection
    block = connection[BLOCK]
    if not access or not isinstance(block, Mapping):
        return dict(without(connection))
    return {**connection, BLOCK: {key: value for key, value in block.items() if key != "refreshToken"}}


def has_expired(connection: Mapping[str, Any], now: datetime) -> bool:
    """Whether the access token's end is past; without one it never is."""
    end = _time(_object(_object(connection, BLOCK), "accessToken").get("expiresAt"))
    return end is not None and end <= now


def refreshed(connection: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
    """The connection after a refresh: a new access token and status ``created``.

    Where the refresh token is missing or past its end, the status becomes ``bad_credentials`` instead. A connection
    without OAuth credentials stays as it is.
    """
    block = _object(connection, BLOCK)
    if not block:
        return connection
    refresh_token = _object(block, "refreshToken")
    end = _time(refresh_token.get("expiresAt"))
    stamp = {"updateTime": write(now, fraction=6)}
    if not refresh_token or (end is not None and end <= now):
        return {**connection, **stamp, "status": "bad_credentials"}
    new_block = {**block, "accessToken": _renewed(block, "accessToken", now)}
    return {**connection, **stamp, "status": "created", BLOCK: new_block}


def reauthorised(connection: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
    """The connection after new consent: new tokens, status ``created``, all scopes that the provider app asks for."""
    block = _object(connection, BLOCK)
    asked = _flat(_object(connection, "providerApp").get("scopes"))
    granted = _flat(block.get("scopes"))
    new_block = {
        "accessToken": _renewed(block, "accessToken", now),
        "refreshToken": _renewed(block, "refreshToken", now),
        "scopes": list(dict.fromkeys([*granted, *asked])),
    }
    return {**connection, "updateTime": write(now, fraction=6), "status": "created", BLOCK: new_block}


def _renewed(block: Mapping[str, Any], name: str, now: datetime) -> dict[str, Any]:
    """A new token that lives as long as the one that it replaces; a refresh token without an end stays without."""
    old = _object(block, name)
    begin, end = _time(old.get("issuedAt")), _time(old.get("expiresAt"))
    token: dict[str, Any] = {"token": f"CANARY-{name}-renewed-{next(_issue)}", "issuedAt": write(now, fraction=6)}
    if end is not None or name == "accessToken":
        lifetime = end - begin if begin is not None and end is not None and end > begin else _DEFAULT_LIFETIME
        token["expiresAt"] = write(now + lifetime, fraction=6)
    return token


def _object(value: Any, name: str) -> Mapping[str, Any]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _flat(scopes: Any) -> list[str]:
    if isinstance(scopes, str):
        return scopes.split()
    return [name for item in scopes for name in _flat(item)] if isinstance(scopes, list | tuple) else []


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    # Before Python 3.11 `fromisoformat` takes neither Z nor other than 3 or 6 fraction digits.
    whole, dot, rest = value.replace("Z", "+00:00").replace("z", "+00:00").partition(".")
    digits = rest[: next((i for i, char in enumerate(rest) if not char.isdigit()), len(rest))]
    try:
        moment = datetime.fromisoformat(f"{whole}.{digits[:6]:0<6}{rest[len(digits) :]}" if dot else whole)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
