"""The rules about credentials: the table's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pulumi_ampersand_policies.testing import at, connection, grant, inventory
from rule_cases import (
    SCHEMES_WITHOUT_A_GRANT,
    Cases,
    breaks,
    granted,
    keeps,
    one,
    undecided,
    unobserved,
    with_block,
    with_gaps,
    without_a_grant,
    wrong,
)

_REFUSED: Final = "the provider refuses its credentials (status bad_credentials)"
_UNOBSERVED: Final = "how it was found wasn't passed on"
_LEFT_OUT: Final = (
    "whether it has a refresh token is unknown: the API didn't send one, which a list may leave out; "
    'set details to "auto"'
)
_NO_DETAILS: Final = "only the first 1000 are asked for"
_NOT_SENT: Final = "its token times are unknown: the API didn't send them"
_MAXIMUM_AGE: Final = "; maximum 365 days"

NO_BAD_CREDENTIALS = Cases(
    keeps=(
        keeps("working", one(status="working")),
        keeps("created", one(status="created")),
    ),
    breaks=(
        breaks("bad-credentials", one(status="bad_credentials"), _REFUSED),
        breaks(
            "whatever-the-scheme",
            inventory(
                connection("schemeless", status="bad_credentials", authScheme=None, oauth2AuthorizationCode=None),
                *(connection(name, status="bad_credentials", authScheme=name) for name in SCHEMES_WITHOUT_A_GRANT),
            ),
            dict.fromkeys(("schemeless", *SCHEMES_WITHOUT_A_GRANT), _REFUSED),
        ),
    ),
    edges=(
        keeps("unknown-status", one(status="suspended")),
        keeps("upper-case", one(status="BAD_CREDENTIALS")),
        keeps("space", one(status="bad_credentials ")),
        keeps("empty-status", one(status="")),
        keeps("healthy-and-unobserved", unobserved(one())),
        breaks(
            "one-of-two",
            inventory(connection("bad", status="bad_credentials"), connection("good")),
            {"bad": _REFUSED},
        ),
    ),
    not_evaluated=(
        undecided(
            "unhealthy-and-unobserved",
            unobserved(one(status="bad_credentials")),
            "it isn't healthy, and its status wasn't passed on",
        ),
        undecided(
            "unknown-and-unobserved",
            unobserved(one(status="suspended")),
            "it isn't healthy, and its status wasn't passed on",
        ),
    ),
    wrong=(wrong("none-of-its-own", 'unknown key "minDays"; it takes maxReported, tolerate, waivers', minDays=1),),
)

TOKEN_EXPIRY = Cases(
    keeps=(
        keeps("until-revoked", granted(refresh=None, access=at(days=-9))),
        keeps("far", granted(refresh=at(days=400), access=at(days=-9))),
        keeps("access-token-alone", granted(refresh=False, access=at(days=8))),
        keeps("no-grant", without_a_grant()),
        keeps("until-revoked-in-a-list", granted(refresh=None, access=at(days=-9), complete=False)),
    ),
    breaks=(
        breaks(
            "days", granted(refresh=at(days=3)), "refresh token expires in 3 days, 2026-11-27T08:00:00Z; minimum 7 days"
        ),
        breaks("expired", granted(refresh=at(days=-400)), "refresh token expired 400 days ago, 2025-10-20T08:00:00Z"),
        breaks(
            "access-token-alone",
            granted(refresh=False, access=at(hours=1)),
            "access token expires in 1 hour, 2026-11-24T09:00:00Z; minimum 7 days",
        ),
        breaks(
            "listed-refresh-token",
            granted(refresh=at(days=1), complete=False),
            "refresh token expires in 1 day, 2026-11-25T08:00:00Z; minimum 7 days",
        ),
        breaks(
            "grant-under-another-scheme",
            one(authScheme="future", oauth2AuthorizationCode=grant(refresh=at(days=1))),
            "refresh token expires in 1 day, 2026-11-25T08:00:00Z; minimum 7 days",
        ),
    ),
    edges=(
        keeps("exactly-at-the-limit", granted(refresh=at(days=7))),
        keeps("a-second-later", granted(refresh=at(days=7, seconds=1))),
        breaks(
            "a-second-nearer",
            granted(refresh=at(days=7, seconds=-1)),
            "refresh token expires in 6 days, 2026-12-01T07:59:59Z; minimum 7 days",
        ),
        breaks(
            "a-microsecond-nearer",
            granted(refresh="2026-12-01T07:59:59.999999Z"),
            "refresh token expires in 6 days, 2026-12-01T07:59:59Z; minimum 7 days",
        ),
        breaks(
            "hours",
            granted(refresh=at(hours=23)),
            "refresh token expires in 23 hours, 2026-11-25T07:00:00Z; minimum 7 days",
        ),
        breaks(
            "minutes",
            granted(refresh=at(minutes=59)),
            "refresh token expires in 59 minutes, 2026-11-24T08:59:00Z; minimum 7 days",
        ),
        breaks(
            "a-minute",
            granted(refresh=at(minutes=1)),
            "refresh token expires in 1 minute, 2026-11-24T08:01:00Z; minimum 7 days",
        ),
        breaks(
            "a-second",
            granted(refresh=at(seconds=1)),
            "refresh token expires in less than a minute, 2026-11-24T08:00:01Z; minimum 7 days",
        ),
        breaks(
            "this-second", granted(refresh=at()), "refresh token expired less than a minute ago, 2026-11-24T08:00:00Z"
        ),
        breaks(
            "a-minute-ago", granted(refresh=at(minutes=-1)), "refresh token expired 1 minute ago, 2026-11-24T07:59:00Z"
        ),
        breaks("hours-ago", granted(refresh=at(hours=-2)), "refresh token expired 2 hours ago, 2026-11-24T06:00:00Z"),
        breaks(
            "the-access-tokens-expiry-is-no-time",
            granted(refresh=at(days=1), access=5),
            "refresh token expires in 1 day, 2026-11-25T08:00:00Z; minimum 7 days",
        ),
        keeps("own-limit", granted(refresh=at(days=3)), minDays=3),
        breaks(
            "own-limit-broken",
            granted(refresh=at(hours=71)),
            "refresh token expires in 2 days, 2026-11-27T07:00:00Z; minimum 3 days",
            minDays=3,
        ),
        breaks(
            "limit-of-a-day",
            granted(refresh=at(hours=5)),
            "refresh token expires in 5 hours, 2026-11-24T13:00:00Z; minimum 1 day",
            minDays=1,
        ),
        breaks(
            "limit-of-half-a-day",
            granted(refresh=at(hours=5)),
            "refresh token expires in 5 hours, 2026-11-24T13:00:00Z; minimum 0.5 days",
            minDays=0.5,
        ),
        keeps("exactly-half-a-day", granted(refresh=at(hours=12)), minDays=0.5),
        keeps("no-limit", granted(refresh=at(seconds=1)), minDays=0),
        breaks(
            "no-limit-and-expired",
            granted(refresh=at()),
            "refresh token expired less than a minute ago, 2026-11-24T08:00:00Z",
            minDays=0,
        ),
        keeps("offset", granted(refresh="2026-11-27T10:00:00+02:00"), minDays=3),
        breaks(
            "offset-a-second-nearer",
            granted(refresh="2026-11-27T09:59:59+02:00"),
            "refresh token expires in 2 days, 2026-11-27T07:59:59Z; minimum 3 days",
            minDays=3,
        ),
        keeps("no-offset-is-utc", granted(refresh="2026-11-27T08:00:00"), minDays=3),
        keeps("nanoseconds", granted(refresh="2026-11-27T08:00:00.000000001Z"), minDays=3),
        keeps("as-good-as-never", granted(refresh="9999-12-31T23:59:59.9999999Z"), minDays=36500),
        keeps(
            "token-null-and-lasting-access",
            with_block({"refreshToken": None, "accessToken": {"expiresAt": at(days=9)}}),
        ),
        keeps("expiry-null", with_block({"refreshToken": {"expiresAt": None}})),
        keeps("expiry-absent", with_block({"refreshToken": {}})),
    ),
    not_evaluated=(
        undecided("a-list-left-it-out", granted(refresh=False, access=at(days=-1), complete=False), _LEFT_OUT),
        undecided("a-list-without-credentials", with_block(None, complete=False), _NOT_SENT),
        undecided(
            "access-token-without-expiry",
            granted(refresh=False),
            "it has no refresh token, and when the access token expires is unknown: the API didn't send a time",
        ),
        undecided(
            "no-token",
            granted(refresh=False, access=False),
            "it has no refresh token, and the access token's times are unknown: the API didn't send them",
        ),
        undecided(
            "scheme-without-a-grant",
            with_block(None),
            "it has no refresh token, and the access token's times are unknown: the API didn't send them",
        ),
        undecided(
            "no-time", granted(refresh="soon"), "when the refresh token expires is unknown: expiresAt is no time"
        ),
        undecided("empty-time", granted(refresh=""), "when the refresh token expires is unknown: expiresAt is no time"),
        undecided(
            "no-access-time",
            granted(refresh=False, access="soon"),
            "it has no refresh token, and when the access token expires is unknown: expiresAt is no time",
        ),
        undecided(
            "number-for-a-time",
            granted(refresh=5),
            "when the refresh token expires is unknown: the API sent a number as "
            "oauth2AuthorizationCode.refreshToken.expiresAt",
        ),
        undecided(
            "number-for-an-access-time",
            granted(refresh=False, access=5),
            "it has no refresh token, and when the access token expires is unknown: the API sent a number as "
            "oauth2AuthorizationCode.accessToken.expiresAt",
        ),
        undecided(
            "text-for-a-token",
            with_block({"refreshToken": "CANARY", "accessToken": {"expiresAt": at(days=9)}}),
            "its token times are unknown: the API sent text as oauth2AuthorizationCode.refreshToken",
        ),
        undecided(
            "text-for-a-grant",
            with_block("CANARY"),
            "its token times are unknown: the API sent text as oauth2AuthorizationCode",
        ),
        undecided(
            "details-failed",
            with_gaps(granted(refresh=False, complete=False), details=_NO_DETAILS),
            f"its token times are unknown: {_NO_DETAILS}",
        ),
        undecided("unobserved", unobserved(one()), _UNOBSERVED),
    ),
    wrong=(
        wrong("negative", '"minDays": -1 is less than the minimum of 0', minDays=-1),
        wrong("over-a-century", '"minDays": 36501 is greater than the maximum of 36500', minDays=36501),
        wrong("text", '"minDays": "7" is not allowed, only number', minDays="7"),
        wrong("null", '"minDays": null is not allowed, only number', minDays=None),
        wrong("true", '"minDays": true is not allowed, only number', minDays=True),
        wrong(
            "misspelt",
            'unknown key "minDay" (did you mean "minDays"?); it takes maxReported, tolerate, waivers, minDays',
            minDay=7,
        ),
    ),
)

ACCESS_TOKEN_EXPIRY = Cases(
    keeps=(
        keeps("an-hour", granted(access=at(hours=1))),
        keeps("the-refresh-token-does-not-count", granted(refresh=at(days=-1), access=at(hours=1))),
        keeps("listed", granted(refresh=False, access=at(hours=1), complete=False)),
        keeps("no-grant", without_a_grant()),
    ),
    breaks=(
        breaks(
            "minutes",
            granted(access=at(minutes=5)),
            "access token expires in 5 minutes, 2026-11-24T08:05:00Z; minimum 10 minutes",
        ),
        breaks(
            "expired-though-refreshable",
            granted(refresh=at(days=400), access=at(hours=-3)),
            "access token expired 3 hours ago, 2026-11-24T05:00:00Z",
        ),
        breaks(
            "grant-under-another-scheme",
            one(authScheme="apiKey", oauth2AuthorizationCode=grant(access=at(days=-1))),
            "access token expired 1 day ago, 2026-11-23T08:00:00Z",
        ),
    ),
    edges=(
        keeps("exactly-at-the-limit", granted(access=at(minutes=10))),
        breaks(
            "a-second-nearer",
            granted(access=at(minutes=10, seconds=-1)),
            "access token expires in 9 minutes, 2026-11-24T08:09:59Z; minimum 10 minutes",
        ),
        breaks(
            "this-second", granted(access=at()), "access token expired less than a minute ago, 2026-11-24T08:00:00Z"
        ),
        keeps("a-second-without-limit", granted(access=at(seconds=1)), minMinutes=0),
        breaks(
            "limit-of-a-minute",
            granted(access=at(seconds=59)),
            "access token expires in less than a minute, 2026-11-24T08:00:59Z; minimum 1 minute",
            minMinutes=1,
        ),
        keeps("limit-of-a-year", granted(access=at(days=365)), minMinutes=525600),
        keeps("offset", granted(access="2026-11-24T09:10:00+01:00")),
    ),
    not_evaluated=(
        undecided(
            "no-expiry",
            granted(access=None),
            "when the access token expires is unknown: the API didn't send a time",
        ),
        undecided(
            "no-access-token", granted(access=False), "the access token's times are unknown: the API didn't send them"
        ),
        undecided(
            "scheme-without-a-grant",
            with_block(None),
            "the access token's times are unknown: the API didn't send them",
        ),
        undecided("no-time", granted(access="soon"), "when the access token expires is unknown: expiresAt is no time"),
        undecided(
            "list-for-a-time",
            granted(access=[at()]),
            "when the access token expires is unknown: the API sent a list as "
            "oauth2AuthorizationCode.accessToken.expiresAt",
        ),
        undecided(
            "text-for-a-token",
            with_block({"accessToken": "CANARY"}),
            "the access token's times are unknown: the API sent text as oauth2AuthorizationCode.accessToken",
        ),
        undecided(
            "details-failed",
            with_gaps(granted(access=False), details=_NO_DETAILS),
            f"the access token's times are unknown: {_NO_DETAILS}",
        ),
    ),
    wrong=(
        wrong("negative", '"minMinutes": -1 is less than the minimum of 0', minMinutes=-1),
        wrong("over-a-year", '"minMinutes": 525601 is greater than the maximum of 525600', minMinutes=525601),
        wrong("text", '"minMinutes": "10" is not allowed, only number', minMinutes="10"),
    ),
)

REFRESHABLE = Cases(
    keeps=(
        keeps("refresh-token", granted()),
        keeps("listed-refresh-token", granted(complete=False)),
        keeps("no-grant", without_a_grant()),
    ),
    breaks=(
        breaks("no-refresh-token", granted(refresh=False, access=at(hours=1)), "it has no refresh token"),
        breaks("null", with_block({"refreshToken": None}), "it has no refresh token"),
        breaks(
            "grant-under-another-scheme",
            one(authScheme="apiKey", oauth2AuthorizationCode=grant(refresh=False)),
            "it has no refresh token",
        ),
    ),
    edges=(
        keeps("expired-is-no-absence", granted(refresh=at(days=-1))),
        keeps("token-without-times", with_block({"refreshToken": {}})),
        keeps("wrong-times-are-a-token", with_block({"refreshToken": {"issuedAt": 5, "expiresAt": []}})),
        breaks("a-saved-answer-without-a-grant", with_block(None), "it has no refresh token"),
        breaks("a-grant-of-nothing", with_block({}), "it has no refresh token"),
    ),
    not_evaluated=(
        undecided("a-list-left-it-out", granted(refresh=False, access=at(hours=1), complete=False), _LEFT_OUT),
        undecided("a-list-without-credentials", with_block(None, complete=False), _NOT_SENT),
        undecided(
            "text-for-a-token",
            with_block({"refreshToken": "CANARY"}),
            "its token times are unknown: the API sent text as oauth2AuthorizationCode.refreshToken",
        ),
        undecided(
            "list-for-a-grant",
            with_block([]),
            "its token times are unknown: the API sent a list as oauth2AuthorizationCode",
        ),
        undecided(
            "details-failed",
            with_gaps(granted(refresh=False, complete=False), details=_NO_DETAILS),
            f"its token times are unknown: {_NO_DETAILS}",
        ),
        undecided("unobserved", unobserved(one()), _UNOBSERVED),
    ),
    wrong=(wrong("none-of-its-own", 'unknown key "minDays"; it takes maxReported, tolerate, waivers', minDays=1),),
)

CREDENTIAL_AGE = Cases(
    keeps=(
        keeps("young", granted(issued=at(days=-30))),
        keeps("no-refresh-token-has-no-age", granted(refresh=False, issued=at(days=-400))),
        keeps("no-grant", without_a_grant()),
    ),
    breaks=(
        breaks(
            "old",
            granted(issued=at(days=-400)),
            "refresh token was issued 400 days ago, 2025-10-20T08:00:00Z; maximum 365 days",
        ),
        breaks(
            "own-limit",
            granted(issued=at(hours=-25)),
            "refresh token was issued 1 day ago, 2026-11-23T07:00:00Z; maximum 1 day",
            maxDays=1,
        ),
        breaks(
            "assumed-creation",
            one(oauth2AuthorizationCode=grant(issued=None), createTime=at(days=-366)),
            f"connection was created 366 days ago, 2025-11-23T08:00:00Z{_MAXIMUM_AGE}",
            assume="createTime",
        ),
        breaks(
            "assumed-update",
            one(oauth2AuthorizationCode=grant(issued=None), updateTime=at(days=-366)),
            f"connection was updated 366 days ago, 2025-11-23T08:00:00Z{_MAXIMUM_AGE}",
            assume="updateTime",
        ),
    ),
    edges=(
        keeps("exactly-at-the-limit", granted(issued=at(days=-365))),
        breaks(
            "a-second-older",
            granted(issued=at(days=-365, seconds=-1)),
            f"refresh token was issued 365 days ago, 2025-11-24T07:59:59Z{_MAXIMUM_AGE}",
        ),
        keeps("a-second-younger", granted(issued=at(days=-365, seconds=1))),
        keeps("offset", granted(issued="2025-11-24T02:00:00-06:00")),
        breaks(
            "offset-a-second-older",
            granted(issued="2025-11-24T01:59:59-06:00"),
            f"refresh token was issued 365 days ago, 2025-11-24T07:59:59Z{_MAXIMUM_AGE}",
        ),
        keeps("the-future-is-no-age", granted(issued=at(days=1)), maxDays=0),
        keeps("no-age-at-all", granted(issued=at()), maxDays=0),
        breaks(
            "a-second-of-age",
            granted(issued=at(seconds=-1)),
            "refresh token was issued less than a minute ago, 2026-11-24T07:59:59Z; maximum 0 days",
            maxDays=0,
        ),
        keeps(
            "a-known-time-is-not-assumed",
            one(oauth2AuthorizationCode=grant(issued=at(days=-1)), createTime=at(days=-400)),
            assume="createTime",
        ),
        keeps(
            "assumed-and-exactly-at-the-limit",
            one(oauth2AuthorizationCode=grant(issued=None), createTime=at(days=-365)),
            assume="createTime",
        ),
        keeps("assumed-for-what-a-list-left-out", granted(refresh=False, complete=False), assume="createTime"),
        keeps("null-assumes-nothing", granted(), assume=None),
        keeps(
            "assumed-for-no-time",
            one(oauth2AuthorizationCode=grant(issued="long ago"), createTime=at(days=-1)),
            assume="createTime",
        ),
    ),
    not_evaluated=(
        undecided(
            "no-issue-time",
            granted(issued=None),
            "when the refresh token was issued is unknown: the API didn't send a time",
        ),
        undecided(
            "number-for-a-time",
            with_block({"refreshToken": {"issuedAt": 5}}),
            "when the refresh token was issued is unknown: the API sent a number as "
            "oauth2AuthorizationCode.refreshToken.issuedAt",
        ),
        undecided(
            "no-time",
            granted(issued="long ago"),
            "when the refresh token was issued is unknown: the API didn't send a time",
        ),
        undecided("a-list-left-it-out", granted(refresh=False, complete=False), _LEFT_OUT),
        undecided("unobserved", unobserved(one()), _UNOBSERVED),
        undecided(
            "assumed-time-is-unknown-too",
            one(oauth2AuthorizationCode=grant(issued=None), createTime=None),
            "when the refresh token was issued is unknown: the API didn't send a time, nor is its createTime",
            assume="createTime",
        ),
        undecided(
            "the-other-time-is-not-assumed",
            one(oauth2AuthorizationCode=grant(issued=None), updateTime=None),
            "when the refresh token was issued is unknown: the API didn't send a time, nor is its updateTime",
            assume="updateTime",
        ),
    ),
    wrong=(
        wrong("negative", '"maxDays": -0.5 is less than the minimum of 0', maxDays=-0.5),
        wrong("over-a-century", '"maxDays": 36501 is greater than the maximum of 36500', maxDays=36501),
        wrong(
            "assumes-something-else",
            "\"assume\": 'issuedAt' is not one of ['createTime', 'updateTime']",
            assume="issuedAt",
        ),
        wrong("assumes-a-number", "\"assume\": 5 is not one of ['createTime', 'updateTime']", assume=5),
    ),
)

CREDENTIALS: Final[Mapping[str, Cases]] = {
    "no-bad-credentials": NO_BAD_CREDENTIALS,
    "token-expiry": TOKEN_EXPIRY,
    "access-token-expiry": ACCESS_TOKEN_EXPIRY,
    "refreshable": REFRESHABLE,
    "credential-age": CREDENTIAL_AGE,
}
