"""The rules as policies in a ``PolicyPack`` of the user's own."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from conftest import MakeStack
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies import policies
from pulumi_ampersand_policies.pack import DATA_SOURCE_TYPES
from pulumi_ampersand_policies.rule import Breach, Options, Unverified
from pulumi_ampersand_policies.rules import RULES, no_bad_credentials
from stack import Result

PROGRAM = """
import pulumi_ampersand as ampersand

ampersand.Connections("all")
"""
PACK = """
from pulumi_ampersand_policies import policies
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

own = ResourceValidationPolicy("own", "Ours", lambda args, report: None, EnforcementLevel.ADVISORY)
PolicyPack("ours", policies=[*policies(), own])
"""
SCOPES = {"required-scopes": {"scopes": {"hubspot": ["crm.objects.contacts.read"]}}}


@pytest.fixture
def composed(tmp_path: Path) -> list[str]:
    """The arguments that put a composed pack before a deployment."""
    folder = tmp_path / "composed"
    folder.mkdir()
    (folder / "PulumiPolicy.yaml").write_text("runtime: python\nversion: 0.0.1\n")
    (folder / "__main__.py").write_text(PACK)
    return ["--policy-pack", str(folder)]


def violations(result: Result) -> set[tuple[str, ...]]:
    """Level, rule and message of each violation; a composed pack's messages begin with the policy's description."""
    titles = {rule.title for rule in RULES}
    found: set[tuple[str, ...]] = set()
    level = rule = ""
    for line in result.out.splitlines():
        head = re.match(r"\s+- \[(\w+)\] \[severity: \w+\]  ([a-z-]+)  ", line)
        if head:
            level, rule = head.groups()
        elif level and line.startswith(" " * 10) and line.strip() not in titles:
            found.add((level, rule, line.strip()))
    return found


def test_there_is_a_policy_for_every_rule() -> None:
    """Each rule is exported with its own level and metadata."""
    made = {policy.name: policy for policy in policies()}
    assert made.keys() == {rule.id for rule in RULES}
    for rule in RULES:
        policy = made[rule.id]
        assert policy.enforcement_level is not None
        assert policy.severity is not None
        assert policy.enforcement_level.value == rule.enforcement.value
        assert policy.severity.value == rule.severity.value
        assert policy.description == rule.title
        assert policy.config_schema is not None
        assert policy.config_schema.properties.keys() == rule.schema["properties"].keys()


def test_a_rule_that_crashes_is_seen() -> None:
    """A policy whose rule fails says so itself: nobody may have turned on what collects the unjudged."""

    def crash(inventory: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
        yield Breach("broken before", next(iter(inventory)))
        raise ZeroDivisionError("CANARY")

    (policy,) = policies([replace(no_bad_credentials.RULE, check=crash)])
    said: list[str] = []

    def report(message: str, _urn: str | None = None) -> None:
        said.append(message)

    connections, observations = Inventory.from_answer(b'[{"id":"c","provider":"p","status":"working"}]').documents()
    properties = {"project": "x", "connections": connections, "observations": observations}
    args = SimpleNamespace(resource_type=next(iter(DATA_SOURCE_TYPES)), props=properties, get_config=dict)
    policy.validate(cast("Any", args), report)
    assert [message.partition(":")[0] for message in said] == ["c (p)", "no-bad-credentials was not evaluated"]
    assert "ZeroDivisionError" in said[1]
    assert "CANARY" not in said[1]


@pytest.mark.engine
def test_says_the_same_as_our_pack(make_stack: MakeStack, composed: list[str]) -> None:
    """A composed pack finds what ours finds, in a data source and by a gate."""
    stack = make_stack(PROGRAM)
    stack.run("config", "set", "--path", "ampersand:gate.provider", "hubspot", check=True)
    ours = stack.preview(*stack.pack(SCOPES))
    theirs = stack.preview(*composed, "--policy-pack-config", str(stack.folder / "policy.json"))
    assert ours.code != 0
    assert theirs.code != 0
    assert violations(ours) == violations(theirs) != set()
    assert "(pulumi:pulumi:Stack: test-dev)" in theirs.out


@pytest.mark.engine
def test_mistakes_in_the_configuration_are_violations(make_stack: MakeStack, composed: list[str]) -> None:
    """What the SDK would ignore, and what a composed pack can't do, is reported."""
    stack = make_stack(PROGRAM)
    stack.pack({"token-expiry": {"minDay": 3}, "readable-connections": {"require": True}})
    preview = stack.preview(*composed, "--policy-pack-config", str(stack.folder / "policy.json"))
    assert preview.code != 0
    assert 'token-expiry: unknown key "minDay" (did you mean "minDays"?)' in preview.out
    assert 'readable-connections: "require" needs the pack of pulumi-ampersand itself' in preview.out
    assert "Traceback" not in preview.text
