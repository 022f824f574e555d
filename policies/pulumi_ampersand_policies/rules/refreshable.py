"""``refreshable``: the connection has a refresh token.

Without one the connection stops working when its access token expires, often within the hour, and only the customer can
mend it. Broken where the API said that there is no refresh token, which its list of connections can't: it was asked for
the single connection, or the answer was saved in a file. Not evaluated where that isn't known. Applies to connections
with an OAuth authorization-code grant.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import UNSET

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.grant import why_no_refresh_token, with_grant
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified


def check(inventory: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
    """Look for refresh tokens."""
    for entry in inventory:
        if entry.observation.refresh_token is None:
            yield Breach("it has no refresh token", entry)
        elif entry.observation.refresh_token is UNSET:
            yield Unverified(why_no_refresh_token(entry.observation), entry)


RULE = Rule(
    id="refreshable",
    title="The connection has a refresh token",
    severity=Severity.MEDIUM,
    enforcement=Enforcement.ADVISORY,
    remediation=(
        "Have the provider app ask for offline access, "
        "then have the customer authorise again: pulumi-ampersand reauth {connection}"
    ),
    check=check,
    options=Options,
    applies=with_grant,
    tags=("credentials", "availability"),
)
