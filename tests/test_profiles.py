"""The ready configurations: that each is valid, and what exactly it enforces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import pytest

from conftest import MakeStack
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand_policies import profiles
from pulumi_ampersand_policies.compliance import SOC_2
from pulumi_ampersand_policies.configuration import Configuration, parse
from pulumi_ampersand_policies.evaluation import evaluate
from pulumi_ampersand_policies.profiles import PROFILES, profile
from pulumi_ampersand_policies.rule import Enforcement
from pulumi_ampersand_policies.rules import RULES
from pulumi_ampersand_policies.rules.readable_connections import UNGATED
from pulumi_ampersand_policies.testing import NOW, assert_rule, at, connection, grant, inventory
from stack import Stack

SCOPES: Final = 'it needs "scopes"'

LEVELS: Final[Mapping[str, tuple[str, str, str]]] = {
    "no-bad-credentials": ("mandatory", "mandatory", "mandatory"),
    "required-scopes": (SCOPES, SCOPES, SCOPES),
    "token-expiry": ("mandatory", "mandatory", "mandatory"),
    "access-token-expiry": ("it is disabled", "it is disabled", "it is disabled"),
    "refreshable": ("advisory", "mandatory", "advisory"),
    "credential-age": ("advisory", "mandatory", "advisory"),
    "provider-app-scopes": ("advisory", "mandatory", "advisory"),
    "forbidden-scopes": (SCOPES, "mandatory", "mandatory"),
    "allowed-scopes": (SCOPES, SCOPES, SCOPES),
    "allowed-auth-schemes": ("advisory", "mandatory", "mandatory"),
    "allowed-providers": ('it needs "allow" or "deny"',) * 3,
    "allowed-workspaces": ('it needs "workspaces"',) * 3,
    "same-project": ("advisory", "mandatory", "advisory"),
    "unique-connections": ("advisory", "mandatory", "advisory"),
    "idle-connections": ("advisory", "mandatory", "advisory"),
    "required-connections": ("mandatory", "mandatory", "mandatory"),
    "connection-schema": ('it needs "schema"',) * 3,
    "verifiable-connections": ("advisory", "mandatory", "mandatory"),
    "readable-connections": ("mandatory", "mandatory", "mandatory"),
}
"""The level of each rule, or why it isn't active, under baseline, strict and soc2. A change stops others."""

FORBIDDEN: Final = {
    "google": ["https://www.googleapis.com/auth/admin.*", "https://www.googleapis.com/auth/cloud-platform"],
    "microsoft": ["*.ReadWrite.All", "*.FullControl.All", "Directory.AccessAsUser.All"],
    "salesforce": ["full"],
    "*": ["*admin*"],
}
"""What counts as the rights of an administrator."""

OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "baseline": {"token-expiry": {"minDays": 1.0}},
    "strict": {
        "token-expiry": {"minDays": 14.0},
        "credential-age": {"maxDays": 180.0},
        "forbidden-scopes": {"scopes": FORBIDDEN},
        "readable-connections": {"require": True},
    },
    "soc2": {
        "token-expiry": {"minDays": 1.0},
        "forbidden-scopes": {"scopes": FORBIDDEN},
        "readable-connections": {"require": True},
    },
}
"""What each profile says beside levels."""

STOPS: Final[Mapping[str, Mapping[str, set[str]]]] = {
    "baseline": {
        "conn_tidewell_salesforce": {"no-bad-credentials"},
        "conn_halden_salesforce": {"token-expiry"},
        "conn_meble_google": {"token-expiry"},
    },
    "strict": {
        "conn_tidewell_salesforce": {"no-bad-credentials"},
        "conn_halden_salesforce": {"token-expiry", "refreshable"},
        "conn_meble_google": {"token-expiry", "refreshable"},
        "conn_fjordlys_microsoft": {"token-expiry"},
        "conn_brightwater_salesforce": {"credential-age"},
        "conn_orchard_hubspot": {"provider-app-scopes"},
        "conn_pelican_jira": {"allowed-auth-schemes"},
        "conn_cobalt_salesforce": {"refreshable", "verifiable-connections"},
        "conn_vantage_slack": {"verifiable-connections"},
    },
    "soc2": {
        "conn_tidewell_salesforce": {"no-bad-credentials"},
        "conn_halden_salesforce": {"token-expiry"},
        "conn_meble_google": {"token-expiry"},
        "conn_pelican_jira": {"allowed-auth-schemes"},
        "conn_cobalt_salesforce": {"verifiable-connections"},
        "conn_vantage_slack": {"verifiable-connections"},
    },
}
"""What of the sandbox's scenario ``mixed`` stops a deployment."""

