"""Every class, function, argument and attribute of the package, used as a typed program uses them.

Type checkers read this file (`test_types`); nothing runs it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime

import httpx
import pulumi
from msgspec import UnsetType
from typing_extensions import assert_type

import pulumi_ampersand as ampersand
from pulumi_ampersand import (
    Access,
    AmpersandError,
    AnswerError,
    ApiError,
    AsyncClient,
    AuthenticationError,
    Client,
    Connection,
    ConnectionRef,
    Connections,
    Consumer,
    DeadlineExceededError,
    Details,
    Expect,
    Group,
    Limits,
    MetadataItem,
    NotFoundError,
    Observation,
    PermissionDeniedError,
    Project,
    ProviderApp,
    RateLimitedError,
    Refresh,
    ServerError,
    Settings,
    SettingsError,
    Token,
    TransportError,
    get_access_token,
    get_connection,
    get_connection_output,
    get_connections,
    get_connections_output,
    get_projects,
    get_projects_output,
)
from pulumi_ampersand.answers import AccessToken

text: str = "salesforce"
later: pulumi.Output[str] = pulumi.Output.from_input("salesforce")
maybe: pulumi.Output[str | None] = pulumi.Output.from_input(None)
details: Details = "always"
refresh: Refresh = "ifExpired"

# How to reach the API, and what to expect.

settings = Settings(
    api_key_config="ampersand:apiKeyEu",
    api_key_env="AMP_API_KEY_EU",
    project="eu",
    api_url="https://api.example.com",
    proxy="http://proxy.example.com:8080",
    ca_file="ca.pem",
    timeout=30,
    concurrency=4,
)
assert_type(settings.api_key_config, str | None)
assert_type(settings.api_key_env, str | None)
assert_type(settings.project, str | None)
assert_type(settings.api_url, str | None)
assert_type(settings.proxy, str | None)
assert_type(settings.ca_file, str | None)
assert_type(settings.timeout, float | None)
assert_type(settings.concurrency, int | None)

access = settings.resolve({"ampersand:apiKeyEu": "key"}, os.environ)
assert_type(access, Access)
assert_type(access.api_key.reveal(), str)
assert_type(access.api_url, str)
assert_type(access.proxy, str | None)
assert_type(access.ca_file, str | None)
assert_type(access.timeout, float)
assert_type(access.concurrency, int)
assert_type(settings.project_in({}, {}), str)

expect = Expect(min=1, max=10, healthy=True, scopes=["api", ["refresh_token", "offline_access"]], workspace="acme.*")
Expect(min=pulumi.Output.from_input(1), workspace=later, scopes=[later, "api"], healthy=pulumi.Output.from_input(True))

# The data sources.

crm = Connections("crm")
Connections(
    "whole",
    project=text,
    provider=text,
    group_ref=text,
    consumer_ref=text,
    details=details,
    refresh=refresh,
    expect=expect,
    settings=settings,
    opts=pulumi.ResourceOptions(depends_on=[crm]),
)
Connections(
    "outputs",
    project=later,
    provider=later,
    group_ref=later,
    consumer_ref=later,
    details=pulumi.Output.from_input(details),
    refresh=pulumi.Output.from_input(refresh),
)
Connections("words", details="never", refresh="ifExpired")
assert_type(crm.connections, pulumi.Output[Sequence[Connection]])
assert_type(crm.ids, pulumi.Output[Sequence[str]])
assert_type(crm.one(), pulumi.Output[Connection])
assert_type(crm.project, pulumi.Output[str])
assert_type(crm.provider, pulumi.Output[str | None])
assert_type(crm.group_ref, pulumi.Output[str | None])
assert_type(crm.consumer_ref, pulumi.Output[str | None])
assert_type(crm.urn, pulumi.Output[str])


def healthy(found: Sequence[Connection]) -> list[str]:
    """What a program makes of connections."""
    return [connection.id for connection in found if connection.healthy]


assert_type(crm.connections.apply(healthy), pulumi.Output[list[str]])
assert_type(crm.one().apply(lambda connection: connection.provider_workspace_ref), pulumi.Output[str | None])
pulumi.export("connections", crm.connections)
pulumi.export("name", crm.connections[0]["group"]["groupName"])

one = ConnectionRef("one", connection_id=text)
ConnectionRef(
    "filtered",
    connection_id=later,
    project=text,
    provider=text,
    group_ref=text,
    consumer_ref=text,
    details=details,
    refresh=refresh,
    expect=expect,
    settings=settings,
    opts=pulumi.ResourceOptions(parent=crm),
)
assert_type(one.connection, pulumi.Output[Connection])
assert_type(one.connection_id, pulumi.Output[str])
assert_type(one.project, pulumi.Output[str])
assert_type(one.project_id, pulumi.Output[str | None])
assert_type(one.provider, pulumi.Output[str])
assert_type(one.healthy, pulumi.Output[bool])
assert_type(one.auth_scheme, pulumi.Output[str | None])
assert_type(one.scopes, pulumi.Output[Sequence[str] | None])
assert_type(one.group_ref, pulumi.Output[str | None])
assert_type(one.group_name, pulumi.Output[str | None])
assert_type(one.consumer_ref, pulumi.Output[str | None])
assert_type(one.consumer_name, pulumi.Output[str | None])
assert_type(one.provider_workspace_ref, pulumi.Output[str | None])
assert_type(one.provider_consumer_ref, pulumi.Output[str | None])
assert_type(one.provider_app_id, pulumi.Output[str | None])
assert_type(one.provider_metadata, pulumi.Output[Mapping[str, str | None]])
assert_type(one.create_time, pulumi.Output[str | None])
assert_type(pulumi.Output.concat("crm/", one.connection_id), pulumi.Output[str])

# The functions.

found = get_connections(
    project=text,
    provider=text,
    group_ref=text,
    consumer_ref=text,
    details=details,
    refresh=refresh,
    settings=settings,
)
assert_type(found, list[Connection])
assert_type(get_connections(), list[Connection])
assert_type(
    get_connections_output(
        project=maybe,
        provider=later,
        group_ref=later,
        consumer_ref=text,
        details=pulumi.Output.from_input(details),
        refresh=refresh,
        settings=settings,
        opts=pulumi.InvokeOutputOptions(depends_on=[crm]),
    ),
    pulumi.Output[list[Connection]],
)
connection = get_connection(
    text,
    project=text,
    provider=text,
    group_ref=text,
    consumer_ref=text,
    details=details,
    refresh=refresh,
    settings=settings,
)
assert_type(connection, Connection)
assert_type(get_connection(connection_id=text), Connection)
assert_type(
    get_connection_output(
        later,
        project=later,
        provider=later,
        group_ref=later,
        consumer_ref=later,
        details=details,
        refresh=refresh,
        settings=settings,
        opts=pulumi.InvokeOutputOptions(),
    ),
    pulumi.Output[Connection],
)
assert_type(get_projects(settings=settings), list[Project])
assert_type(get_projects_output(settings=settings, opts=pulumi.InvokeOutputOptions()), pulumi.Output[list[Project]])
assert_type(get_access_token(later, project=maybe, refresh=refresh, settings=settings), pulumi.Output[str])
assert_type(get_access_token(connection_id=one.connection_id), pulumi.Output[str])

# The values.

assert_type(connection.id, str)
assert_type(connection.provider, str)
assert_type(connection.healthy, bool)
assert_type(connection.project_id, str | None)
assert_type(connection.auth_scheme, str | None)
assert_type(connection.group, Group | None)
assert_type(connection.consumer, Consumer | None)
assert_type(connection.provider_workspace_ref, str | None)
assert_type(connection.provider_consumer_ref, str | None)
assert_type(connection.scopes, Sequence[str] | None)
assert_type(connection.provider_app, ProviderApp | None)
assert_type(connection.provider_metadata, dict[str, MetadataItem] | None)
assert_type(connection.create_time, str | None)
assert_type(connection.customer, str)


def of_group(group: Group) -> None:
    """The customer."""
    assert_type(group.ref, str | None)
    assert_type(group.name, str | None)
    assert_type(group.project_id, str | None)
    assert_type(group.create_time, str | None)


def of_consumer(consumer: Consumer) -> None:
    """The customer's user."""
    assert_type(consumer.ref, str | None)
    assert_type(consumer.name, str | None)
    assert_type(consumer.project_id, str | None)
    assert_type(consumer.create_time, str | None)


