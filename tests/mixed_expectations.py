"""What each connection of the sandbox's scenario ``mixed`` breaks: the table that the tests of sandbox and rules share.

The figures hold with `CONFIGURATION`, which gives `required-scopes` the options that it needs.
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

BREAKS: Mapping[str, frozenset[str]] = {
    "conn_brightwater_salesforce": frozenset(),
    "conn_aster_hubspot": frozenset(),
    "conn_koyo_slack": frozenset(),
    "conn_lumen_gong": frozenset(),
    "conn_tidewell_salesforce": frozenset({"no-bad-credentials"}),
    "conn_orchard_hubspot": frozenset({"required-scopes"}),
    "conn_halden_salesforce": frozenset({"required-scopes", "token-expiry"}),
    "conn_fjordlys_microsoft": frozenset({"token-expiry"}),
    "conn_meble_google": frozenset({"token-expiry"}),
    "conn_cobalt_salesforce": frozenset({"verifiable-connections"}),
    "conn_vantage_slack": frozenset({"verifiable-connections"}),
    "conn_pelican_jira": frozenset(),
}
"""Of the rules `no-bad-credentials`, `required-scopes`, `token-expiry` and `verifiable-connections`, what each breaks.

`readable-connections` is broken by a fault, not by data.
"""

ALSO_BREAKS: Mapping[str, frozenset[str]] = {
    "conn_orchard_hubspot": frozenset({"provider-app-scopes"}),
    "conn_halden_salesforce": frozenset({"refreshable"}),
    "conn_meble_google": frozenset({"refreshable"}),
    "conn_cobalt_salesforce": frozenset({"refreshable"}),
    "conn_pelican_jira": frozenset({"allowed-auth-schemes"}),
}
"""Other rules, active by default, that a connection breaks."""

NOT_EVALUATED: Mapping[str, frozenset[str]] = {
    "conn_cobalt_salesforce": frozenset({"required-scopes", "token-expiry"}),
}
"""Of the rules in `BREAKS`, those that a connection has no data for."""
