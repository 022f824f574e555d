"""The four rules as a plain script, with Python's own ``json``: what one writes in an hour.

Arguments: the saved answer, the file for what was found, and the time to judge by.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

REQUIRED_SCOPES: dict[str, list[list[str]]] = {
    "salesforce": [["api"], ["refresh_token", "offline_access"]],
    "hubspot": [["oauth"], ["crm.objects.contacts.read"]],
    "google": [["https://www.googleapis.com/auth/gmail.readonly"]],
    "microsoft": [["offline_access"], ["https://graph.microsoft.com/Mail.Read", "Mail.Read"]],
    "slack": [["channels:read"]],
}
DENIED_SCHEMES = {"none", "basic", "oauth2/password"}
MIN_LEFT = timedelta(days=7)


def parse_time(text: str) -> datetime:
    """Read a time as the API sends it."""
    # Before 3.11 a Z wasn't understood.
    return datetime.fromisoformat(text if sys.version_info >= (3, 11) else text.replace("Z", "+00:00"))


def breaches(connection: dict[str, Any], as_of: datetime) -> Iterator[tuple[str, str]]:
    """Give each rule that a connection breaks, and why."""
    if connection["status"] == "bad_credentials":
        yield "no-bad-credentials", "the provider refuses its credentials"
    if connection.get("authScheme") in DENIED_SCHEMES:
        yield "allowed-auth-schemes", f"its authentication scheme {connection['authScheme']} is denied"
    grant = connection.get("oauth2AuthorizationCode")
    if not grant:
        return
    missing = [
        " or ".join(choices)
        for choices in REQUIRED_SCOPES.get(connection["provider"], ())
        if not any(scope in grant["scopes"] for scope in choices)
    ]
    if missing:
        yield "required-scopes", f"not granted: {', '.join(missing)}"
    what = "refreshToken" if "refreshToken" in grant else "accessToken"
    expires = grant[what].get("expiresAt")
    if expires and parse_time(expires) - as_of < MIN_LEFT:
        yield "token-expiry", f"{what} expires at {expires}"


def main(source: str, target: str, time: str) -> None:
    """Judge all connections of a saved answer."""
    as_of = parse_time(time)
    with Path(source).open(encoding="utf-8") as file:
        connections = json.load(file)
    findings = []
    for connection in connections:
        for rule, cause in breaches(connection, as_of):
            about = f"{connection['id']} ({connection['provider']}, {connection['group']['groupName']})"
            findings.append({"rule": rule, "connection": connection["id"], "message": f"{about}: {cause}"})
    with Path(target).open("w", encoding="utf-8") as file:
        json.dump(findings, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
