"""Routes each customer to the connections that carry its data.

A service that syncs customers' CRMs needs to know which connection to use for whom. This stack publishes that table as
an output, for other stacks, and as a file, for the service. Connections whose credentials aren't accepted are left out.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pulumi

import pulumi_ampersand as ampersand

connections = ampersand.Connections("customers")


def routes(found: Sequence[ampersand.Connection]) -> dict[str, dict[str, str]]:
    """For each customer, for each provider, the ID of the connection."""
    table: dict[str, dict[str, str]] = {}
    for connection in found:
        if connection.healthy and connection.group and connection.group.ref:
            table.setdefault(connection.group.ref, {})[connection.provider] = connection.id
    return table


def write(table: dict[str, dict[str, str]]) -> None:
    """Keep the table for the service, in updates only: a preview changes nothing."""
    if not pulumi.runtime.is_dry_run():
        Path("routes.json").write_text(json.dumps(table, indent=2, sort_keys=True) + "\n", encoding="utf-8")


table = connections.connections.apply(routes)
table.apply(write)
pulumi.export("routes", table)
