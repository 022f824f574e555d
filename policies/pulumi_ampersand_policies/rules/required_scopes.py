"""``required-scopes``: the customer granted every scope that the deployment needs.

Options: ``scopes``, for each provider (or ``*`` for those without an entry of their own) a list of scopes. An item that
is itself a list is kept by any one of its scopes::

    {"required-scopes": {"scopes": {"salesforce": ["api", ["refresh_token", "offline_access"]], "*": ["profile"]}}}

Scopes are compared to the letter, as RFC 6749 has it. An empty list of granted scopes means that nothing was granted;
no list means that the API didn't say, which is not evaluated. Applies to connections with an OAuth authorization-code
grant.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from pydantic import Field

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.grant import for_provider, has_grant, why_no_scopes
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified

_Scope = Annotated[str, Field(min_length=1)]


class RequiredScopes(Options):
    """Options of ``required-scopes``."""

    scopes: dict[str, list[_Scope | Annotated[list[_Scope], Field(min_length=1)]]] = Field(
        min_length=1,
        description='For each provider, or "*": scopes that must be granted; of a list inside the list, any one.',
    )


def check(inventory: Inventory, options: RequiredScopes, _now: datetime) -> Iterator[Breach | Unverified]:
    """Look for scopes that weren't granted."""
    for entry in inventory:
        connection = entry.connection
        wanted = for_provider(options.scopes, connection.provider)
        if not wanted or not has_grant(entry):
            continue
        if connection.scopes is None:
            yield Unverified(why_no_scopes(entry.observation), entry)
            continue
        granted = set(connection.scopes)
        missing = [
            " or ".join(choices)
            for choices in ([item] if isinstance(item, str) else item for item in wanted)
            if granted.isdisjoint(choices)
        ]
        if missing:
            yield Breach(f"not granted: {', '.join(missing)}", entry)


RULE = Rule(
    id="required-scopes",
    title="The customer granted every scope that the deployment needs",
    severity=Severity.HIGH,
    enforcement=Enforcement.MANDATORY,
    remediation=(
        "Add the scope to the provider app if it lacks it, "
        "then have the customer authorise again: pulumi-ampersand reauth {connection}"
    ),
    check=check,
    options=RequiredScopes,
    tags=("scopes", "availability"),
)
