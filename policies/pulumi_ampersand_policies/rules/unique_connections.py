"""``unique-connections``: each customer has one connection for each provider and workspace.

Broken by every connection of several that share project, provider, group, consumer and workspace: nobody can tell which
of them an integration uses. A workspace that isn't known, or a missing group or consumer, counts as a value of its own;
where both group and consumer are missing, or something of these could not be read, whose the connection is isn't known,
so it is not evaluated. Judged over everything that a stack reads, so two data sources that read the same connection
don't break it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from pulumi_ampersand.inventory import Entry, Inventory, by_id
from pulumi_ampersand_policies.grant import why_missing
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified

_COMPARED = ("group", "group.groupRef", "consumer", "consumer.consumerRef", "providerWorkspaceRef")
_SHOWN = 3
"""How many of the others a finding names."""


def check(inventory: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
    """Look for connections that can't be told apart."""
    alike: dict[tuple[str | None, ...], list[Entry]] = defaultdict(list)
    for entry in inventory:
        connection = entry.connection
        group = None if connection.group is None else connection.group.ref
        consumer = None if connection.consumer is None else connection.consumer.ref
        gaps = entry.observation.gaps
        lost = [name for name in _COMPARED if name in gaps] if gaps else []
        if lost or (group is None and consumer is None):
            why = "; ".join(why_missing(entry, name) for name in lost or ("group.groupRef", "consumer.consumerRef"))
            yield Unverified(f"whose it is is unknown: {why}", entry)
            continue
        alike[entry.project, connection.provider, group, consumer, connection.provider_workspace_ref].append(entry)
    for entries in alike.values():
        if len(entries) > 1:
            entries.sort(key=by_id)
            for entry in entries:
                yield Breach(f"its customer has others for the same workspace: {_others(entry, entries)}", entry)


def _others(entry: Entry, entries: list[Entry]) -> str:
    # A few of many: comparing each with each would take its time, for thousands that are alike.
    others = [other.connection.id for other in entries[: _SHOWN + 1] if other is not entry][:_SHOWN]
    more = len(entries) - 1 - len(others)
    return ", ".join(others) + (f" and {more} more" if more else "")


RULE = Rule(
    id="unique-connections",
    title="Each customer has one connection for each provider and workspace",
    severity=Severity.LOW,
    enforcement=Enforcement.ADVISORY,
    remediation="Keep the one that the integration uses, and delete the others in Ampersand",
    check=check,
    options=Options,
    whole=True,
    tags=("inventory",),
)
