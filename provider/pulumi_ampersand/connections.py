"""The data source `Connections`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi
from pulumi.dynamic import Resource

from pulumi_ampersand.errors import AmpersandError
from pulumi_ampersand.inventory import parse_connections
from pulumi_ampersand.model import Connection
from pulumi_ampersand.provider import ConnectionsProvider
from pulumi_ampersand.terminal import one_line


class Connections(Resource, module="ampersand", name="Connections"):
    """The connections of an Ampersand project, read in every preview, update and refresh.

    Results are known during a preview, unless a filter isn't. A change of a connection is an update of this resource; a
    token refresh or a change between ``created`` and ``working`` is not. The API key comes from the stack's
    configuration ``ampersand:apiKey`` or from AMP_API_KEY, the API's root from ``ampersand:apiUrl`` or AMP_API_URL.

    What is read lies in the state in plain text, customer names and provider metadata included; credentials are never
    read into it. Filters may be secret, and stay so.

    Args:
        resource_name: The resource's name in the stack.
        project: The Ampersand project, ID or name; by default ``ampersand:project``, else AMP_PROJECT.
        provider: Only connections to this SaaS provider, "salesforce" for example.
        group_ref: Only connections of this group (the customer).
        consumer_ref: Only connections of this consumer (the customer's user).
        opts: Pulumi's resource options; ``id`` and ``import_`` are refused, because there is nothing to import.

    Raises:
        pulumi.RunError: ``opts`` has ``id`` or ``import_``.
    """

    def __init__(  # noqa: PLR0913 - a filter is an argument
        self,
        resource_name: str,
        *,
        project: pulumi.Input[str] | None = None,
        provider: pulumi.Input[str] | None = None,
        group_ref: pulumi.Input[str] | None = None,
        consumer_ref: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        if opts is not None and (opts.id is not None or opts.import_ is not None):
            raise pulumi.RunError(
                f'Connections "{resource_name}" is read, not imported: leave out opts.id and opts.import_, '
                "and give filters instead"
            )
        self._resource_name = resource_name
        super().__init__(
            ConnectionsProvider(),
            resource_name,
            {
                "project": project,
                "provider": provider,
                "groupRef": group_ref,
                "consumerRef": consumer_ref,
                # The provider fills it in; named here so that the SDK makes an output of it.
                "connections": None,
            },
            opts,
        )

    @property
    def connections(self) -> pulumi.Output[Sequence[Connection]]:
        """The connections, sorted by ID: to be exported, passed as inputs or lifted (``connections[0].group.name``)."""
        return self._document().apply(self._parse)

    @property
    def ids(self) -> pulumi.Output[Sequence[str]]:
        """The IDs of the connections, sorted."""
        return self._document().apply(lambda document: [connection.id for connection in self._parse(document)])

    def one(self) -> pulumi.Output[Connection]:
        """The only connection. That there is none, or that there are several, is an error that says what was found."""

        def only(document: str) -> Connection:
            found = self._parse(document)
            if len(found) == 1:
                return found[0]
            listed = ", ".join(map(_describe, found[:10])) + (f" and {len(found) - 10} more" if len(found) > 10 else "")
            raise pulumi.RunError(
                f'Connections "{self._resource_name}": expected one connection, found {len(found) or "none"}'
                f"{': ' + listed if found else ''}; change project, provider, group_ref or consumer_ref"
            )

        return self._document().apply(only)

    @property
    def project(self) -> pulumi.Output[str]:
        """The project that was read, as it was asked for."""
        return self._output("project")

    @property
    def provider(self) -> pulumi.Output[str | None]:
        """The provider filter."""
        return self._output("provider")

    @property
    def group_ref(self) -> pulumi.Output[str | None]:
        """The group filter."""
        return self._output("groupRef")

    @property
    def consumer_ref(self) -> pulumi.Output[str | None]:
        """The consumer filter."""
        return self._output("consumerRef")

    def _document(self) -> pulumi.Output[str]:
        return self._output("connections")

    def _output(self, name: str) -> pulumi.Output[Any]:
        """What the SDK keeps under the property's own name, which the typed accessors hide."""
        output: pulumi.Output[Any] = self.__dict__[name]
        return output

    def _parse(self, document: str) -> Sequence[Connection]:
        try:
            return parse_connections(document)
        except AmpersandError as error:
            raise pulumi.RunError(f'Connections "{self._resource_name}": {error}') from None


def _describe(connection: Connection) -> str:
    who = ", ".join(filter(None, (connection.provider, connection.customer)))
    return one_line(f"{connection.id} ({who})", 120)
