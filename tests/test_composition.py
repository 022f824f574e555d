"""The rules as policies in a ``PolicyPack`` of the user's own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pulumi_policy import EnforcementLevel, ResourceValidationPolicy, StackValidationPolicy

from conftest import MakeStack
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand_policies import policies
from pulumi_ampersand_policies.pack import STACK_TYPE
from pulumi_ampersand_policies.rule import Breach, Options, Rule, Unverified
from pulumi_ampersand_policies.rules import RULES, access_token_expiry, no_bad_credentials, refreshable
from pulumi_ampersand_policies.testing import connection as sent
from pulumi_ampersand_policies.testing import grant, inventory
from stack import Result

DATA_SOURCE = "pulumi-python:dynamic/ampersand:Connections"
DATA_SOURCES = (DATA_SOURCE, "pulumi-python:dynamic/ampersand:ConnectionRef", "ampersand:index:Connections")
TIMELESS: Mapping[str, Any] = {"authScheme": "apiKey", "oauth2AuthorizationCode": None}
"""Of connections whose judgement doesn't change with time: composed policies go by the real one."""

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


Said = list[tuple[str, str]]
"""What policies reported: of each violation the rule and the message."""

Compose = Callable[..., Said]


@pytest.fixture
def compose(monkeypatch: pytest.MonkeyPatch) -> Compose:
    """Judges a stack by policies as the policy SDK has them do it, which applies levels itself."""

    def compose(
        *sources: Inventory,
        rules: Sequence[Rule[Any]] = RULES,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        config: Mapping[str, str] | None = None,
        sandbox: Sandbox | None = None,
        waivers: bool = True,
        kind: str = DATA_SOURCE,
    ) -> Said:
        for name, value in (sandbox.environment if sandbox else {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PULUMI_CONFIG", json.dumps(config or {}))
        resources = [SimpleNamespace(resource_type=STACK_TYPE, urn=f"urn:{STACK_TYPE}::dev", props={})]
        resources += [
            SimpleNamespace(resource_type=kind, urn=f"urn:{kind}::{number}", props=properties(source))
            for number, source in enumerate(sources)
        ]
        given = options or {}
        # The SDK doesn't ask policies that are disabled; one with options here has a level of its own.
        asked = [
            policy
            for policy in policies(rules, waivers=waivers)
            if policy.name in given or policy.enforcement_level is not EnforcementLevel.DISABLED
        ]
        said: Said = []
        for resource in resources:
            for policy in asked:
                if isinstance(policy, ResourceValidationPolicy):
                    ask(policy, said, given, **vars(resource))
        for policy in asked:
            if isinstance(policy, StackValidationPolicy):
                ask(policy, said, given, resources=[outputs_of(resource) for resource in resources])
        return said

    return compose


def ask(policy: Any, said: Said, options: Mapping[str, Mapping[str, Any]], **shown: Any) -> None:
    """Show a policy a resource, or all of a stack's, and take down what it reports."""

    def report(message: str, _urn: str | None = None) -> None:
        said.append((policy.name, message))

    policy.validate(SimpleNamespace(**shown, get_config=lambda: dict(options.get(policy.name, {}))), report)


def outputs_of(resource: SimpleNamespace) -> SimpleNamespace:
    """A resource as it is shown at the end: with its outputs, which hold no observations."""
    props = {name: value for name, value in resource.props.items() if name != "observations"}
    return SimpleNamespace(**{**vars(resource), "props": props})


def properties(found: Inventory) -> dict[str, Any]:
    """The properties of a data source that read these connections."""
    connections, observations = found.documents()
    return {"project": "proj_1", "connections": connections, "observations": observations}


def test_there_is_a_policy_for_every_rule() -> None:
    """Each rule is exported with its own level and metadata, as our pack announces it."""
    made = {policy.name: policy for policy in policies(pages="https://example.com/rules/")}
    assert made.keys() == {rule.id for rule in RULES}
    assert {policy.url for policy in policies()} == {None}
    assert next(iter(made)) == "readable-connections"
    assert next(reversed(made)) == "verifiable-connections"
    for rule in RULES:
        policy = made[rule.id]
        assert isinstance(policy, StackValidationPolicy if rule.whole else ResourceValidationPolicy)
        assert policy.enforcement_level is not None
        assert policy.severity is not None
        assert policy.enforcement_level.value == rule.enforcement.value
        assert policy.severity.value == rule.severity.value
        assert policy.description == policy.display_name == rule.title
        assert policy.remediation_steps == rule.remedy()
        assert policy.tags == [*rule.tags, *(f"{c.framework.name} {c.reference}" for c in rule.controls)]
        assert policy.url == f"https://example.com/rules/{rule.id}.md"
        assert (policy.framework is None) == (not rule.controls)
        if policy.framework is not None:
            told, control = policy.framework, rule.controls[0]
            assert (told.name, told.version, told.specification) == control.framework
            assert told.reference == control.reference
        assert policy.config_schema is not None
        assert policy.config_schema.properties.keys() == rule.schema["properties"].keys()


def test_a_rule_that_crashes_is_seen(compose: Compose) -> None:
    """A policy whose rule fails says so itself: nobody may have turned on what collects the unjudged."""

    def crash(inventory: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
        yield Breach("broken before", next(iter(inventory)))
        raise ZeroDivisionError("CANARY")

    found = Inventory.from_answer(b'[{"id":"c","provider":"p","status":"working"}]')
    for whole in (False, True):
        said = compose(found, rules=[replace(no_bad_credentials.RULE, check=crash, whole=whole)])
        assert [message.partition(":")[0] for _, message in said] == ["c (p)", "no-bad-credentials was not evaluated"]
        assert "ZeroDivisionError" in said[1][1]
        assert "CANARY" not in said[1][1]


@pytest.mark.parametrize("kind", DATA_SOURCES)
def test_every_kind_of_data_source_is_judged_alike(compose: Compose, kind: str) -> None:
    """The dynamic provider's and the plugin's, one by one and all together."""
    broken = inventory(sent(**TIMELESS, status="bad_credentials"))
    options = {"required-connections": {"require": [{"provider": "gong"}]}}
    said = compose(broken, options=options, kind=kind)
    assert [rule for rule, _ in said] == ["no-bad-credentials", "required-connections"]
    assert said == compose(broken, options=options)
    assert compose(broken, options=options, kind="pulumi:providers:ampersand") == []


class TestWholeStack:
    """Rules over everything that a stack reads."""

    ONE, TWO = (sent(name, **TIMELESS, providerWorkspaceRef="same") for name in ("a", "b"))
    GATE: Mapping[str, str] = {"ampersand:gate": "true"}
    REQUIRED: Mapping[str, Any] = {"required-connections": {"require": [{"provider": "salesforce", "min": 2}]}}

    def test_all_data_sources_are_judged_at_once(self, compose: Compose) -> None:
        """What they hold together counts, and what two of them read counts once."""
        one, two = inventory(self.ONE), inventory(self.TWO)
        assert [rule for rule, _ in compose(one, two, options=self.REQUIRED)] == ["unique-connections"] * 2
        ((rule, text),) = compose(one, one, options=self.REQUIRED)
        assert rule == "required-connections"
        assert text.startswith("provider salesforce: 1 healthy connection, at least 2 needed. ")

    def test_without_any_connections(self, compose: Compose) -> None:
        """A stack that reads nothing isn't judged."""
        assert compose(options=self.REQUIRED) == []

    def test_a_gate_counts_instead(self, compose: Compose, sandbox: Sandbox) -> None:
        """What the gate reads is judged, and read once."""
        sandbox.connections = [self.ONE, self.TWO]
        found = compose(inventory(self.ONE), options=self.REQUIRED, config=self.GATE, sandbox=sandbox)
        assert [rule for rule, _ in found] == ["unique-connections"] * 2
        assert sandbox.counts["list"] == 1

    def test_what_they_can_not_judge_is_told_once(self, compose: Compose) -> None:
        """They say it themselves: nothing collects it."""
        ((rule, text),) = compose(inventory(sent(**TIMELESS, group=None, consumer=None)))
        assert rule == "unique-connections"
        assert text.startswith("unique-connections was not evaluated: whose it is is unknown: ")

    def test_a_missing_connection_is_told_once(self, compose: Compose, sandbox: Sandbox) -> None:
        """As in our pack, it is a finding of ``required-connections`` alone."""
        ((rule, text),) = compose(config={"ampersand:gate": '{"connectionIds":["gone"]}'}, sandbox=sandbox)
        assert rule == "required-connections"
        assert text.startswith('the gate names connection "gone", which doesn\'t exist, or which its filters exclude. ')

    def test_an_unreadable_gate_is_told_once(self, compose: Compose, sandbox: Sandbox) -> None:
        """As in our pack, only ``readable-connections`` breaks: it may be advisory, to fail open."""
        sandbox.faults = ["401"]
        ((rule, text),) = compose(config=self.GATE, sandbox=sandbox)
        assert rule == "readable-connections"
        assert text.startswith("the gate could not be read: ")


class TestWaived:
    """Findings for which the SDK knows no level."""

    WAIVERS: Mapping[str, Any] = {
        "waivers": [{"connection": "*", "reason": "moving", "approvedBy": "Jo", "expires": "9999-12-31"}]
    }

    @pytest.mark.parametrize(
        ("rule", "changes"),
        [
            pytest.param(no_bad_credentials.RULE, {"status": "bad_credentials"}, id="mandatory-by-default"),
            pytest.param(refreshable.RULE, {"oauth2AuthorizationCode": grant(refresh=False)}, id="advisory-by-default"),
        ],
    )
    def test_they_are_no_violations(
        self, compose: Compose, capfd: pytest.CaptureFixture[str], rule: Rule[Any], changes: dict[str, Any]
    ) -> None:
        """A violation may stop the deployment: what is waived is written to standard error instead."""
        assert compose(inventory(sent(**changes)), rules=[rule], options={rule.id: self.WAIVERS}) == []
        written = capfd.readouterr().err
        assert written.startswith(f"{rule.id}: conn_1 (salesforce, Acme Ltd): ")
        assert written.endswith(". Waived until 9999-12-31, approved by Jo: moving\n")

    def test_tolerated_ones_neither(self, compose: Compose, capfd: pytest.CaptureFixture[str]) -> None:
        """What is tolerated is written, likewise; more than that is reported, with the line that counts."""
        broken = inventory(*(sent(name, **TIMELESS, status="bad_credentials") for name in "ab"))
        assert compose(broken, options={"no-bad-credentials": {"tolerate": 2.0}}) == []
        assert capfd.readouterr().err.count("Tolerated.") == 2
        found = compose(broken, options={"no-bad-credentials": {"tolerate": 1.0}})
        assert [rule for rule, _ in found] == ["no-bad-credentials"] * 3
        assert found[-1][1] == "2 in all, more than are tolerated (1)"
        assert capfd.readouterr().err == ""

    def test_waivers_can_be_ignored(self, compose: Compose) -> None:
        """``policies(waivers=False)`` has every finding bite."""
        broken = inventory(sent(**TIMELESS, status="bad_credentials"))
        ((rule, text),) = compose(broken, options={"no-bad-credentials": self.WAIVERS}, waivers=False)
        assert rule == "no-bad-credentials"
        assert "aiver" not in text


@pytest.mark.parametrize("options", [{}, {"minMinutes": 90.0}], ids=["level-alone", "options"])
def test_a_rule_that_is_off_by_default_can_be_turned_on(compose: Compose, options: dict[str, Any]) -> None:
    """The SDK asks a policy only once it has a level, so one that is asked is turned on."""
    expired = inventory(sent(oauth2AuthorizationCode=grant(access="2020-01-01T00:00:00Z")))
    rule = access_token_expiry.RULE
    ((name, text),) = compose(expired, rules=[rule], options={rule.id: options})
    assert name == rule.id
    assert text.startswith("conn_1 (salesforce, Acme Ltd): access token expired ")


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
def test_what_is_waived_is_seen_and_stops_nothing(make_stack: MakeStack, sandbox: Sandbox, composed: list[str]) -> None:
    """The CLI shows waived findings among the diagnostics; rules over the whole stack stand on it, at their level."""
    lasting = grant(refresh=False, access="9999-12-31T00:00:00Z")
    sandbox.connections = [
        sent("refused", **TIMELESS, status="bad_credentials"),
        sent("short", oauth2AuthorizationCode=lasting),
    ]
    stack = make_stack(PROGRAM)
    options = {"enforcementLevel": "mandatory", **TestWaived.WAIVERS}
    wanted = {"enforcementLevel": "advisory", "require": [{"provider": "gong"}]}
    stack.pack({"no-bad-credentials": options, "refreshable": options, "required-connections": wanted})
    preview = stack.preview(*composed, "--policy-pack-config", str(stack.folder / "policy.json"))
    assert preview.code == 0, preview.text
    needed = (
        "provider gong: 0 healthy connections, at least 1 needed. "
        "Have the customer connect, or authorise again (pulumi-ampersand reauth <connection>)"
    )
    assert violations(preview) == {("advisory", "required-connections", needed)}
    waived = "Waived until 9999-12-31, approved by Jo: moving"
    refused = "the provider refuses its credentials (status bad_credentials)"
    assert sorted(filter(None, preview.diagnostics)) == [
        f"no-bad-credentials: refused (salesforce, Acme Ltd): {refused}. {waived}",
        f"refreshable: short (salesforce, Acme Ltd): it has no refresh token. {waived}",
    ]
    assert "(pulumi:pulumi:Stack: test-dev)" in preview.out


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
