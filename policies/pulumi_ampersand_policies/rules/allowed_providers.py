"""``allowed-providers``: customers are connected only to providers that are allowed.

Broken when the connection's provider is outside ``allow``, where that is given, or inside ``deny``; it is inactive
until one of them is::

    {"allowed-providers": {"allow": ["salesforce", "hubspot"]}}

Names are Ampersand's own, compared to the letter.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from pydantic import Field

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.compliance import EXTERNAL_SYSTEMS
from pulumi_ampersand_policies.grant import Text
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified

_Names = Annotated[tuple[Text, ...], Field(min_length=1)]


class AllowedProviders(Options):
    """Options of ``allowed-providers``."""

    allow: _Names = Field((), description="Providers, outside which there may be none.")
    deny: _Names = Field((), description="Providers that there may not be.")


def check(inventory: Inventory, options: AllowedProviders, _now: datetime) -> Iterator[Breach | Unverified]:
    """Compare each provider with the lists."""
    for entry in inventory:
        provider = entry.connection.provider
        if provider in options.deny:
            yield Breach(f"its provider {provider} is denied", entry)
        elif options.allow and provider not in options.allow:
            yield Breach(f"its provider {provider} is not among those allowed: {', '.join(options.allow)}", entry)


RULE = Rule(
    id="allowed-providers",
    title="Customers are connected only to providers that are allowed",
    severity=Severity.MEDIUM,
    enforcement=Enforcement.MANDATORY,
    remediation="Delete the connection in Ampersand, or allow its provider in the rule's configuration",
    check=check,
    options=AllowedProviders,
    needs=("allow", "deny"),
    tags=("providers", "inventory"),
    controls=EXTERNAL_SYSTEMS,
)
