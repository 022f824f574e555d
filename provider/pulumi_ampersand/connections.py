"""The data sources: `Connections`, and `ConnectionRef` for a single one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import pulumi
from pulumi.dynamic import Resource

from pulumi_ampersand.arguments import is_plain, named
from pulumi_ampersand.dependencies import ReadOnly, changing
from pulumi_ampersand.details import Refresh
from pulumi_ampersand.errors import AmpersandError, SettingsError
from pulumi_ampersand.expectation import Expect, not_one
from pulumi_ampersand.inventory import parse_connections, parse_ids
from pulumi_ampersand.model import Connection
from pulumi_ampersand.program import check_configuration
from pulumi_ampersand.provider import ConnectionsProvider
from pulumi_ampersand.query import PROPERTIES, Query
from pulumi_ampersand.settings import Details, Settings

_T = TypeVar("_T")


class _DataSource(ReadOnly, Resource):
    """What both data sources have in common: their arguments' way to the provider, and the document that comes back."""

    def __init__(
        self,
        resource_name: str,
        asked: Mapping[str, Any],
        expect: Expect | None,
        settings: Settings | None,
        opts: pulumi.ResourceOptions | None,
        **more: Any,
    ) -> None:
        self._title = f'{type(self).__name__} "{resource_name}"'
        if not isinstance(opts, pulumi.ResourceOptions | None):
            raise pulumi.RunError(f"{self._title}: opts must be a pulumi.ResourceOptions object")
        if opts is not None and (opts.id is not None or opts.import_ is not None):
            raise pulumi.RunError(
                f"{self._title} is read, not imported: leave out opts.id and opts.import_, and give filters instead"
            )
        try:
            _check(asked, expect, settings)
            check_configuration()
        except AmpersandError as error:
            raise pulumi.RunError(f"{self._title}: {error}") from None
        super().__init__(
            ConnectionsProvider(),
            resource_name,
            {
                **{PROPERTIES[name]: value for name, value in asked.items()},
                "settings": settings.document() if settings is not None else None,
                "expect": expect.properties() if expect is not None else None,
                # What it depends on may have changed what another data source has read already.
                "after": changing(asked.values(), opts.depends_on if opts is not None else None),
                # The provider fills it in; named here so that the SDK makes an output of it.
                "connections": None,
                **more,
            },
            opts,
        )

    def _connections(self) -> pulumi.Output[Sequence[Connection]]:
        return self._output("connections").apply(partial(self._parse, parse_connections))

    def _output(self, name: str) -> pulumi.Output[Any]:
        """What the SDK keeps under the property's own name, which the typed accessors hide."""
        output: pulumi.Output[Any] = self.__dict__[name]
        return output

    def _parse(self, parse: Callable[[str], _T], document: str | None) -> _T:
        if document is None:
            raise pulumi.RunError(f'{self._title} has no output "connections": have the mock of a unit test return it')
        try:
            return parse(document)
        except AmpersandError as error:
            raise pulumi.RunError(f"{self._title}: {error}") from None


