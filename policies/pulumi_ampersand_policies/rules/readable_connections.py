"""``readable-connections``: the pack could read the connections that it gates.

In gate mode the pack itself reads the API. Where it can't (an outage, a wrong key, an answer that makes no sense),
nothing was checked, so this rule is broken and the deployment stops. Set it to advisory to fail open. It can't be
waived or tolerated.

Options: ``gate`` asks for gate mode and wins over the stack's ``ampersand:gate``, so that a pull request to the stack
can't remove it; ``false`` turns it off. ``require`` breaks the rule for a stack that has neither a data source nor a
gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pydantic import Field

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.gate import Gate
from pulumi_ampersand_policies.rule import Breach, Enforcement, ReportOptions, Requirement, Rule, Severity, Unverified

UNGATED = (
    "this stack has neither an Ampersand data source nor a gate, so no connection was checked; "
    "run: pulumi config set --path ampersand:gate.provider <provider> (or use pulumi_ampersand.Connections)"
)


class ReadableConnections(ReportOptions):
    """Options of ``readable-connections``."""

    gate: bool | Gate | None = Field(None, description="Connections that the pack reads and judges by itself.")
    require: bool = Field(False, description="Whether a stack must have a data source or a gate.")


def check(inventory: Inventory, _options: ReadableConnections, _now: datetime) -> Iterator[Breach | Unverified]:
    """Report what could not be read."""
    for reason, project in inventory.unread:
        yield Breach(reason, Requirement(project=project))


RULE = Rule(
    id="readable-connections",
    title="The pack could read the connections that it gates",
    severity=Severity.CRITICAL,
    enforcement=Enforcement.MANDATORY,
    remediation="What can't be read isn't checked: mend the cause, or make this rule advisory to deploy unchecked",
    check=check,
    options=ReadableConnections,
    tags=("gate", "evidence"),
)
