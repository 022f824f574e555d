"""``allowed-auth-schemes``: the connection authenticates in a way that is allowed.

Broken when its scheme is in ``deny`` (by default ``none``, ``basic`` and ``oauth2/password``), or when ``schemes`` is
given and has a list for its provider (or ``*``) that doesn't hold the scheme::

    {"allowed-auth-schemes": {"schemes": {"gong": ["apiKey"], "*": ["oauth2/authorizationCode"]}}}

Both are looked at: a scheme in ``deny`` breaks the rule even where ``schemes`` lists it; to allow it, give ``deny``
without it. Schemes are compared to the letter. A provider's own list replaces the one for ``*``; an empty one allows
nothing. A missing scheme is not evaluated; one that this version doesn't know breaks the rule only where ``schemes``
leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pydantic import Field

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.compliance import AUTHENTICATION
from pulumi_ampersand_policies.grant import Text, for_provider, why_missing
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified


class AllowedAuthSchemes(Options):
    """Options of ``allowed-auth-schemes``."""

    deny: tuple[Text, ...] = Field(
        ("none", "basic", "oauth2/password"), description="Schemes that no connection may have."
    )
    schemes: dict[str, list[Text]] = Field(
        {}, description='For each provider, or "*": schemes, outside which its connections may have none.'
    )


def check(inventory: Inventory, options: AllowedAuthSchemes, _now: datetime) -> Iterator[Breach | Unverified]:
    """Compare each scheme with the lists."""
    for entry in inventory:
        scheme, provider = entry.connection.auth_scheme, entry.connection.provider
        allowed = for_provider(options.schemes, provider) if options.schemes else None
        if scheme is None:
            yield Unverified(f"how it authenticates is unknown: {why_missing(entry, 'authScheme')}", entry)
        elif scheme in options.deny:
            yield Breach(f"its authentication scheme {scheme} is denied", entry)
        elif allowed is not None and scheme not in allowed:
            only = f"only {' or '.join(allowed)}" if allowed else "nor is any other"
            yield Breach(f"its authentication scheme {scheme} is not allowed for {provider}, {only}", entry)


RULE = Rule(
    id="allowed-auth-schemes",
    title="The connection authenticates in a way that is allowed",
    severity=Severity.HIGH,
    enforcement=Enforcement.MANDATORY,
    remediation="Connect the customer anew with an allowed scheme, or allow this one in the rule's configuration",
    check=check,
    options=AllowedAuthSchemes,
    tags=("authentication",),
    controls=AUTHENTICATION,
)
