"""What each connection of the sandbox's scenario ``mixed`` breaks: the table that the tests of sandbox and rules share.

It holds with `CONFIGURATION`, which gives `required-scopes` the options that it needs.
"""

from collections.abc import Mapping
from typing import Any

CONFIGURATION: Mapping[str, Any] = {
    "required-scopes": {
        "enforcementLevel": "mandatory",
        "scopes": {
            "salesforce": ["api", ["refresh_token", "offline_access"]],
            "hubspot": ["crm.objects.contacts.read"],
        },
    },
}
"""The policy configuration under which the expectations hold: of every other rule the defaults."""

EVERY_RULE: Mapping[str, Any] = {
    "all": "mandatory",
    "required-scopes": {"scopes": {"*": ["api"]}},
    "forbidden-scopes": {"scopes": {"*": ["*admin*"]}},
    "allowed-scopes": {"scopes": {"*": ["*"]}},
    "allowed-providers": {"deny": ["gong"]},
    "allowed-workspaces": {"workspaces": {"*": ".*"}},
    "required-connections": {"require": [{"provider": "salesforce"}]},
    "connection-schema": {"schema": {"required": ["id"]}},
}
"""A configuration under which every rule is evaluated. The test kit's connection keeps them all."""

BREAKS: Mapping[str, frozenset[str]] = {
    "conn_brightwater_salesforce": frozenset(),
    "conn_aster_hubspot": frozenset(),
    "conn_koyo_slack": frozenset(),
    "conn_lumen_gong": frozenset(),
    "conn_tidewell_salesforce": frozenset({"no-bad-credentials"}),
    "conn_orchard_hubspot": frozenset({"required-scopes", "provider-app-scopes"}),
    "conn_halden_salesforce": frozenset({"required-scopes", "token-expiry", "refreshable"}),
    "conn_fjordlys_microsoft": frozenset({"token-expiry"}),
    "conn_meble_google": frozenset({"token-expiry", "refreshable"}),
    "conn_cobalt_salesforce": frozenset({"refreshable", "verifiable-connections"}),
    "conn_vantage_slack": frozenset({"verifiable-connections"}),
    "conn_pelican_jira": frozenset({"allowed-auth-schemes"}),
}
"""Which rules each breaks, where the API also told which connections have no refresh token."""

NOT_EVALUATED: Mapping[str, frozenset[str]] = {
    "conn_cobalt_salesforce": frozenset({"required-scopes", "token-expiry", "provider-app-scopes"}),
}
"""Which rules a connection has no data for."""

LIST_LEAVES_OPEN: Mapping[str, frozenset[str]] = {
    name: frozenset({"token-expiry", "refreshable", "credential-age"})
    for name in ("conn_halden_salesforce", "conn_meble_google", "conn_cobalt_salesforce")
}
"""Which rules can't be judged for connections without a refresh token by a list alone, which may leave tokens out."""
