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
    from pulumi_ampersand.connections import Connections
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
    from pulumi_ampersand.model import Connection, Consumer, Group, MetadataItem, ProviderApp

__all__ = [
    "AmpersandError",
    "AnswerError",
    "ApiError",
    "AuthenticationError",
    "Connection",
    "Connections",
    "Consumer",
    "DeadlineExceededError",
    "Group",
    "MetadataItem",
    "NotFoundError",
    "PermissionDeniedError",
    "ProviderApp",
    "RateLimitedError",
    "ServerError",
    "SettingsError",
    "TransportError",
    "__version__",
]

_MODULES = {
    "Connections": "connections",
    **dict.fromkeys(("Connection", "Consumer", "Group", "MetadataItem", "ProviderApp"), "model"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: packs and audits use the model without paying for the Pulumi SDK."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - likewise

    value = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
