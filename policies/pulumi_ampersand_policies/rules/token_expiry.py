"""``token-expiry``: the credential outlives the deployment.

Judges the *effective* expiry: of the refresh token where there is one (one without an expiry works until it is
revoked), else of the access token. Broken when it is past, or strictly nearer than ``minDays`` (7): a credential that
expires in exactly seven days, to the second, keeps the rule, one that expires this second is expired. Times may have
any offset and any number of fraction digits; one without an offset is taken as UTC. There is no allowance for clocks
that differ: choose ``minDays`` larger. Not evaluated where neither expiry is known, and where the API left open whether
there is a refresh token. Applies to connections with an OAuth authorization-code grant.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from pydantic import Field

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.grant import effective_expiry, expiring, plural, with_grant
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified


class TokenExpiry(Options):
    """Options of ``token-expiry``."""

    min_days: float = Field(7, ge=0, le=36500, description="The fewest days that a credential must still work.")


def check(inventory: Inventory, options: TokenExpiry, now: datetime) -> Iterator[Breach | Unverified]:
    """Compare each effective expiry with the limit."""
    limit, minimum = timedelta(days=options.min_days), plural(options.min_days, "day")
    return expiring(inventory, effective_expiry, limit, minimum, now)


RULE = Rule(
    id="token-expiry",
    title="The credential outlives the deployment",
    severity=Severity.HIGH,
    enforcement=Enforcement.MANDATORY,
    remediation="Have the customer authorise again: pulumi-ampersand reauth {connection}",
    check=check,
    options=TokenExpiry,
    applies=with_grant,
    tags=("credentials", "expiry", "availability"),
)
