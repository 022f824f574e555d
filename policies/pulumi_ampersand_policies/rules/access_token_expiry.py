"""``access-token-expiry``: the access token outlives what runs with it.

Broken when the access token is expired or expires in strictly less than ``minMinutes`` (10), whether or not it can be
refreshed: for programs that hand the token itself on. Off by default, because access tokens of an hour are refreshed
when they are needed; give it an ``enforcementLevel`` to turn it on. A token that expires in exactly ten minutes keeps
the rule, one that expires this second is expired. Not evaluated where the expiry isn't known. Applies to connections
with an OAuth authorization-code grant.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from pydantic import Field

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.grant import access_token_expiry, expiring, plural, with_grant
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified


class AccessTokenExpiry(Options):
    """Options of ``access-token-expiry``."""

    min_minutes: float = Field(10, ge=0, le=525600, description="The fewest minutes that a token must still work.")


def check(inventory: Inventory, options: AccessTokenExpiry, now: datetime) -> Iterator[Breach | Unverified]:
    """Compare each access token's expiry with the limit."""
    limit, minimum = timedelta(minutes=options.min_minutes), plural(options.min_minutes, "minute")
    return expiring(inventory, access_token_expiry, limit, minimum, now)


RULE = Rule(
    id="access-token-expiry",
    title="The access token outlives what runs with it",
    severity=Severity.MEDIUM,
    enforcement=Enforcement.DISABLED,
    remediation='Refresh it before use, for example by getAccessToken or get_access_token (refresh "ifExpired")',
    check=check,
    options=AccessTokenExpiry,
    applies=with_grant,
    tags=("credentials", "expiry", "availability"),
)
