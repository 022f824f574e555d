"""Functions that read the API: at once (``get_x``), or as an output (``get_x_output``).

In a Pulumi program they use the stack's configuration, and what one run asks for twice is asked for once. In any other
script they use the environment, and ask each time. They are no resources: policy packs don't see what they read, and
nothing of it lies in the state unless the program puts it there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pulumi_ampersand.arguments import named
from pulumi_ampersand.details import Refresh
from pulumi_ampersand.errors import AmpersandError, SettingsError, plain_errors
from pulumi_ampersand.expectation import describe, not_one
from pulumi_ampersand.model import DETAILS_GAP, Connection, Found, Project
from pulumi_ampersand.program import reading
from pulumi_ampersand.query import Query
from pulumi_ampersand.settings import Details, Settings

if TYPE_CHECKING:
    from pulumi import Input, InvokeOutputOptions, Output

    from pulumi_ampersand.reads import Reads

_T = TypeVar("_T")


@named
def get_connections(  # noqa: PLR0913 - a filter is an argument
    *,
    project: str | None = None,
    provider: str | None = None,
    group_ref: str | None = None,
    consumer_ref: str | None = None,
    details: Details | None = None,
    refresh: Refresh | None = None,
    settings: Settings | None = None,
) -> list[Connection]:
    """The connections of an Ampersand project, sorted by ID.

    Args:
        project: The project, ID or name; by default that of `settings`, ``ampersand:project`` or AMP_PROJECT.
        provider: Only connections to this SaaS provider, "salesforce" for example.
        group_ref: Only connections of this group (the customer).
        consumer_ref: Only connections of this consumer (the customer's user).
        details: Whether to ask for connections one by one for what their list leaves out, granted scopes among them:
            "auto" where an OAuth connection lacks them, for 1,000 at the most; "always"; "never". By default
            ``ampersand:details``, else "auto". What could not be had is a warning.
        refresh: "ifExpired" has the API refresh access tokens that have expired. **This changes the connections**, in a
            preview, too.
        settings: How to reach the API, where that isn't what configuration and environment say.

    Raises:
        AmpersandError: They could not be read; see `pulumi_ampersand.errors`.
    """
    with plain_errors():
        query = Query(
            project=project,
            provider=provider,
            group_ref=group_ref,
            consumer_ref=consumer_ref,
            details=details,
            refresh=refresh,
        )
        with reading(settings) as source:
            return read_connections(source, query)


@named
def get_connections_output(  # noqa: PLR0913 - likewise
    *,
    project: Input[str | None] | None = None,
    provider: Input[str | None] | None = None,
    group_ref: Input[str | None] | None = None,
    consumer_ref: Input[str | None] | None = None,
    details: Input[Details | None] | None = None,
    refresh: Input[Refresh | None] | None = None,
    settings: Settings | None = None,
    opts: InvokeOutputOptions | None = None,
) -> Output[list[Connection]]:
    """`get_connections` with arguments that may be outputs.

    While one of them isn't known, nothing is read, and the result isn't known; with a secret one it is secret.

    Args:
        project: See `get_connections`.
        provider: See `get_connections`.
        group_ref: See `get_connections`.
        consumer_ref: See `get_connections`.
        details: See `get_connections`.
        refresh: See `get_connections`.
        settings: See `get_connections`.
        opts: Of Pulumi's options, ``depends_on`` counts: what is read isn't known before those resources are there.
    """
    return _output(
        read_connections,
        settings,
        opts,
        project=project,
        provider=provider,
        group_ref=group_ref,
        consumer_ref=consumer_ref,
        details=details,
        refresh=refresh,
    )


@named
def get_connection(  # noqa: PLR0913 - likewise
    connection_id: str | None = None,
    *,
    project: str | None = None,
    provider: str | None = None,
    group_ref: str | None = None,
    consumer_ref: str | None = None,
    details: Details | None = None,
    refresh: Refresh | None = None,
    settings: Settings | None = None,
) -> Connection:
    """One connection, by its ID or by filters that exactly one matches.

    Args:
        connection_id: The connection's ID.
        project: See `get_connections`.
        provider: See `get_connections`.
        group_ref: See `get_connections`.
        consumer_ref: See `get_connections`.
        details: See `get_connections`; of a connection by its ID, "auto" and "always" ask for the same.
        refresh: See `get_connections`.
        settings: See `get_connections`.

    Raises:
        NotFoundError: There is none with that ID.
        AmpersandError: None or several match, or nothing could be read; see `pulumi_ampersand.errors`.
    """
    with plain_errors():
        query = Query(
            project=project,
            connection_id=connection_id,
            provider=provider,
            group_ref=group_ref,
            consumer_ref=consumer_ref,
            details=details,
            refresh=refresh,
        )
        with reading(settings) as source:
            return read_connection(source, query)


@named
def get_connection_output(  # noqa: PLR0913 - likewise
    connection_id: Input[str | None] | None = None,
    *,
    project: Input[str | None] | None = None,
    provider: Input[str | None] | None = None,
    group_ref: Input[str | None] | None = None,
    consumer_ref: Input[str | None] | None = None,
    details: Input[Details | None] | None = None,
    refresh: Input[Refresh | None] | None = None,
    settings: Settings | None = None,
    opts: InvokeOutputOptions | None = None,
) -> Output[Connection]:
    """`get_connection` with arguments that may be outputs; see `get_connections_output`.

    Args:
        connection_id: See `get_connection`.
        project: See `get_connections`.
        provider: See `get_connections`.
        group_ref: See `get_connections`.
        consumer_ref: See `get_connections`.
        details: See `get_connection`.
        refresh: See `get_connections`.
        settings: See `get_connections`.
        opts: See `get_connections_output`.
    """
    return _output(
        read_connection,
        settings,
        opts,
        project=project,
        connection_id=connection_id,
        provider=provider,
        group_ref=group_ref,
        consumer_ref=consumer_ref,
        details=details,
        refresh=refresh,
    )


@named
def get_projects(*, settings: Settings | None = None) -> list[Project]:
    """The Ampersand projects that the API key can read, sorted by ID.

    Args:
        settings: See `get_connections`.

    Raises:
        AmpersandError: They could not be read; see `pulumi_ampersand.errors`.
    """
    with plain_errors(), reading(settings) as source:
        return read_projects(source, Query())


@named
def get_projects_output(
    *, settings: Settings | None = None, opts: InvokeOutputOptions | None = None
) -> Output[list[Project]]:
    """`get_projects` as an output.

    Args:
        settings: See `get_connections`.
        opts: See `get_connections_output`.
    """
    return _output(read_projects, settings, opts)


@named
def get_access_token(
    connection_id: Input[str],
    *,
    project: Input[str | None] | None = None,
    refresh: Input[Refresh | None] | None = None,
    settings: Settings | None = None,
) -> Output[str]:
    """A connection's access token, as a secret output.

    **It is a credential of your customer's.** Whatever it is passed to has it: a resource's inputs and the stack's
    outputs keep it in the state, encrypted with the stack's key, and so can everybody read it who may use that key.
    It expires soon, often within an hour. Where a service can ask Ampersand itself, let it.

    Nothing is fetched before the value is used: passed to a resource, exported, or asked for by ``apply``; then it is
    fetched in previews, too.

    Args:
        connection_id: The connection's ID.
        project: See `get_connections`.
        refresh: "ifExpired" has the API refresh it first if it has expired. **This changes the connection**, in a
            preview, too.
        settings: See `get_connections`.
    """
    from pulumi_ampersand.lazy import LazyOutput  # noqa: PLC0415 - needs the SDK

    def fetch() -> Output[str]:
        from pulumi import Output  # noqa: PLC0415 - likewise

        return Output.secret(
            _output(read_access_token, settings, None, project=project, connection_id=connection_id, refresh=refresh)
        )

    return LazyOutput(fetch)


def read_connections(source: Reads, query: Query) -> list[Connection]:
    """What `get_connections` reads.

    Args:
        source: What this run reads.
        query: What to read.

    Raises:
        AmpersandError: See `get_connections`.
    """
    return [connection for connection, _ in _found(source, query)]


def read_connection(source: Reads, query: Query) -> Connection:
    """What `get_connection` reads; see `read_connections`."""
    found = read_connections(source, query)
    if several := not_one(found):
        raise AmpersandError(f"{several}; change project, connection_id, provider, group_ref or consumer_ref")
    return found[0]


def _found(source: Reads, query: Query) -> list[Found]:
    found = sorted(source.connections(query), key=lambda pair: pair[0].id)
    gaps = [(connection, seen.gaps[DETAILS_GAP]) for connection, seen in found if DETAILS_GAP in seen.gaps]
    if gaps:
        more = f" (and {len(gaps) - 1} more)" if len(gaps) > 1 else ""
        source.warn(f"{describe(gaps[0][0])}{more}: {gaps[0][1]}")
    return found


def read_projects(source: Reads, _query: Query) -> list[Project]:
    """What `get_projects` reads; see `read_connections`."""
    return sorted(source.projects(), key=lambda project: project.id)


def read_access_token(source: Reads, query: Query) -> str:
    """What `get_access_token` reads; see `read_connections`."""
    return source.access_token(query)


def _output(
    read: Callable[..., _T], settings: Settings | None, opts: InvokeOutputOptions | None, **arguments: Any
) -> Output[_T]:
    """What a function reads, as an output, without keeping the program from going on."""
    import asyncio  # noqa: PLC0415 - loaded by the SDK

    from pulumi import InvokeOutputOptions, Output  # noqa: PLC0415 - needs the SDK

    from pulumi_ampersand.dependencies import changing, there  # noqa: PLC0415 - likewise

    with plain_errors():
        if not isinstance(opts, InvokeOutputOptions | None):
            raise SettingsError("opts must be a pulumi.InvokeOutputOptions object")
    depends_on = opts.depends_on if opts is not None else None

    def work(asked: Mapping[str, Any], after: Sequence[str]) -> _T:
        with plain_errors(), reading(settings) as source:
            return read(source.after(after), Query(**asked))

    def start(known: Mapping[str, Any]) -> Awaitable[_T]:
        return asyncio.to_thread(work, known["arguments"], known["after"] or ())

    after = changing(arguments.values(), depends_on)
    return Output.all(arguments=arguments, after=after, there=there(depends_on)).apply(start)
