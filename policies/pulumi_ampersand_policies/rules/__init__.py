"""The rules, one module each. This list is the only one: packs, reports and documentation follow it."""

from __future__ import annotations

from typing import Any, Final

from pulumi_ampersand_policies.rule import Rule
from pulumi_ampersand_policies.rules import (
    access_token_expiry,
    allowed_auth_schemes,
    allowed_providers,
    allowed_scopes,
    allowed_workspaces,
    connection_schema,
    credential_age,
    forbidden_scopes,
    idle_connections,
    no_bad_credentials,
    provider_app_scopes,
    readable_connections,
    refreshable,
    required_connections,
    required_scopes,
    same_project,
    token_expiry,
    unique_connections,
    verifiable_connections,
)

RULES: Final[tuple[Rule[Any], ...]] = (
    no_bad_credentials.RULE,
    required_scopes.RULE,
    token_expiry.RULE,
    access_token_expiry.RULE,
    refreshable.RULE,
    credential_age.RULE,
    provider_app_scopes.RULE,
    forbidden_scopes.RULE,
    allowed_scopes.RULE,
    allowed_auth_schemes.RULE,
    allowed_providers.RULE,
    allowed_workspaces.RULE,
    same_project.RULE,
    unique_connections.RULE,
    idle_connections.RULE,
    required_connections.RULE,
    connection_schema.RULE,
    verifiable_connections.RULE,
    readable_connections.RULE,
)