class Connections(_DataSource, module="ampersand", name="Connections"):
    """The connections of an Ampersand project, read in every preview, update and refresh.

    Results are known during a preview, unless an argument isn't. A change of a connection is an update of this
    resource; a token refresh or a change between ``created`` and ``working`` is not. The API key comes from the stack's
    configuration ``ampersand:apiKey`` or from AMP_API_KEY, unless `settings` name another place.

    Data sources of one run that need the same answer share one request, unless one depends on resources, by an
    argument or by ``depends_on``, that may have changed the answer since.

    What is read lies in the state in plain text, customer names and provider metadata included; credentials are never
    read into it. Filters may be secret, and stay so.

    Args:
        resource_name: The resource's name in the stack.
        project: The Ampersand project, ID or name; by default that of `settings`, ``ampersand:project`` or AMP_PROJECT.
        provider: Only connections to this SaaS provider, "salesforce" for example.
        group_ref: Only connections of this group (the customer).
        consumer_ref: Only connections of this consumer (the customer's user).
        details: Whether to ask for connections one by one for what their list leaves out, granted scopes and token
            times: "auto" where an OAuth connection lacks them, for 1,000 at the most; "always"; "never". By default
            ``ampersand:details``, else "auto". What could not be had keeps its last known value, and is a gap that the
            policy pack reports.
        refresh: "ifExpired" has the API refresh access tokens that have expired. **This changes the connections**, in a
            preview, too.
        expect: What must be true of the connections found, or this resource fails, in a preview, too.
        settings: How to reach the API, where that isn't what configuration and environment say.
        opts: Pulumi's resource options; ``id`` and ``import_`` are refused, because there is nothing to import.

    Raises:
        pulumi.RunError: An argument can't be used; names it.
    """

    @named
    def __init__(  # noqa: PLR0913 - a filter is an argument
        self,
        resource_name: str,
        *,
        project: pulumi.Input[str] | None = None,
        provider: pulumi.Input[str] | None = None,
        group_ref: pulumi.Input[str] | None = None,
        consumer_ref: pulumi.Input[str] | None = None,
        details: pulumi.Input[Details] | None = None,
        refresh: pulumi.Input[Refresh] | None = None,
        expect: Expect | None = None,
        settings: Settings | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        asked = {
            "project": project,
            "provider": provider,
            "group_ref": group_ref,
            "consumer_ref": consumer_ref,
            "details": details,
            "refresh": refresh,
        }
        super().__init__(resource_name, asked, expect, settings, opts)

    @property
    def connections(self) -> pulumi.Output[Sequence[Connection]]:
        """The connections, sorted by ID: to be exported, passed as inputs or lifted (``connections[0].group.name``)."""
        return self._connections()

    @property
    def ids(self) -> pulumi.Output[Sequence[str]]:
        """The IDs of the connections, sorted."""
        return self._output("connections").apply(partial(self._parse, parse_ids))

    def one(self) -> pulumi.Output[Connection]:
        """The only connection. That there is none, or that there are several, is an error that says what was found."""

        def only(found: Sequence[Connection]) -> Connection:
            if several := not_one(found):
                raise pulumi.RunError(f"{self._title}: {several}; change project, provider, group_ref or consumer_ref")
            return found[0]

        return self._connections().apply(only)

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


class ConnectionRef(_DataSource, module="ampersand", name="ConnectionRef"):
    """One connection, by its ID or by filters that exactly one matches; else like `Connections`.

    Its outputs are the connection's own fields, for interpolation: ``pulumi.Output.concat("crm/", crm.connection_id)``.
    That there is none, or that several match, is a failure of the resource, in a preview, too.

    Args:
        resource_name: The resource's name in the stack.
        connection_id: The connection's ID.
        project: See `Connections`.
        provider: See `Connections`.
        group_ref: See `Connections`.
        consumer_ref: See `Connections`.
        details: See `Connections`; of a connection by its ID, "auto" and "always" ask for the same.
        refresh: See `Connections`.
        expect: See `Connections`.
        settings: See `Connections`.
        opts: See `Connections`.

    Raises:
        pulumi.RunError: An argument can't be used; names it.
    """

    @named
    def __init__(  # noqa: PLR0913 - a filter is an argument
        self,
        resource_name: str,
        *,
        connection_id: pulumi.Input[str] | None = None,
        project: pulumi.Input[str] | None = None,
        provider: pulumi.Input[str] | None = None,
        group_ref: pulumi.Input[str] | None = None,
        consumer_ref: pulumi.Input[str] | None = None,
        details: pulumi.Input[Details] | None = None,
        refresh: pulumi.Input[Refresh] | None = None,
        expect: Expect | None = None,
        settings: Settings | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        asked = {
            "connection_id": connection_id,
            "project": project,
            "provider": provider,
            "group_ref": group_ref,
            "consumer_ref": consumer_ref,
            "details": details,
            "refresh": refresh,
        }
        super().__init__(resource_name, asked, expect, settings, opts, single=True)

    @property
    def connection(self) -> pulumi.Output[Connection]:
        """The connection as a whole."""

        def only(found: Sequence[Connection]) -> Connection:
            # The provider sees to it in previews and updates; a refresh records a connection that has vanished.
            if several := not_one(found):
                raise pulumi.RunError(f"{self._title}: {several}")
            return found[0]

        return self._connections().apply(only)

    @property
    def connection_id(self) -> pulumi.Output[str]:
        """The connection's ID."""
        return self._field(lambda found: found.id)

    @property
    def project(self) -> pulumi.Output[str]:
        """The project that was read, as it was asked for."""
        return self._output("project")

    @property
    def project_id(self) -> pulumi.Output[str | None]:
        """The ID of the Ampersand project that it belongs to."""
        return self._field(lambda found: found.project_id)

    @property
    def provider(self) -> pulumi.Output[str]:
        """The SaaS provider, "salesforce" for example."""
        return self._field(lambda found: found.provider)

    @property
    def healthy(self) -> pulumi.Output[bool]:
        """Whether the API's status says that the credentials were accepted (``created`` or ``working``)."""
        return self._field(lambda found: found.healthy)

    @property
    def auth_scheme(self) -> pulumi.Output[str | None]:
        """How it authenticates, "oauth2/authorizationCode" for example."""
        return self._field(lambda found: found.auth_scheme)

    @property
    def scopes(self) -> pulumi.Output[Sequence[str] | None]:
        """The granted scopes, sorted, each once. None: the API didn't say. Empty: nothing was granted."""
        return self._field(lambda found: found.scopes)

    @property
    def group_ref(self) -> pulumi.Output[str | None]:
        """The SaaS company's own ID of the customer."""
        return self._field(lambda found: found.group.ref if found.group else None)

    @property
    def group_name(self) -> pulumi.Output[str | None]:
        """The customer's name."""
        return self._field(lambda found: found.group.name if found.group else None)

    @property
    def consumer_ref(self) -> pulumi.Output[str | None]:
        """The SaaS company's own ID of the customer's user."""
        return self._field(lambda found: found.consumer.ref if found.consumer else None)

    @property
    def consumer_name(self) -> pulumi.Output[str | None]:
        """The name of the customer's user."""
        return self._field(lambda found: found.consumer.name if found.consumer else None)

    @property
    def provider_workspace_ref(self) -> pulumi.Output[str | None]:
        """The customer's workspace at the provider, a Salesforce subdomain for example."""
        return self._field(lambda found: found.provider_workspace_ref)

    @property
    def provider_consumer_ref(self) -> pulumi.Output[str | None]:
        """The provider's ID of the user."""
        return self._field(lambda found: found.provider_consumer_ref)

    @property
    def provider_app_id(self) -> pulumi.Output[str | None]:
        """The ID of the OAuth app that it was made with."""
        return self._field(lambda found: found.provider_app.id if found.provider_app else None)

    @property
    def provider_metadata(self) -> pulumi.Output[Mapping[str, str | None]]:
        """More about the provider's side: each value by its name."""
        return self._field(lambda found: {name: item.value for name, item in (found.provider_metadata or {}).items()})

    @property
    def create_time(self) -> pulumi.Output[str | None]:
        """When it was created, an RFC 3339 string."""
        return self._field(lambda found: found.create_time)

    def _field(self, read: Callable[[Connection], _T]) -> pulumi.Output[_T]:
        return self.connection.apply(read)


def _check(asked: Mapping[str, Any], expect: Any, settings: Any) -> None:
    """Refuse what can be seen to be wrong before anything is known of outputs.

    Raises:
        SettingsError: Names the argument.
    """
    Query(**{name: value for name, value in asked.items() if is_plain(value)})
    if expect is not None and not isinstance(expect, Expect):
        raise SettingsError("expect must be an Expect object")
    if settings is not None and not isinstance(settings, Settings):
        raise SettingsError("settings must be a Settings object")
