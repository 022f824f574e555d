"""Reports for the tests of their forms: one of everything that a report can hold."""

from __future__ import annotations

import json
from typing import Any, Final

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.audit import Part, audit
from pulumi_ampersand_policies.baseline import Baseline, read_baseline
from pulumi_ampersand_policies.configuration import ActiveRule, Configuration, parse
from pulumi_ampersand_policies.report import Report, Source, SourceKind
from pulumi_ampersand_policies.reports import Look, json_report
from pulumi_ampersand_policies.rule import Enforcement, Options, Rule, Severity
from pulumi_ampersand_policies.testing import NOW, at, connection, grant

CONFIGURATION: Final[dict[str, Any]] = {
    "required-scopes": {"scopes": {"salesforce": ["api", ["refresh_token", "offline_access"]]}},
    "refreshable": {"tolerate": 1},
    "token-expiry": {
        "waivers": [
            {"group": "globex", "reason": "INT-4711", "approvedBy": "jo@example.com", "expires": "2099-12-31"},
            {"group": "unused", "reason": "INT-4712", "approvedBy": "jo@example.com", "expires": "2099-12-31"},
            {"group": "initech", "reason": "INT-4713", "approvedBy": "jo@example.com", "expires": "2020-01-31"},
        ]
    },
}


def group(ref: str, name: str) -> dict[str, Any]:
    """A customer."""
    return {"groupRef": ref, "groupName": name, "projectId": "proj_1"}


CONNECTIONS: Final[list[dict[str, Any]]] = [
    connection("conn_fine", oauth2AuthorizationCode=grant(refresh=at(days=300), scopes=["api", "refresh_token"])),
    connection("conn_bad", status="bad_credentials", provider="hubspot", group=group("umbrella", "Umbrella Corp")),
    connection(
        "conn_soon",
        provider="slack",
        group=group("initech", "Initech"),
        oauth2AuthorizationCode=grant(refresh=at(days=3)),
    ),
    connection(
        "conn_waived",
        provider="slack",
        group=group("globex", "Globex"),
        oauth2AuthorizationCode=grant(refresh=at(days=-3)),
    ),
    connection("conn_scopes", oauth2AuthorizationCode=grant(refresh=at(days=45), scopes=["api"])),
    connection("conn_later", provider="google", oauth2AuthorizationCode=grant(refresh=at(days=20))),
    connection("conn_tolerated", provider="notion", oauth2AuthorizationCode=grant(refresh=False, access=at(days=20))),
    connection(
        "conn_unknown",
        provider="zendesk",
        status="paused",
        oauth2AuthorizationCode=grant(refresh=at(days=60), scopes=None),
    ),
    connection("conn_key", provider="gong", authScheme="apiKey", oauth2AuthorizationCode=None),
    connection("conn_basic", provider="gong", authScheme="basic", oauth2AuthorizationCode=None),
]
"""Connections of which some keep every rule and others break one or two, in every state."""


def part(*connections: Any, name: str = "crm.json", project: str = "proj_1", error: str | None = None) -> Part:
    """What a saved answer gave."""
    found = Inventory.from_answer(json.dumps(connections).encode(), project)
    if error is not None:
        found = Inventory.merge([found, Inventory(project=project, unread=[error])])
    return Part(Source(SourceKind.ANSWER, name, len(found), error), found)


def report(
    *connections: Any, configuration: Any = CONFIGURATION, parts: list[Part] | None = None, **settings: Any
) -> Report:
    """A report as of `NOW`; of `CONNECTIONS`, if no others are given."""
    return audit(
        parts if parts is not None else [part(*(connections or CONNECTIONS))],
        parse(json.dumps(configuration), "policy-config.json"),
        settings.pop("as_of", NOW),
        **settings,
    )


def own(check: Any, **settings: Any) -> Configuration:
    """A configuration with one rule, somebody's own: advice of low severity by this check."""
    rule = Rule(
        id="own",
        title="A rule of somebody's own",
        severity=Severity.LOW,
        enforcement=Enforcement.ADVISORY,
        remediation="Mend it",
        check=check,
        options=Options,
        **settings,
    )
    return Configuration((ActiveRule(rule, Enforcement.ADVISORY, Options()),), ())


def baseline(earlier: Report) -> Baseline:
    """An earlier report, as a later one reads it."""
    return read_baseline("".join(json_report.render(earlier, Look())).encode())
