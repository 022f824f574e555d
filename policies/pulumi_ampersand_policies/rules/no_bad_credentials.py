"""``no-bad-credentials``: the provider accepts the connection's credentials.

Broken by a connection whose status is ``bad_credentials``: the provider refused the credentials in a request, or when
the access token was to be refreshed. The customer has revoked access, changed a password, or let a token expire. Other
statuses keep the rule (``created`` means new or just refreshed, and says nothing bad); they are compared to the letter,
and one that this version doesn't know is reported by ``verifiable-connections``. Applies to every connection, however
it authenticates.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.model import BAD_CREDENTIALS
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified


def check(inventory: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
    """Judge each connection by its status."""
    for entry in inventory:
        if entry.observation.status == BAD_CREDENTIALS:
            yield Breach(f"the provider refuses its credentials (status {BAD_CREDENTIALS})", entry)
        elif entry.observation.status is None and not entry.connection.healthy:
            yield Unverified("it isn't healthy, and its status wasn't passed on", entry)


RULE = Rule(
    id="no-bad-credentials",
    title="The provider accepts the connection's credentials",
    severity=Severity.CRITICAL,
    enforcement=Enforcement.MANDATORY,
    remediation="Have the customer authorise again: pulumi-ampersand reauth {connection}",
    check=check,
    options=Options,
    tags=("credentials", "availability"),
)