def of_provider_app(app: ProviderApp) -> None:
    """The OAuth app."""
    assert_type(app.id, str | None)
    assert_type(app.project_id, str | None)
    assert_type(app.external_ref, str | None)
    assert_type(app.provider, str | None)
    assert_type(app.client_id, str | None)
    assert_type(app.scopes, Sequence[str] | None)
    assert_type(app.create_time, str | None)


def of_metadata(item: MetadataItem) -> None:
    """A value that describes the provider's side."""
    assert_type(item.value, str | None)
    assert_type(item.source, str | None)
    assert_type(item.display_name, str | None)


def of_project(project: Project) -> None:
    """An Ampersand project."""
    assert_type(project.id, str)
    assert_type(project.name, str)
    assert_type(project.app_name, str | None)
    assert_type(project.org_id, str | None)
    assert_type(project.create_time, str | None)


def of_observation(observation: Observation) -> None:
    """How a connection was found."""
    assert_type(observation.id, str)
    assert_type(observation.status, str | None)
    assert_type(observation.update_time, str | None)
    assert_type(observation.oauth, bool)
    assert_type(observation.access_token, Token | None)
    assert_type(observation.refresh_token, Token | UnsetType | None)
    assert_type(observation.gaps, dict[str, str])


def of_token(token: Token) -> None:
    """When a token was issued and when it expires."""
    assert_type(token.issued_at, str | None)
    assert_type(token.expires_at, str | None)


