"""``required-scopes``: the customer granted every scope that the deployment needs.

Options: ``scopes``, for each provider (or ``*`` for those without an entry of their own) a list of scopes. An item that
is itself a list is kept by any one of its scopes::

    {"required-scopes": {"scopes": {"salesforce": ["api", ["refresh_token", "offline_access"]], "*": ["profile"]}}}

Scopes are compared to the letter, as RFC 6749 has it: upper and lower case differ, and a string that holds several
scopes is taken apart at its spaces. An empty list of granted scopes means that nothing was granted; no list means that
the API didn't say, which is not evaluated. A provider's own entry replaces the one for ``*``, an empty one asks for
nothing. Applies to connections with an OAuth authorization-code grant whose provider has an entry that asks for
something.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field

from pulumi_ampersand.inventory import Entry, Inventory
from pulumi_ampersand_policies.grant import Scope, for_provider, with_grant, wrongly_granted
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified


class RequiredScopes(Options):
    """Options of ``required-scopes``."""

    scopes: dict[str, list[Scope | Annotated[list[Scope], Field(min_length=1)]]] = Field(
        min_length=1,
        description='For each provider, or "*": scopes that must be granted; of a list inside the list, any one.',
    )


def applies(entry: Entry, options: RequiredScopes) -> bool:
    """Whether anything is asked for."""
    return with_grant(entry) and bool(for_provider(options.scopes, entry.connection.provider))


def check(inventory: Inventory, options: RequiredScopes, _now: datetime) -> Iterator[Breach | Unverified]:
    """Look for scopes that weren't granted."""
    return wrongly_granted(inventory, options.scopes, _cause)


def _cause(wanted: Sequence[str | Sequence[str]], scopes: Sequence[str]) -> str:
    granted = set(scopes)
    missing = [
        " or ".join(choices)
        for choices in ([item] if isinstance(item, str) else item for item in wanted)
        if granted.isdisjoint(choices)
    ]
    return f"not granted: {', '.join(missing)}" if missing else ""


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
    applies=applies,
    tags=("scopes", "availability"),
)