REPORTED: Final[Mapping[str, Mapping[str, set[str]]]] = {
    "baseline": {
        "conn_halden_salesforce": {"refreshable"},
        "conn_meble_google": {"refreshable"},
        "conn_orchard_hubspot": {"provider-app-scopes"},
        "conn_pelican_jira": {"allowed-auth-schemes"},
        "conn_cobalt_salesforce": {"refreshable", "verifiable-connections"},
        "conn_vantage_slack": {"verifiable-connections"},
    },
    "strict": {},
    "soc2": {
        "conn_halden_salesforce": {"refreshable"},
        "conn_meble_google": {"refreshable"},
        "conn_orchard_hubspot": {"provider-app-scopes"},
        "conn_cobalt_salesforce": {"refreshable"},
    },
}
"""What of it is only reported."""


def parsed(name: str) -> Configuration:
    """A profile, as the pack takes it."""
    return parse(profile(name), f"{name}.json")


def found(name: str, level: Enforcement, connections: Inventory) -> dict[str, set[str]]:
    """The rules that each connection breaks at a level."""
    made: dict[str, set[str]] = {}
    for finding in evaluate(connections, parsed(name), NOW).findings:
        if finding.enforcement is level:
            made.setdefault(finding.connection, set()).add(finding.rule)
    return made


def test_the_folder_holds_the_profiles_and_nothing_else() -> None:
    """Every profile has its file, every file is a profile."""
    folder = Path(profiles.__file__).parent
    assert sorted(path.stem for path in folder.glob("*.json")) == sorted(PROFILES)
    assert PROFILES == ("baseline", "strict", "soc2")


@pytest.mark.parametrize("name", PROFILES)
class TestProfile:
    """What is true of each."""

    def test_what_it_makes_of_each_rule(self, name: str) -> None:
        """It is valid; its rules are active at exactly these levels, the others inactive for exactly these reasons."""
        configuration = parsed(name)
        made = {active.rule.id: active.enforcement.value for active in configuration.rules}
        made |= {inactive.rule.id: inactive.reason for inactive in configuration.inactive}
        assert made == {rule: levels[PROFILES.index(name)] for rule, levels in LEVELS.items()}
        assert sorted(LEVELS) == sorted(rule.id for rule in RULES)
        assert configuration.waivers

    def test_its_options(self, name: str) -> None:
        """Its limits and lists are exactly these; it waives and tolerates nothing."""
        given = {
            active.rule.id: options
            for active in parsed(name).rules
            if (options := active.options.model_dump(exclude_unset=True))
        }
        expected = {rule: {_snake(key): value for key, value in made.items()} for rule, made in OPTIONS[name].items()}
        assert given == expected

    def test_what_stops_a_deployment(self, name: str) -> None:
        """Of the same connections each profile stops exactly these, and reports exactly those."""
        mixed = inventory(*Sandbox("mixed", now=NOW).connections)
        assert found(name, Enforcement.MANDATORY, mixed) == STOPS[name]
        assert found(name, Enforcement.ADVISORY, mixed) == REPORTED[name]

    def test_what_cannot_be_read_stops_it(self, name: str) -> None:
        """None fails open."""
        assert found(name, Enforcement.MANDATORY, Inventory(unread=["an outage"])) == {"": {"readable-connections"}}

    def test_what_is_missing_stops_it(self, name: str) -> None:
        """A connection that a gate names must exist."""
        gone = Inventory(missing=["conn_gone"])
        assert found(name, Enforcement.MANDATORY, gone) == {"conn_gone": {"required-connections"}}

    def test_healthy_connections_pass(self, name: str) -> None:
        """A fleet in order isn't stopped, but for credentials that are older than strict allows."""
        healthy = inventory(*Sandbox("healthy", now=NOW).connections)
        old = {"conn_brightwater_salesforce": {"credential-age"}, "conn_lumen_salesforce": {"credential-age"}}
        assert found(name, Enforcement.MANDATORY, healthy) == (old if name == "strict" else {})
        assert found(name, Enforcement.ADVISORY, healthy) == {}


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def test_strict_leaves_nothing_advisory() -> None:
    """Every rule that is active stops a deployment, and so does one that is given its options later."""
    content = json.loads(profile("strict"))
    content["allowed-scopes"] = {"scopes": {"*": ["api"]}}
    content["required-scopes"] = {"scopes": {"*": ["api"]}}
    configuration = parse(json.dumps(content), "strict.json")
    assert {active.enforcement for active in configuration.rules} == {Enforcement.MANDATORY}
    assert configuration.active("allowed-scopes") is not None


