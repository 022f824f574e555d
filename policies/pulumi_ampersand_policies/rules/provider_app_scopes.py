"""``provider-app-scopes``: the customer granted every scope that the provider app asks for.

An app that asks for more than it did when the customer authorised it needs the customer's consent again. Broken when
the granted scopes lack some of the provider app's; scopes are compared to the letter. An app that asks for none is
content. Not evaluated where the granted scopes, the provider app or its scopes aren't known. Applies to connections
with an OAuth authorization-code grant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.grant import why_no_app_scopes, why_no_scopes, with_grant
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified


def check(inventory: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
    """Compare what was granted with what is asked for."""
    # Many connections share both lists; what is kept of them stays what it is.
    lacking: dict[tuple[int, int], tuple[Sequence[str], Sequence[str], list[str]]] = {}
    for entry in inventory:
        granted, app = entry.connection.scopes, entry.connection.provider_app
        asked = None if app is None else app.scopes
        if asked is None:
            yield Unverified(why_no_app_scopes(entry), entry)
        elif granted is None:
            yield Unverified(why_no_scopes(entry.observation), entry)
        else:
            both = id(asked), id(granted)
            if both not in lacking:
                lacking[both] = asked, granted, sorted(set(asked).difference(granted))
            if missing := lacking[both][2]:
                yield Breach(f"its provider app asks for more than was granted: {', '.join(missing)}", entry)


RULE = Rule(
    id="provider-app-scopes",
    title="The customer granted every scope that the provider app asks for",
    severity=Severity.MEDIUM,
    enforcement=Enforcement.ADVISORY,
    remediation="Have the customer authorise again: pulumi-ampersand reauth {connection}",
    check=check,
    options=Options,
    applies=with_grant,
    tags=("scopes", "consent"),
)
