"""``allowed-scopes``: only scopes that are needed were granted.

Options: ``scopes``, for each provider (or ``*`` for those without an entry of their own) a list of globs; a granted
scope outside them breaks the rule::

    {"allowed-scopes": {"scopes": {"hubspot": ["oauth", "crm.objects.*.read"]}}}

Globs are those of ``forbidden-scopes``. A provider's own entry replaces the one for ``*``; an empty one allows nothing.
Missing scopes are not evaluated; an empty list keeps the rule. Applies to connections with an OAuth authorization-code
grant whose provider has an entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from pydantic import Field

from pulumi_ampersand.inventory import Entry, Inventory
from pulumi_ampersand_policies.compliance import LEAST_PRIVILEGE
from pulumi_ampersand_policies.glob import matches
from pulumi_ampersand_policies.grant import ScopeGlobs, for_provider, with_grant, wrongly_granted
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified


class AllowedScopes(Options):
    """Options of ``allowed-scopes``."""

    scopes: ScopeGlobs = Field(
        min_length=1, description='For each provider, or "*": globs of scopes, outside which nothing may be granted.'
    )


def applies(entry: Entry, options: AllowedScopes) -> bool:
    """Whether it is said what is allowed."""
    return with_grant(entry) and for_provider(options.scopes, entry.connection.provider) is not None


def check(inventory: Inventory, options: AllowedScopes, _now: datetime) -> Iterator[Breach | Unverified]:
    """Look for scopes that match nothing."""
    return wrongly_granted(inventory, options.scopes, _cause)


def _cause(globs: Sequence[str], scopes: Sequence[str]) -> str:
    found = [scope for scope in scopes if not any(matches(glob, scope) for glob in globs)]
    return f"granted, but not among the allowed: {', '.join(found)}" if found else ""


RULE = Rule(
    id="allowed-scopes",
    title="Only scopes that are needed were granted",
    severity=Severity.LOW,
    enforcement=Enforcement.ADVISORY,
    remediation=(
        "Take the scope out of the provider app, "
        "then have the customer authorise again: pulumi-ampersand reauth {connection}"
    ),
    check=check,
    options=AllowedScopes,
    applies=applies,
    tags=("scopes", "least-privilege"),
    controls=LEAST_PRIVILEGE,
)
