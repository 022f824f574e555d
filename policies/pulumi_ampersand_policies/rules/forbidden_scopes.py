"""``forbidden-scopes``: no scope was granted that must not be.

Options: ``scopes``, for each provider (or ``*`` for those without an entry of their own) a list of globs::

    {"forbidden-scopes": {"scopes": {"google": ["https://www.googleapis.com/auth/admin.*"], "*": ["*admin*"]}}}

In a glob ``*`` matches any text, ``/`` and none at all included; every other character matches itself, so ``?`` and
``[`` in a URL are nothing special, and upper and lower case differ. A provider's own entry replaces the one for ``*``;
an empty one forbids nothing. Missing scopes are not evaluated; an empty list keeps the rule. Applies to connections
with an OAuth authorization-code grant whose provider has an entry that forbids something.
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


class ForbiddenScopes(Options):
    """Options of ``forbidden-scopes``."""

    scopes: ScopeGlobs = Field(
        min_length=1, description='For each provider, or "*": globs of scopes that must not be granted.'
    )


def applies(entry: Entry, options: ForbiddenScopes) -> bool:
    """Whether anything is forbidden."""
    return with_grant(entry) and bool(for_provider(options.scopes, entry.connection.provider))


def check(inventory: Inventory, options: ForbiddenScopes, _now: datetime) -> Iterator[Breach | Unverified]:
    """Look for scopes that match."""
    return wrongly_granted(inventory, options.scopes, _cause)


def _cause(globs: Sequence[str], scopes: Sequence[str]) -> str:
    found = [scope for scope in scopes if any(matches(glob, scope) for glob in globs)]
    return f"granted, but forbidden: {', '.join(found)}" if found else ""


RULE = Rule(
    id="forbidden-scopes",
    title="No scope was granted that must not be",
    severity=Severity.HIGH,
    enforcement=Enforcement.MANDATORY,
    remediation=(
        "Take the scope out of the provider app, "
        "then have the customer authorise again: pulumi-ampersand reauth {connection}"
    ),
    check=check,
    options=ForbiddenScopes,
    applies=applies,
    tags=("scopes", "least-privilege"),
    controls=LEAST_PRIVILEGE,
)