def test_soc2_stops_on_what_soc_2_asks_for() -> None:
    """Every rule that is evidence for a criterion of SOC 2 is mandatory, but for the one that needs a list first."""
    asked = [rule.id for rule in RULES if any(control.framework == SOC_2 for control in rule.controls)]
    configuration = parsed("soc2")
    levels = {name: active and active.enforcement for name in asked for active in [configuration.active(name)]}
    assert levels == {
        "forbidden-scopes": Enforcement.MANDATORY,
        "allowed-scopes": None,
        "allowed-auth-schemes": Enforcement.MANDATORY,
    }


@pytest.mark.parametrize("level", [None, "mandatory"])
def test_soc2_takes_the_level_of_the_list_of_what_is_needed(level: str | None) -> None:
    """The rule that starts with a list of one's own reports by it, and stops deployments once that is said."""
    content = json.loads(profile("soc2"))
    entry = {"scopes": {"*": ["api"]}}
    content["allowed-scopes"] = entry if level is None else {**entry, "enforcementLevel": level}
    active = parse(json.dumps(content), "soc2.json").active("allowed-scopes")
    assert active is not None
    assert active.enforcement.value == (level or "advisory")


@pytest.mark.parametrize(
    ("provider", "scope", "broken"),
    [
        ("google", "https://www.googleapis.com/auth/admin.directory.user", True),
        ("google", "https://www.googleapis.com/auth/cloud-platform", True),
        ("google", "https://www.googleapis.com/auth/calendar.readonly", False),
        ("microsoft", "Sites.ReadWrite.All", True),
        ("microsoft", "Sites.FullControl.All", True),
        ("microsoft", "https://graph.microsoft.com/Directory.ReadWrite.All", True),
        ("microsoft", "Directory.AccessAsUser.All", True),
        ("microsoft", "Files.Read.All", False),
        ("salesforce", "full", True),
        ("salesforce", "api", False),
        ("slack", "admin.users:read", True),
        ("slack", "channels:read", False),
    ],
)
@pytest.mark.parametrize("name", ["strict", "soc2"])
def test_which_scopes_are_forbidden(name: str, provider: str, scope: str, broken: bool) -> None:
    """The lists forbid what reaches a customer's whole tenant, and let narrow scopes pass."""
    active = parsed(name).active("forbidden-scopes")
    assert active is not None
    granted = connection(provider=provider, oauth2AuthorizationCode=grant(access=at(hours=1), scopes=[scope]))
    options = json.loads(profile(name))["forbidden-scopes"]
    assert_rule(active.rule, inventory(granted), options, breaks={"conn_1": scope} if broken else {})


@pytest.mark.engine
def test_the_engine_takes_them(make_stack: MakeStack) -> None:
    """In previews each profile stops what the tables say, and strict and soc2 a stack without a data source or gate."""
    # An hour ahead, for a credential of exactly 180 days would grow too old on the way.
    with Sandbox("mixed", now=datetime.now(timezone.utc) + timedelta(hours=1)) as sandbox:
        _previews(make_stack("", **sandbox.environment))


def _previews(stack: Stack) -> None:
    ungated = stack.preview(*stack.pack(json.loads(profile("soc2"))))
    assert ungated.code != 0
    assert [violation[:2] for violation in ungated.violations] == [("mandatory", "readable-connections")]
    assert " ".join(ungated.violations[0].message.split()).startswith(UNGATED[:60])

    stack.configure("ampersand:gate", "true")
    for name in PROFILES:
        preview = stack.preview(*stack.pack(json.loads(profile(name))))
        assert preview.code != 0
        for level, table in (("mandatory", STOPS), ("advisory", REPORTED)):
            said = sorted(
                (violation.rule, violation.message.split(" ")[0])
                for violation in preview.violations
                if violation.level == level
            )
            assert said == sorted((rule, key) for key, rules in table[name].items() for rule in rules), name