# The clients.

limits = Limits(connect=1, read=2, total=3, attempts=4, answer=5)
assert_type(Limits.within(30), Limits)
assert_type(limits.connect, float)
assert_type(limits.read, float)
assert_type(limits.total, float)
assert_type(limits.attempts, int)
assert_type(limits.answer, int)

Found = tuple[Connection, Observation]


def blocking() -> None:
    """Calls that block."""
    with Client(access, limits=limits, transport=httpx.HTTPTransport()) as client:
        assert_type(client, Client)
        listed = client.list_connections(
            text, provider=text, group_ref=text, consumer_ref=text, details=details, refresh=refresh
        )
        assert_type(listed, list[Found])
        assert_type(client.with_details(text, listed, details=details, refresh=refresh), list[Found])
        assert_type(client.get_several(text, [text], refresh=refresh), dict[str, Found | AmpersandError])
        assert_type(client.get_connection(text, text, details=details, refresh=refresh), Found)
        assert_type(client.get_access_token(text, text, refresh=refresh), AccessToken)
        assert_type(client.get_access_token(text, text).reveal(), str)
        assert_type(client.list_projects(), list[Project])
        assert_type(client.reauthorization_url(text, text), str)
    client.close()


async def awaited() -> None:
    """Calls in the caller's event loop."""
    async with AsyncClient(access, limits=limits, transport=httpx.AsyncHTTPTransport()) as client:
        assert_type(client, AsyncClient)
        listed = await client.list_connections(
            text, provider=text, group_ref=text, consumer_ref=text, details=details, refresh=refresh
        )
        assert_type(listed, list[Found])
        assert_type(await client.with_details(text, listed, details=details, refresh=refresh), list[Found])
        assert_type(await client.get_several(text, [text], refresh=refresh), dict[str, Found | AmpersandError])
        assert_type(await client.get_connection(text, text, details=details, refresh=refresh), Found)
        assert_type(await client.get_access_token(text, text, refresh=refresh), AccessToken)
        assert_type(await client.list_projects(), list[Project])
        assert_type(await client.reauthorization_url(text, text), str)
    await client.aclose()


# The errors.


def failed(error: ApiError) -> None:
    """What the API refused or failed at."""
    assert_type(error.status, int)
    assert_type(error.detail, str)
    assert_type(error.remedy, str)
    assert_type(error.request_id, str)
    assert_type(error.retryable, bool | None)
    assert_type(error.retry_after, datetime | None)


def caught() -> str:
    """Every error is an `AmpersandError`."""
    try:
        get_connections()
    except (AuthenticationError, PermissionDeniedError, NotFoundError, RateLimitedError, ServerError) as error:
        failed(error)
    except (SettingsError, DeadlineExceededError, AnswerError) as error:
        return str(error)
    except TransportError:
        return "outage"
    except AmpersandError as error:
        return str(error)
    return ampersand.__version__
