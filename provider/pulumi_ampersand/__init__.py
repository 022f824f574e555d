"""Ampersand connections in Pulumi programs.

A connection is one customer's credentials for one SaaS provider. `Connections` reads those of a project into a stack::

    import pulumi
    import pulumi_ampersand as ampersand

    crm = ampersand.Connections("crm", provider="salesforce", group_ref="acme")
    pulumi.export("connection", crm.one().id)

Results are `Connection` values, known during a preview. They never hold credentials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi_ampersand._version import __version__

if TYPE_CHECKING:
    from pulumi_ampersand.answers import AccessToken
    from pulumi_ampersand.client import AsyncClient, Client
    from pulumi_ampersand.connections import ConnectionRef, Connections
    from pulumi_ampersand.details import Refresh
    from pulumi_ampersand.errors import (
        AmpersandError,
        AnswerError,
        ApiError,
        AuthenticationError,
        DeadlineExceededError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitedError,
        ServerError,
        SettingsError,
        TransportError,
    )
    from pulumi_ampersand.exchange import Limits
    from pulumi_ampersand.expectation import Expect
    from pulumi_ampersand.functions import (
        get_access_token,
        get_connection,
        get_connection_output,
        get_connections,
        get_connections_output,
        get_projects,
        get_projects_output,
    )
    from pulumi_ampersand.model import (
        Connection,
        Consumer,
        Found,
        Group,
        MetadataItem,
        Observation,
        Project,
        ProviderApp,
        Token,
    )
    from pulumi_ampersand.settings import Access, ApiKey, Details, Settings

__all__ = [
    "Access",
    "AccessToken",
    "AmpersandError",
    "AnswerError",
    "ApiError",
    "ApiKey",
    "AsyncClient",
    "AuthenticationError",
    "Client",
    "Connection",
    "ConnectionRef",
    "Connections",
    "Consumer",
    "DeadlineExceededError",
    "Details",
    "Expect",
    "Found",
    "Group",
    "Limits",
    "MetadataItem",
    "NotFoundError",
    "Observation",
    "PermissionDeniedError",
    "Project",
    "ProviderApp",
    "RateLimitedError",
    "Refresh",
    "ServerError",
    "Settings",
    "SettingsError",
    "Token",
    "TransportError",
    "__version__",
    "get_access_token",
    "get_connection",
    "get_connection_output",
    "get_connections",
    "get_connections_output",
    "get_projects",
    "get_projects_output",
]

_MODULES = {
    "answers": ("AccessToken",),
    "client": ("AsyncClient", "Client"),
    "connections": ("ConnectionRef", "Connections"),
    "details": ("Refresh",),
    "exchange": ("Limits",),
    "expectation": ("Expect",),
    "functions": (
        "get_access_token",
        "get_connection",
        "get_connection_output",
        "get_connections",
        "get_connections_output",
        "get_projects",
        "get_projects_output",
    ),
    "model": (
        "Connection",
        "Consumer",
        "Found",
        "Group",
        "MetadataItem",
        "Observation",
        "Project",
        "ProviderApp",
        "Token",
    ),
    "settings": ("Access", "ApiKey", "Details", "Settings"),
}
"""Where each name is, but for the errors."""


def __getattr__(name: str) -> Any:
    """Import what is asked for: packs and audits use the model without paying for the Pulumi SDK."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - likewise

    module = next((module for module, names in _MODULES.items() if name in names), "errors")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
