"""The four rules as a policy pack on Pulumi's own SDK: what its documentation leads one to write.

The connections are those that a program has handed to a resource, or with PEER_READS_API set, those that the pack reads
from the API when it is shown the stack itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

import httpx
from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)

REQUIRED_SCOPES: dict[str, list[list[str]]] = {
    "salesforce": [["api"], ["refresh_token", "offline_access"]],
    "hubspot": [["oauth"], ["crm.objects.contacts.read"]],
    "google": [["https://www.googleapis.com/auth/gmail.readonly"]],
    "microsoft": [["offline_access"], ["https://graph.microsoft.com/Mail.Read", "Mail.Read"]],
    "slack": [["channels:read"]],
}
DENIED_SCHEMES = {"none", "basic", "oauth2/password"}
LIMIT = datetime.now(timezone.utc) + timedelta(days=7)

Rule = Callable[[Any], "str | None"]


def parse_time(text: str) -> datetime:
    """Read a time as the API sends it."""
    # Before 3.11 a Z wasn't understood.
    return datetime.fromisoformat(text if sys.version_info >= (3, 11) else text.replace("Z", "+00:00"))


def no_bad_credentials(connection: Any) -> str | None:
    """The provider accepts what it is shown."""
    return "the provider refuses its credentials" if connection["status"] == "bad_credentials" else None


def required_scopes(connection: Any) -> str | None:
    """All that is needed was granted."""
    grant = connection.get("oauth2AuthorizationCode")
    missing = [
        " or ".join(choices)
        for choices in (REQUIRED_SCOPES.get(connection["provider"], ()) if grant else ())
        if not any(scope in grant["scopes"] for scope in choices)
    ]
    return f"not granted: {', '.join(missing)}" if missing else None


def token_expiry(connection: Any) -> str | None:
    """It will be valid for a week."""
    grant = connection.get("oauth2AuthorizationCode") or {}
    what = "refreshToken" if "refreshToken" in grant else "accessToken"
    expires = grant.get(what, {}).get("expiresAt")
    return f"{what} expires at {expires}" if expires and parse_time(expires) < LIMIT else None


def allowed_auth_schemes(connection: Any) -> str | None:
    """The customer authenticates in a way that is allowed."""
    scheme = connection.get("authScheme")
    return f"its authentication scheme {scheme} is denied" if scheme in DENIED_SCHEMES else None


@cache
def read_api() -> Any:
    """All connections of the project, read once for all policies."""
    root, project = os.environ["AMP_API_URL"], os.environ["AMP_PROJECT"]
    headers = {"X-Api-Key": os.environ["AMP_API_KEY"]}
    return httpx.get(f"{root}/v1/projects/{project}/connections", headers=headers, timeout=60).raise_for_status().json()


def connections(args: ResourceValidationArgs) -> Any:
    """What there is to judge when this resource is shown."""
    if args.resource_type == "pulumi-python:dynamic:Resource":
        return args.props["connections"]
    if args.resource_type == "pulumi:pulumi:Stack" and os.environ.get("PEER_READS_API"):
        return read_api()
    return ()


def policy(name: str, rule: Rule) -> ResourceValidationPolicy:
    """The policy of a rule."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        for connection in connections(args):
            if cause := rule(connection):
                about = f"{connection['id']} ({connection['provider']}, {connection['group']['groupName']})"
                report(f"{about}: {cause}", None)

    return ResourceValidationPolicy(name, f"Connections keep {name}.", validate, EnforcementLevel.ADVISORY)


RULES: dict[str, Rule] = {
    "no-bad-credentials": no_bad_credentials,
    "required-scopes": required_scopes,
    "token-expiry": token_expiry,
    "allowed-auth-schemes": allowed_auth_schemes,
}

PolicyPack("python-peer", [policy(name, rule) for name, rule in RULES.items()])
