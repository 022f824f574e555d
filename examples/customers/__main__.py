"""Many customers, one component each.

Every customer who has a connection gets what its integration needs. Here that is one routing file for each connection;
with a cloud at hand it would be a queue, a schedule, an alarm. A customer who connects is one component more in the
next preview, and one whose last connection is gone is one less: its files are deleted.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

import pulumi_ampersand as ampersand


class RouteProvider(ResourceProvider):
    """Keeps a routing file: stands for whatever your cloud offers."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Write the file."""
        _write(props)
        return CreateResult(props["path"], props)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Another path is another file."""
        moved = _olds["path"] != _news["path"]
        return DiffResult(changes=moved or _olds["route"] != _news["route"], replaces=["path"] if moved else [])

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Write the file again."""
        _write(_news)
        return UpdateResult(_news)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Delete the file, if it is still there."""
        Path(_props["path"]).unlink(missing_ok=True)


def _write(props: dict[str, Any]) -> None:
    path = Path(props["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(props["route"], indent=2, sort_keys=True) + "\n", encoding="utf-8")


class Route(Resource):
    """Where the data of one connection goes.

    Args:
        name: The resource's name.
        path: The file.
        route: What it holds.
        opts: Pulumi's resource options.
    """

    path: pulumi.Output[str]

    def __init__(
        self, name: str, *, path: str, route: dict[str, str | None], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(RouteProvider(), name, {"path": path, "route": route}, opts)


class Customer(pulumi.ComponentResource):
    """What one customer's integrations need: a route for each connection.

    Args:
        ref: Your own ID of the customer, Ampersand's ``groupRef``.
        connections: The customer's connections.
        opts: Pulumi's resource options.
    """

    routes: pulumi.Output[list[str]]

    def __init__(
        self, ref: str, connections: Sequence[ampersand.Connection], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("customers:index:Customer", ref, {}, opts)
        routes = [
            # By the connection's ID, which stays when the customer renames things.
            Route(
                connection.id,
                path=f"routes/{connection.id}.json",
                route={"provider": connection.provider, "workspace": connection.provider_workspace_ref},
                opts=pulumi.ResourceOptions(parent=self),
            )
            for connection in connections
        ]
        self.routes = pulumi.Output.all(*(route.path for route in routes)).apply(lambda paths: sorted(map(str, paths)))
        self.register_outputs({"routes": self.routes})


def by_customer(found: Sequence[ampersand.Connection]) -> dict[str, list[ampersand.Connection]]:
    """The connections of each customer, customers without an ID of yours left out."""
    customers: dict[str, list[ampersand.Connection]] = defaultdict(list)
    for connection in found:
        if connection.group and connection.group.ref:
            customers[connection.group.ref].append(connection)
    return customers


# The loop needs values, not outputs, so the plain function reads them while the program runs. Routes need neither
# scopes nor token times: details="never" costs one request, however many connections there are.
components = {
    ref: Customer(ref, found) for ref, found in by_customer(ampersand.get_connections(details="never")).items()
}
pulumi.export("customers", {ref: customer.routes for ref, customer in sorted(components.items())})
