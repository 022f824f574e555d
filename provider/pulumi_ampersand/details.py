"""What a list of connections leaves out, and the connections' own calls tell: granted scopes and token times.

Which connections to ask for, and how their answers complete the list, without asking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET

from pulumi_ampersand.errors import AmpersandError, SettingsError
from pulumi_ampersand.model import (
    AUTHORIZATION_CODE_SCHEMES,
    DETAILS_GAP,
    Connection,
    Found,
    Observation,
    Token,
    parse_time,
)
from pulumi_ampersand.settings import Details
from pulumi_ampersand.terminal import one_line

Refresh = Literal["ifExpired"]
"""``ifExpired``: have the API refresh an access token that has expired, which changes the connection."""

REFRESH: Final = "ifExpired"

MOST: Final = 1000
"""How many connections ``auto`` asks for in one read."""

_TOO_MANY: Final = (
    f'its details were not asked for: details="auto" asks for {MOST} connections in one read; '
    'filter by provider, group_ref or consumer_ref, or set details="always"'
)
UNREADABLE: Final = "its details could not be read: "
"""How the reason begins where a connection's own call failed."""

_GRANT: Final = "oauth2AuthorizationCode"


class Wanted(NamedTuple):
    """Which of a list's connections to ask for.

    Attributes:
        ids: Their IDs, in the list's order.
        gaps: Those that lack something and are too many to ask for, and why.
    """

    ids: Sequence[str]
    gaps: Mapping[str, str]


def checked_refresh(value: object, details: Details | None) -> None:
    """Refuse what isn't a `Refresh`.

    Raises:
        SettingsError: It is something else, or ``details`` forbids the call that refreshes.
    """
    if value is None:
        return
    if value != REFRESH:
        raise SettingsError(f'refresh must be "{REFRESH}", or left out')
    if details == "never":
        raise SettingsError(f'refresh="{REFRESH}" refreshes by the calls that details="never" forbids: leave out one')


def wanted(found: Sequence[Found], details: Details, refresh: Refresh | None, now: datetime) -> Wanted:
    """Which connections to ask for.

    ``auto`` asks for no more than `MOST`, the first by ID: the same ones in the next read.
    """
    if details == "never":
        return Wanted((), {})
    if details == "always":
        return Wanted([connection.id for connection, _ in found], {})
    ids = [pair[0].id for pair in found if _lacks(pair) or (refresh and _has_expired(pair[1].access_token, now))]
    if len(ids) <= MOST:
        return Wanted(ids, {})
    chosen = set(sorted(ids)[:MOST])
    return Wanted([name for name in ids if name in chosen], {name: _TOO_MANY for name in ids if name not in chosen})


def completed(found: Iterable[Found], told: Mapping[str, Found | AmpersandError], wanted: Wanted) -> list[Found]:
    """The list's connections with what their own calls told; what these could not tell is a gap of that connection."""
    whole = []
    for pair in found:
        name = pair[0].id
        answer = told.get(name)
        if isinstance(answer, tuple):
            whole.append(_with(pair, answer))
        elif answer is not None:
            whole.append(with_gap(pair, f"{UNREADABLE}{answer}"))
        elif name in wanted.gaps:
            whole.append(with_gap(pair, wanted.gaps[name]))
        else:
            whole.append(pair)
    return whole


def with_gap(pair: Found, reason: str) -> Found:
    """A connection whose details aren't known, and why."""
    connection, seen = pair
    return connection, msgspec.structs.replace(seen, gaps={**seen.gaps, DETAILS_GAP: one_line(reason, 400)})


def keeping(pair: Found, before: Connection | None, seen_before: Observation | None) -> Found:
    """A connection whose details aren't known this time, with what was known of them before.

    So a call that failed is no change of the connection.
    """
    connection, seen = pair
    reason = seen.gaps.get(DETAILS_GAP)
    if reason is None or (before is None and seen_before is None):
        return pair
    if connection.scopes is None and before is not None and before.scopes is not None:
        connection = Connection(connection, scopes=before.scopes)
    if seen_before is not None:
        seen = msgspec.structs.replace(
            seen,
            oauth=seen.oauth or seen_before.oauth,
            access_token=seen.access_token or seen_before.access_token,
            refresh_token=seen_before.refresh_token if seen.refresh_token is UNSET else seen.refresh_token,
        )
    return with_gap((connection, seen), f"{reason}; what was known before is kept")


def _lacks(pair: Found) -> bool:
    """Whether the list leaves out scopes, token times, or whether there is a refresh token."""
    connection, seen = pair
    if connection.auth_scheme not in AUTHORIZATION_CODE_SCHEMES and not seen.oauth:
        return False
    return connection.scopes is None or not all(map(_has_times, (seen.access_token, seen.refresh_token)))


def _has_times(token: object) -> bool:
    return isinstance(token, Token) and (token.issued_at is not None or token.expires_at is not None)


def _has_expired(token: Token | None, now: datetime) -> bool:
    expiry = parse_time(token.expires_at) if token and token.expires_at else None
    return expiry is not None and expiry <= now


def _with(listed: Found, single: Found) -> Found:
    """What a connection is, from the list, so that a call which fails next time is no change; the rest from its own."""
    connection, seen = listed
    later, told = single
    merged = Connection(connection, healthy=later.healthy)
    if later.scopes is not None:
        merged["scopes"] = later.scopes
    gaps = {name: why for name, why in seen.gaps.items() if not name.startswith(_GRANT)}
    gaps |= {name: why for name, why in told.gaps.items() if name.startswith(_GRANT)}
    return merged, msgspec.structs.replace(
        told,
        oauth=told.oauth or seen.oauth,
        access_token=told.access_token or seen.access_token,
        gaps=gaps,
    )
