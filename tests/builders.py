"""Connections as the API sends them, and inventories of them, for tests that judge connections."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from pulumi_ampersand.answers import read_connections
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.sandbox import Project

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=timezone.utc)
"""The time that tests judge by."""


def at(**distance: float) -> str:
    """The RFC 3339 time so far from `NOW` (``days=3``, ``seconds=-1``)."""
    return (NOW + timedelta(**distance)).isoformat().replace("+00:00", "Z")


def grant(refresh: Any = None, access: Any = None, scopes: Any = ("api",)) -> dict[str, Any]:
    """An authorization-code grant.

    Args:
        refresh: When the refresh token expires; None: never; False: there is no refresh token.
        access: When the access token expires; None: it doesn't say; False: there is no access token.
        scopes: The granted scopes; None: it doesn't say.
    """
    tokens = {
        name: {"token": f"CANARY-{name}", "issuedAt": at(days=-30), "expiresAt": expiry}
        for name, expiry in (("refreshToken", refresh), ("accessToken", access))
        if expiry is not False
    }
    return {**tokens, "scopes": scopes}


def sent(connection_id: str = "conn_1", /, **changes: Any) -> dict[str, Any]:
    """A connection that keeps every rule, with some fields changed; None leaves one out."""
    connection: dict[str, Any] = {
        "id": connection_id,
        "projectId": "proj_1",
        "provider": "salesforce",
        "status": "working",
        "authScheme": "oauth2/authorizationCode",
        "group": {"groupRef": "acme", "groupName": "Acme Ltd"},
        "consumer": {"consumerRef": "acme-jo", "consumerName": "Jo"},
        "oauth2AuthorizationCode": grant(),
    }
    return {name: value for name, value in (connection | changes).items() if value is not None}


def answer(*connections: Any) -> bytes:
    """The API's answer that lists these connections."""
    return json.dumps(connections).encode()


def inventory(*connections: Any, project: str = "proj_1") -> Inventory:
    """Connections from an answer in which a refresh token that isn't there doesn't exist: a saved one, say."""
    return Inventory.from_answer(answer(*connections), project)


def listed(*connections: Any, project: str = "proj_1") -> Inventory:
    """Connections from a list, which may leave refresh tokens out."""
    return Inventory(read_connections(answer(*connections)), project)


def two_projects(**changes: Any) -> list[Project]:
    """Two projects for a sandbox: ``first`` with connections a, b and c, ``second`` with d, which may be changed."""
    return [
        Project(
            id="proj_1",
            name="first",
            connections=[
                sent("a", provider="hubspot"),
                sent("b", group={"groupRef": "globex"}),
                sent("c", consumer={"consumerRef": "jim"}, status="bad_credentials"),
            ],
        ),
        Project(id="proj_2", name="second", connections=[sent("d", projectId="proj_2", **changes)]),
    ]
