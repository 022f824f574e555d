"""``same-project``: connection, group, consumer and provider app belong to one project.

Broken when their project IDs differ: a customer's connection was made with another project's app, say, or moved. A
group, consumer or provider app that the connection doesn't have is nothing to compare; one that could not be read, or
is there without a project ID, and a connection without one, are not evaluated, unless those that are known differ
already.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.grant import why_missing
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified


def check(inventory: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
    """Compare project IDs."""
    for entry in inventory:
        connection = entry.connection
        project, group, consumer, app = (
            connection.project_id,
            connection.group,
            connection.consumer,
            connection.provider_app,
        )
        gaps = entry.observation.gaps
        if (
            project is not None
            and not gaps
            and (group is None or group.project_id == project)
            and (consumer is None or consumer.project_id == project)
            and (app is None or app.project_id == project)
        ):
            continue
        parts = {"group": group, "consumer": consumer, "providerApp": app}
        projects = {"connection": project} | {
            name: part.project_id if part is not None else None
            for name, part in parts.items()
            if part is not None or name in gaps
        }
        known = {project for project in projects.values() if project is not None}
        if len(known) > 1:
            listed = ", ".join(f"{name} {project}" for name, project in projects.items() if project is not None)
            yield Breach(f"its parts belong to different projects: {listed}", entry)
        elif unknown := [name for name, project in projects.items() if project is None]:
            fields = ["projectId" if name == "connection" else f"{name}.projectId" for name in unknown]
            why = "; ".join(why_missing(entry, field) for field in fields)
            yield Unverified(f"whether its parts belong to one project is unknown: {why}", entry)


RULE = Rule(
    id="same-project",
    title="Connection, group, consumer and provider app belong to one project",
    severity=Severity.HIGH,
    enforcement=Enforcement.MANDATORY,
    remediation="Have the customer connect anew in the right project, and delete this connection in Ampersand",
    check=check,
    options=Options,
    tags=("projects", "separation"),
)
