"""``verifiable-connections``: every active rule could be judged for the connection.

"Could not check" is no pass. This rule collects, for each connection, which other active rules could not be evaluated
and why, and reports a status or an authentication scheme that this version doesn't know, or that the API left out. It
is advisory; set it to mandatory to fail closed. It can't be waived.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.model import AUTH_SCHEMES, BAD_CREDENTIALS, HEALTHY_STATUSES
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.grant import kept_gap, why_missing
from pulumi_ampersand_policies.rule import Breach, Enforcement, Rule, Severity, TolerableOptions, Unverified

_KNOWN_STATUSES = HEALTHY_STATUSES | {BAD_CREDENTIALS, None}


def check(inventory: Inventory, _options: TolerableOptions, _now: datetime) -> Iterator[Breach | Unverified]:
    """Report what can't be interpreted; what other rules could not judge is added by the evaluation."""
    for entry in inventory:
        status, scheme = entry.observation.status, entry.connection.auth_scheme
        if status not in _KNOWN_STATUSES:
            yield Breach(f'its status "{one_line(status or "", 60)}" is unknown', entry)
        if gap := kept_gap(entry):
            yield Breach(gap, entry)
        if scheme is None:
            yield Breach(f"how it authenticates is unknown: {why_missing(entry, 'authScheme')}", entry)
        elif scheme not in AUTH_SCHEMES:
            yield Breach(f'its authentication scheme "{one_line(scheme, 60)}" is unknown', entry)


RULE = Rule(
    id="verifiable-connections",
    title="Every active rule could be judged for the connection",
    severity=Severity.MEDIUM,
    enforcement=Enforcement.ADVISORY,
    remediation="Unjudged is not passed: mend the cause, or make this rule mandatory to stop deployments",
    check=check,
    options=TolerableOptions,
    tags=("evidence",),
)
