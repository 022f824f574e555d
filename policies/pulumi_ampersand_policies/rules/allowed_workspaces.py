"""``allowed-workspaces``: the connection leads to a workspace that is allowed.

So that a production stack doesn't run on a customer's sandbox, or the other way round. Options: ``workspaces``, for
each provider (or ``*`` for those without an entry of their own) a regular expression in Python's syntax, which the
whole ``providerWorkspaceRef`` must match::

    {"allowed-workspaces": {"workspaces": {"salesforce": "(?!.*--).*", "microsoft": ".*[.]onmicrosoft[.]com"}}}

Upper and lower case differ; put ``(?i)`` in front where they shouldn't. A connection whose workspace isn't known is not
evaluated. Applies to connections whose provider has an entry.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from pulumi_ampersand.inventory import Entry, Inventory
from pulumi_ampersand_policies.compliance import SEPARATION
from pulumi_ampersand_policies.grant import for_provider, why_missing
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified


def _compiles(pattern: str) -> str:
    try:
        with warnings.catch_warnings():
            # What Python will read otherwise some day, "[[a]" for example.
            warnings.simplefilter("error")
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return pattern


class AllowedWorkspaces(Options):
    """Options of ``allowed-workspaces``."""

    workspaces: dict[str, Annotated[str, Field(min_length=1), AfterValidator(_compiles)]] = Field(
        min_length=1,
        description='For each provider, or "*": a regular expression that the whole providerWorkspaceRef must match.',
    )


def applies(entry: Entry, options: AllowedWorkspaces) -> bool:
    """Whether it is said what is allowed."""
    return for_provider(options.workspaces, entry.connection.provider) is not None


def check(inventory: Inventory, options: AllowedWorkspaces, _now: datetime) -> Iterator[Breach | Unverified]:
    """Compare each workspace with the expression."""
    patterns = {provider: re.compile(pattern) for provider, pattern in options.workspaces.items()}
    for entry in inventory:
        workspace = entry.connection.provider_workspace_ref
        pattern = for_provider(patterns, entry.connection.provider)
        if workspace is None:
            yield Unverified(f"its workspace is unknown: {why_missing(entry, 'providerWorkspaceRef')}", entry)
        elif pattern is not None and not pattern.fullmatch(workspace):
            yield Breach(f"its workspace {workspace} is not allowed, only {pattern.pattern}", entry)


RULE = Rule(
    id="allowed-workspaces",
    title="The connection leads to a workspace that is allowed",
    severity=Severity.HIGH,
    enforcement=Enforcement.MANDATORY,
    remediation="Have the customer connect the right workspace: pulumi-ampersand reauth {connection}",
    check=check,
    options=AllowedWorkspaces,
    applies=applies,
    tags=("workspaces", "separation"),
    controls=SEPARATION,
)
