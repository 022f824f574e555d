"""The policy pack as the engine runs it: a process that is told configurations and shown resources."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import pytest
from google.protobuf import empty_pb2, json_format
from pulumi.runtime import proto
from pulumi.runtime.proto import analyzer_pb2_grpc

from mixed_expectations import BREAKS, CONFIGURATION, EVERY_RULE
from plugin import UNKNOWN, Plugin, secret, struct
from pulumi_ampersand import __version__
from pulumi_ampersand.client import Client
from pulumi_ampersand.engine import MESSAGE_LIMIT
from pulumi_ampersand.inventory import DOCUMENT_LIMIT, Inventory
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand.settings import Details, Settings
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.pack import Servicer
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified
from pulumi_ampersand_policies.rules import RULES, verifiable_connections
from pulumi_ampersand_policies.testing import NOW, at, grant, inventory
from pulumi_ampersand_policies.testing import connection as sent
from stack import PACK

STACK = "pulumi:pulumi:Stack"
DATA_SOURCE = "pulumi-python:dynamic/ampersand:Connections"
DATA_SOURCES = (DATA_SOURCE, "pulumi-python:dynamic/ampersand:ConnectionRef", "ampersand:index:Connections")
SEVERITIES = [proto.POLICY_SEVERITY_LOW, proto.POLICY_SEVERITY_MEDIUM, proto.POLICY_SEVERITY_HIGH]
HOSTILE = "x\n\x1b[31m\u202e<{%fg 1%}>"

TIMELESS: Mapping[str, Any] = {"authScheme": "apiKey", "oauth2AuthorizationCode": None}
"""Of connections that are shown to a pack in a process of its own, which goes by the real time."""

Said = list[tuple[str, str, str]]
"""What the pack said: of each violation the rule, the level and the message."""


class Pack:
    """A pack, talked to as the engine does.

    Args:
        engine: What the engine's calls go through.
    """

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.engine.Handshake(proto.AnalyzerHandshakeRequest(engine_address="127.0.0.1:1"))
        self.answers: list[Any] = []

    def configure_stack(self, config: Mapping[str, str], stack: str = "dev", project: str = "test") -> None:
        """Tell it the stack and its configuration under full keys."""
        self.engine.ConfigureStack(
            proto.AnalyzerStackConfigureRequest(
                stack=stack, project=project, organization="organization", dry_run=True, config=config
            )
        )

    def configure(self, content: Mapping[str, Any]) -> None:
        """Tell it its configuration, which the engine first merges with what the pack announces."""
        info = self.engine.GetAnalyzerInfo(empty_pb2.Empty())
        self.engine.Configure(proto.ConfigureAnalyzerRequest(policyConfig=merged(info, content)))

    def show(self, kind: str, properties: dict[str, Any] | None = None, name: str = "one-0") -> list[Any]:
        """Show it a resource; return its diagnostics."""
        request = proto.AnalyzeRequest(
            type=kind, urn=f"urn:pulumi:dev::test::{kind}::{name}", name=name, properties=struct(properties or {})
        )
        answer = self.engine.Analyze(request)
        self.answers.append(answer)
        return list(answer.diagnostics)

    def root(self) -> Said:
        """Show it the stack's root."""
        return said(self.show(STACK))

    def judge(self, properties: dict[str, Any], name: str = "one-0") -> Said:
        """Show it a data source."""
        return said(self.show(DATA_SOURCE, properties, name))

    def end(self, *others: str | dict[str, Any]) -> Said:
        """Show it the whole stack, which has resources of these kinds and data sources with these outputs."""
        resources = [proto.AnalyzerResource(type=STACK, urn=f"urn:pulumi:dev::test::{STACK}::test-dev")]
        for number, other in enumerate(others):
            kind, outputs = (other, {}) if isinstance(other, str) else (DATA_SOURCE, other)
            urn = f"urn:pulumi:dev::test::{kind}::one-{number}"
            resources.append(proto.AnalyzerResource(type=kind, urn=urn, properties=struct(outputs)))
        answer = self.engine.AnalyzeStack(proto.AnalyzeStackRequest(resources=resources))
        self.answers.append(answer)
        return said(answer.diagnostics)

    def deploy(self, *sources: dict[str, Any], new: bool = False) -> Said:
        """Show it a whole stack with these data sources, as the engine does: each's inputs, then all outputs.

        Outputs hold what a program sees, so no observations, but in a preview that makes or changes a data source.
        """
        found = self.root()
        for number, source in enumerate(sources):
            found += self.judge(source, f"one-{number}")
        seen = [{name: value for name, value in source.items() if new or name != "observations"} for source in sources]
        return found + self.end(*seen)


def said(diagnostics: Any) -> Said:
    """What diagnostics say."""
    return [(d.policyName, proto.EnforcementLevel.Name(d.enforcementLevel).lower(), d.message) for d in diagnostics]


def documents(found: Inventory) -> dict[str, Any]:
    """The properties of a data source that read these connections."""
    connections, observations = found.documents()
    return {"project": "proj_1", "connections": connections, "observations": observations}


def merged(info: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    """What the engine makes of a pack's announcement and its user's configuration.

    As `ReconcilePolicyPackConfig` in the engine's ``resource/analyzer/config.go``: of the policies' defaults, the
    pack's initial configuration and the user's, each overrides the one before; in each, "all" comes first.
    """
    name = proto.EnforcementLevel.Name
    entries: dict[str, tuple[str, dict[str, Any]]] = {
        policy.name: (name(policy.enforcementLevel).lower(), {}) for policy in info.policies
    }
    initial = {
        rule: (name(entry.enforcementLevel).lower(), json_format.MessageToDict(entry.properties))
        for rule, entry in info.initialConfig.items()
    }
    user = {}
    for rule, entry in content.items():
        options = {} if isinstance(entry, str) else dict(entry)
        user[rule] = (entry if isinstance(entry, str) else options.pop("enforcementLevel", ""), options)
    for layer in (initial, user):
        common = layer.get("all", ("", {}))[0]
        if common:
            entries = {rule: (common, options) for rule, (_, options) in entries.items()}
        for rule, (level, options) in layer.items():
            if level or options:
                before = entries.get(rule, ("", {}))
                entries[rule] = (level or before[0], {**before[1], **options})
    for policy in info.policies:
        schema = {"type": "object", "properties": json_format.MessageToDict(policy.configSchema.properties)}
        jsonschema.Draft202012Validator(schema).validate(entries[policy.name][1])
    value = proto.EnforcementLevel.Value
    return {
        rule: proto.PolicyConfig(enforcementLevel=value(level.upper()), properties=struct(options))
        for rule, (level, options) in entries.items()
    }


class Direct:
    """The engine's calls to a pack inside this process: the same, without the half second that a process takes."""

    def __init__(self, servicer: Servicer) -> None:
        self._servicer = servicer

    def __getattr__(self, call: str) -> Callable[[Any], Any]:
        """A call by its name in the protocol."""
        return lambda request: getattr(self._servicer, call)(request, None)


StartPack = Callable[..., Pack]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Sandbox]:
    """The API, with the scenario ``mixed``, as it is at `NOW`."""
    with Sandbox("mixed", now=NOW) as running:
        yield running


@pytest.fixture
def server(shared_server: Sandbox) -> Sandbox:
    """The API as it was at first."""
    shared_server.reset()
    return shared_server


def start_process(**environment: str) -> tuple[Plugin, Pack]:
    """Start a pack's process as the engine does."""
    plugin = Plugin("pulumi.policy", "127.0.0.1:1", str(PACK), folder=PACK, **environment)
    return plugin, Pack(analyzer_pb2_grpc.AnalyzerStub(plugin.channel))


@pytest.fixture
def start_pack(server: Sandbox) -> Iterator[StartPack]:
    """Starts packs that can reach the API; in the end each must have kept quiet and told no credential."""
    running: list[tuple[Plugin, Pack]] = []

    def start(**environment: str) -> Pack:
        running.append(start_process(**(environment or server.environment)))
        return running[-1][1]

    yield start
    assert [plugin.stop() for plugin, _ in running] == [""] * len(running)
    tells_no_credential([pack for _, pack in running], server)


@pytest.fixture
def here(server: Sandbox) -> Iterator[Pack]:
    """A pack inside this process that can reach the API, at `NOW`; in the end it must have told no credential."""
    pack = Pack(Direct(Servicer(environ=server.environment, now=lambda: NOW)))
    yield pack
    tells_no_credential([pack], server)


def tells_no_credential(packs: list[Pack], server: Sandbox) -> None:
    """Check that nothing that these packs said holds a credential."""
    told = repr([pack.answers for pack in packs])
    assert not [credential for credential in server.secrets if credential in told]


@pytest.fixture(scope="module")
def shared_process() -> Iterator[Pack]:
    """One process for what leaves no trace in it."""
    plugin, pack = start_process()
    yield pack
    assert plugin.stop() == ""


@pytest.fixture
def process(shared_process: Pack) -> Pack:
    """A running pack without any configuration."""
    shared_process.configure_stack({})
    shared_process.configure({})
    return shared_process


@pytest.fixture
def pack() -> Pack:
    """A pack inside this process, without any configuration, to show data sources to at `NOW`."""
    pack = Pack(Direct(Servicer(environ={}, now=lambda: NOW)))
    pack.configure_stack({})
    pack.configure({})
    return pack


class TestAnnouncement:
    """What the engine is told of the pack."""

    def test_versions(self, process: Pack) -> None:
        """The plugin has the version of the distribution."""
        assert process.engine.GetPluginInfo(empty_pb2.Empty()).version == __version__

    def test_rules(self, process: Pack) -> None:
        """All rules are announced with what Pulumi has fields for, controls of frameworks among them."""
        info = process.engine.GetAnalyzerInfo(empty_pb2.Empty())
        assert (info.name, info.version, info.supportsConfig) == ("ampersand", __version__, True)
        assert [policy.name for policy in info.policies] == [rule.id for rule in RULES]
        severity, level = proto.PolicySeverity.Name, proto.EnforcementLevel.Name
        for policy, rule in zip(info.policies, RULES, strict=True):
            assert policy.displayName == policy.description == rule.title
            assert severity(policy.severity) == f"POLICY_SEVERITY_{rule.severity.name}"
            assert level(policy.enforcementLevel) == rule.enforcement.name
            assert policy.policy_type == (proto.POLICY_TYPE_STACK if rule.whole else proto.POLICY_TYPE_RESOURCE)
            assert policy.remediation_steps == rule.remedy()
            assert "{" not in policy.remediation_steps
            assert list(policy.tags) == [*rule.tags, *(f"{c.framework.name} {c.reference}" for c in rule.controls)]
            assert policy.tags
            assert policy.url == ""
            assert policy.HasField("framework") == bool(rule.controls)
            if rule.controls:
                told, control = policy.framework, rule.controls[0]
                assert (told.name, told.version, told.specification) == control.framework
                assert told.reference == control.reference
        assert {policy.name for policy in info.policies if policy.policy_type == proto.POLICY_TYPE_STACK} == {
            "required-connections",
            "unique-connections",
        }

    def test_pages_can_be_linked(self) -> None:
        """Who publishes the rules' pages has each rule lead to its own."""
        pack = Pack(Direct(Servicer(environ={}, pages="https://example.com/rules/")))
        info = pack.engine.GetAnalyzerInfo(empty_pb2.Empty())
        assert [policy.url for policy in info.policies] == [f"https://example.com/rules/{rule.id}.md" for rule in RULES]

    def test_controls_are_seen(self, process: Pack) -> None:
        """A rule about least privilege is found by the controls that ask for it; the first has fields of its own."""
        info = process.engine.GetAnalyzerInfo(empty_pb2.Empty())
        (policy,) = [policy for policy in info.policies if policy.name == "forbidden-scopes"]
        assert list(policy.tags)[-3:] == ["SOC 2 CC6.3", "ISO/IEC 27001 A.8.3", "NIST SP 800-53 AC-6"]
        assert (policy.framework.name, policy.framework.reference) == ("SOC 2", "CC6.3")
        assert policy.framework.specification == "AICPA Trust Services Criteria"

    def test_schemas_are_plain(self, process: Pack) -> None:
        """The engine gets each option's description and simple type, and nothing that it mangles or fills in."""
        info = process.engine.GetAnalyzerInfo(empty_pb2.Empty())
        for policy, rule in zip(info.policies, RULES, strict=True):
            options = json_format.MessageToDict(policy.configSchema.properties)
            assert set(options) == set(rule.schema["properties"])
            for option in options.values():
                assert option["description"]
                assert set(option) <= {"description", "type"}
                assert isinstance(option.get("type", ""), str)
            assert not policy.configSchema.required

    def test_a_rule_that_may_stay_inactive_has_a_level_that_nobody_chose(self, process: Pack) -> None:
        """Only so can a rule that is named be told from one that isn't: the engine merges the two."""
        info = process.engine.GetAnalyzerInfo(empty_pb2.Empty())
        levels = {name: entry.enforcementLevel for name, entry in info.initialConfig.items()}
        assert levels == dict.fromkeys(
            [
                *("required-scopes", "access-token-expiry", "forbidden-scopes", "allowed-scopes"),
                *("allowed-providers", "allowed-workspaces", "connection-schema"),
            ],
            proto.REMEDIATE,
        )

    def test_nothing_is_remediated(self, process: Pack) -> None:
        """The pack changes no resource."""
        answer = process.engine.Remediate(
            proto.AnalyzeRequest(type=DATA_SOURCE, properties=struct({"connections": "x"}))
        )
        assert not answer.remediations

    def test_the_message_limit_is_the_engines(self) -> None:
        """Messages may be as large as the engine's, and both documents of a data source fit into one."""
        assert MESSAGE_LIMIT == 400 * 1024 * 1024
        assert DOCUMENT_LIMIT < MESSAGE_LIMIT


class TestDataSource:
    """Judging what data sources read."""

    def test_healthy_connections(self, pack: Pack) -> None:
        """Connections that keep every rule are no violation."""
        assert pack.judge(documents(inventory(sent("a"), sent("b")))) == []

    def test_a_broken_connection(self, pack: Pack) -> None:
        """A violation has the rule, its level and severity, and a message with the remedy."""
        (diagnostic,) = pack.show(DATA_SOURCE, documents(inventory(sent(status="bad_credentials"))))
        refused = "conn_1 (salesforce, Acme Ltd): the provider refuses its credentials (status bad_credentials)"
        assert said([diagnostic]) == [
            (
                "no-bad-credentials",
                "mandatory",
                f"{refused}. Have the customer authorise again: pulumi-ampersand reauth conn_1",
            )
        ]
        assert diagnostic.severity == proto.POLICY_SEVERITY_CRITICAL
        assert (diagnostic.policyPackName, diagnostic.policyPackVersion) == ("ampersand", __version__)
        assert diagnostic.description == "The provider accepts the connection's credentials"

    @pytest.mark.parametrize("kind", DATA_SOURCES)
    def test_every_kind_of_data_source_is_judged_alike(self, pack: Pack, kind: str) -> None:
        """The dynamic provider's and the plugin's: known, unknown or not targeted, one by one and all together."""
        pack.configure({"required-connections": {"require": [{"provider": "gong"}]}})
        broken = documents(inventory(sent(status="bad_credentials")))
        for properties in ({}, {**broken, "connections": UNKNOWN, "observations": UNKNOWN}, broken):
            judged = said(pack.show(kind, properties))
            assert len(judged) == 1
            assert judged == pack.judge(properties)
        pack.show(kind, broken)
        urn = f"urn:pulumi:dev::test::{kind}::one-0"
        whole = [proto.AnalyzerResource(type=kind, urn=urn, properties=struct(broken))]
        at_the_end = said(pack.engine.AnalyzeStack(proto.AnalyzeStackRequest(resources=whole)).diagnostics)
        assert [rule for rule, _, _ in at_the_end] == ["required-connections"]
        assert at_the_end == pack.end(broken)

    @pytest.mark.parametrize("kind", DATA_SOURCES)
    def test_a_stack_with_any_of_them_needs_no_gate(self, pack: Pack, kind: str) -> None:
        """Where one of both is required."""
        pack.configure({"readable-connections": {"require": True}})
        assert [rule for rule, _, _ in pack.end()] == ["readable-connections"]
        pack.show(kind, documents(inventory(sent())))
        assert pack.end(kind) == []

    def test_mixed(self, pack: Pack) -> None:
        """The sandbox's scenario breaks what its table says."""
        pack.configure(CONFIGURATION)
        violations = pack.judge(documents(inventory(*Sandbox("mixed", now=NOW).connections)))
        found = {name: {rule for rule, _, text in violations if text.startswith(f"{name} ")} for name in BREAKS}
        assert found == BREAKS
        assert len(violations) == sum(map(len, BREAKS.values()))

    def test_severest_first(self, pack: Pack) -> None:
        """Violations come by severity, so that the worst isn't lost in a long list."""
        pack.configure({"required-scopes": {"scopes": {"*": ["web"]}}, "token-expiry": {"minDays": 400}})
        connections = [
            sent(f"c{number}", status=status, oauth2AuthorizationCode=grant(refresh="2000-01-01T00:00:00Z"))
            for number, status in enumerate(["suspended", "bad_credentials", "working"])
        ]
        diagnostics = pack.show(DATA_SOURCE, documents(inventory(*connections)))
        ranks = [[*SEVERITIES, proto.POLICY_SEVERITY_CRITICAL].index(diagnostic.severity) for diagnostic in diagnostics]
        assert ranks == sorted(ranks, reverse=True)
        assert set(ranks) == {1, 2, 3}

    def test_levels_and_options_come_from_the_configuration(self, pack: Pack) -> None:
        """What a configuration says holds for data sources."""
        broken = documents(inventory(sent(status="bad_credentials")))
        pack.configure({"all": "advisory"})
        assert [level for _, level, _ in pack.judge(broken)] == ["advisory"]
        pack.configure({"all": "mandatory", "no-bad-credentials": "advisory"})
        assert [level for _, level, _ in pack.judge(broken)] == ["advisory"]
        pack.configure({"all": "disabled"})
        assert pack.judge(broken) == []
        pack.configure({"all": "disabled", "no-bad-credentials": "mandatory"})
        assert [level for _, level, _ in pack.judge(broken)] == ["mandatory"]

    @pytest.mark.parametrize(("limit", "shown"), [(1, 1), (3, 3), (29, 29), (30, 30), (31, 30), (None, 20)])
    def test_reports_are_capped(self, pack: Pack, limit: int | None, shown: int) -> None:
        """A rule shows as many findings as it is told, then how many more there are."""
        options = {"enforcementLevel": "advisory"} | ({} if limit is None else {"maxReported": limit})
        pack.configure({"no-bad-credentials": options})
        violations = pack.judge(documents(inventory(*(sent(f"{n:02}", status="bad_credentials") for n in range(30)))))
        more = [(rule, level, text) for rule, level, text in violations if text.startswith("and ")]
        assert len(violations) - len(more) == shown
        assert {(rule, level) for rule, level, _ in violations} == {("no-bad-credentials", "advisory")}
        if shown < 30:
            assert violations[-1][2] == (
                f"and {30 - shown} more: run pulumi-ampersand audit, or set maxReported of no-bad-credentials"
            )
        assert len(more) == (shown < 30)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            pytest.param({"connections": None}, "isn't targeted", id="missing-connections"),
            pytest.param({"observations": None}, "isn't targeted", id="missing-observations"),
            pytest.param({"connections": UNKNOWN}, "isn't known until the update", id="unknown-connections"),
            pytest.param({"observations": UNKNOWN}, "isn't known until the update", id="unknown-observations"),
            pytest.param({"connections": secret(UNKNOWN)}, "isn't known until the update", id="unknown-secret"),
            pytest.param({"connections": "nonsense"}, "can't be read", id="no-json"),
            pytest.param({"connections": ""}, "can't be read", id="empty"),
            pytest.param({"connections": '{"v":1,"connections":[{}]}'}, "can't be read", id="broken-connection"),
            pytest.param({"observations": '{"v":1}'}, "can't be read", id="broken-observations"),
            pytest.param({"connections": '{"v":2,"connections":[]}'}, "upgrade pulumi-ampersand", id="newer"),
            pytest.param({"observations": '{"v":3,"seen":1}'}, "upgrade pulumi-ampersand", id="newer-observations"),
            pytest.param({"connections": 5}, "can't be read", id="number"),
            pytest.param({"connections": ["a"]}, "can't be read", id="list"),
            pytest.param({"connections": {"a": 1}}, "can't be read", id="object"),
            pytest.param({"observations": 5}, "can't be read", id="number-for-observations"),
        ],
    )
    def test_documents_that_cannot_be_judged(self, pack: Pack, changes: dict[str, Any], message: str) -> None:
        """Documents that are missing, unknown, broken or newer are one note that says so, never a pass."""
        properties = documents(inventory(sent(status="bad_credentials"))) | changes
        given = {name: value for name, value in properties.items() if value is not None}
        ((rule, level, text),) = pack.judge(given)
        assert (rule, level) == ("verifiable-connections", "advisory")
        assert text.startswith("its connections were not evaluated: ")
        assert message in text
        assert text == one_line(text)

    def test_without_any_property(self, pack: Pack) -> None:
        """An untargeted new resource is shown without properties."""
        assert [rule for rule, _, _ in pack.judge({})] == ["verifiable-connections"]
        assert [rule for rule, _, _ in pack.judge({"connections": None, "observations": None})] == [
            "verifiable-connections"
        ]

    @pytest.mark.parametrize("level", ["mandatory", "disabled"])
    def test_what_cannot_be_judged_can_fail_closed(self, pack: Pack, level: str) -> None:
        """The level of ``verifiable-connections`` decides what such a note does."""
        pack.configure({"verifiable-connections": level})
        assert [found for _, found, _ in pack.judge({})] == ["mandatory"] * (level == "mandatory")

    def test_secret_documents(self, pack: Pack) -> None:
        """Documents that are secret because a filter is are judged alike."""
        properties = documents(inventory(sent(status="bad_credentials")))
        wrapped = {name: secret(value) for name, value in properties.items()}
        assert pack.judge(wrapped) == pack.judge(properties)
        assert pack.judge({name: secret(value) for name, value in wrapped.items()}) == pack.judge(properties)

    def test_a_list_leaves_refresh_tokens_open(self, pack: Pack) -> None:
        """What a list doesn't say is not evaluated."""
        connection = sent(oauth2AuthorizationCode=grant(refresh=False, access=at(days=1)))
        assert [rule for rule, _, _ in pack.judge(documents(inventory(connection, complete=False)))] == [
            "verifiable-connections"
        ]

    def test_hostile_names(self, pack: Pack) -> None:
        """Whatever customers are called, messages are single harmless lines."""
        connection = sent(
            f"id{HOSTILE}",
            provider=f"p{HOSTILE}",
            status="bad_credentials",
            authScheme=f"s{HOSTILE}",
            group={"groupName": HOSTILE},
        )
        violations = pack.judge(documents(inventory(connection)))
        assert {rule for rule, _, _ in violations} == {"no-bad-credentials", "verifiable-connections"}
        assert all(text == one_line(text) for _, _, text in violations)

    def test_hostile_text_in_every_rule(self, pack: Pack) -> None:
        """Neither connections nor options put anything else into a message, whatever rule is broken."""
        scope = HOSTILE.replace(" ", "").replace("\n", "")
        scopes = [scope, f"other{scope}"]
        pack.configure(
            {
                **{rule: {"scopes": {"*": [scope]}} for rule in ("required-scopes", "allowed-scopes")},
                "forbidden-scopes": {"scopes": {"*": ["other*"]}},
                "allowed-providers": {"allow": [HOSTILE]},
                "allowed-workspaces": {"workspaces": {"*": "nothing"}},
                "allowed-auth-schemes": {"schemes": {"*": [HOSTILE]}},
                "required-connections": {"require": [{"provider": HOSTILE, "groupRef": HOSTILE}]},
                "connection-schema": {"schema": {"properties": {"providerMetadata": {"maxProperties": 0}}}},
            }
        )
        connections = [
            sent(
                f"id{number}{HOSTILE}",
                provider=f"p{HOSTILE}",
                providerWorkspaceRef=HOSTILE,
                authScheme=f"oauth2/authorizationCode{HOSTILE}",
                oauth2AuthorizationCode=grant(refresh=False, access=at(hours=1), scopes=[granted]),
                providerApp={"projectId": HOSTILE, "scopes": [f"app{HOSTILE}"]},
                providerMetadata={HOSTILE: {"value": HOSTILE}},
            )
            for number, granted in enumerate(scopes)
        ]
        violations = pack.deploy(documents(inventory(*connections)), new=True)
        assert [text for _, _, text in violations if text != one_line(text)] == []
        assert {rule for rule, _, _ in violations} == {
            *("required-scopes", "token-expiry", "refreshable", "provider-app-scopes", "forbidden-scopes"),
            *("allowed-scopes", "allowed-auth-schemes", "allowed-providers", "allowed-workspaces", "same-project"),
            *("unique-connections", "required-connections", "connection-schema", "verifiable-connections"),
        }

    def test_large_documents(self, process: Pack) -> None:
        """Documents beyond gRPC's usual 4 MiB are judged."""
        metadata = {"big": {"value": "x" * 8 * 1024 * 1024, "source": "input"}}
        found = inventory(sent(**TIMELESS, status="bad_credentials", providerMetadata=metadata))
        assert len(process.judge(documents(found))) == 1

    def test_four_at_once(self, process: Pack) -> None:
        """The engine shows several resources at the same time."""
        properties = [documents(inventory(sent(str(n), **TIMELESS, status="bad_credentials"))) for n in range(8)]
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(process.judge, properties))
        assert [answer[0][2].partition(" ")[0] for answer in answers] == [str(n) for n in range(8)]

    @pytest.mark.parametrize(
        "kind",
        [
            "pulumi:providers:pulumi-python",
            "pulumi:providers:ampersand",
            "pulumi-python:dynamic:Resource",
            "pulumi-python:dynamic/ampersand:Other",
            "pulumi-nodejs:dynamic/ampersand:Connections",
            "",
        ],
    )
    def test_other_resources_are_not_looked_at(self, pack: Pack, kind: str) -> None:
        """Other resources, the provider with the API key in clear among them, are answered by their type alone."""
        assert pack.show(kind, {"connections": "nonsense", "observations": 5, "apiKey": "key"}) == []


class TestWaivedAndTolerated:
    """Findings that don't break the gate."""

    BROKEN = documents(inventory(*(sent(name, status="bad_credentials") for name in ("a", "b", "c"))))
    SAID = " (salesforce, Acme Ltd): the provider refuses its credentials (status bad_credentials)"

    @staticmethod
    def waiver(**changes: Any) -> dict[str, Any]:
        """A waiver of b, until the day of `NOW`."""
        return {"connection": "b", "reason": "moving", "approvedBy": "Jo", "expires": "2026-11-24", **changes}

    def test_a_waived_finding_is_advice(self, pack: Pack) -> None:
        """It stands after those that are open, with the day until which it is waived, by whom and why."""
        pack.configure({"no-bad-credentials": {"waivers": [self.waiver()]}})
        remedy = ". Have the customer authorise again: pulumi-ampersand reauth "
        assert pack.judge(self.BROKEN) == [
            ("no-bad-credentials", "mandatory", f"a{self.SAID}{remedy}a"),
            ("no-bad-credentials", "mandatory", f"c{self.SAID}{remedy}c"),
            ("no-bad-credentials", "advisory", f"b{self.SAID}. Waived until 2026-11-24, approved by Jo: moving"),
        ]

    def test_an_expired_waiver_bites_again(self, pack: Pack) -> None:
        """The finding stops the deployment and says why it does again."""
        pack.configure({"no-bad-credentials": {"waivers": [self.waiver(expires="2026-11-23")]}})
        violations = pack.judge(self.BROKEN)
        assert [level for _, level, _ in violations] == ["mandatory"] * 3
        assert violations[1][2].startswith(
            f"b{self.SAID}; its waiver expired after 2026-11-23, approved by Jo: moving. Have the customer"
        )

    @pytest.mark.parametrize("more", [{}, {"all": "mandatory"}], ids=["alone", "with-all"])
    def test_waivers_can_be_disabled(self, pack: Pack, more: dict[str, Any]) -> None:
        """Then none is heeded, in no rule, nor spoken of."""
        pack.configure({**more, "no-bad-credentials": {"waivers": [self.waiver()]}, "waivers": "disabled"})
        violations = [violation for violation in pack.judge(self.BROKEN) if violation[0] == "no-bad-credentials"]
        assert [level for _, level, _ in violations] == ["mandatory"] * 3
        assert not any("aiver" in text for _, _, text in violations)

    def test_waivers_of_hostile_text_stay_harmless(self, pack: Pack) -> None:
        """Whoever writes a waiver can't steer a terminal either."""
        pack.configure({"no-bad-credentials": {"waivers": [self.waiver(reason=HOSTILE, approvedBy=HOSTILE)]}})
        violations = pack.judge(self.BROKEN)
        assert "Waived until" in violations[-1][2]
        assert all(text == one_line(text) for _, _, text in violations)

    @pytest.mark.parametrize("tolerate", [3, "100%"])
    def test_tolerated_findings_are_advice(self, pack: Pack, tolerate: int | str) -> None:
        """No more than are tolerated: each is shown, and none stops the deployment."""
        pack.configure({"no-bad-credentials": {"tolerate": tolerate}})
        violations = pack.judge(self.BROKEN)
        assert [level for _, level, _ in violations] == ["advisory"] * 3
        assert all(f"{self.SAID}. Tolerated. Have the customer" in text for _, _, text in violations)

    @pytest.mark.parametrize("tolerate", [2, "99%"])
    def test_more_than_are_tolerated(self, pack: Pack, tolerate: int | str) -> None:
        """Then all break the rule, and a last line says how many are too many; a waived one doesn't count."""
        pack.configure({"no-bad-credentials": {"tolerate": tolerate, "enforcementLevel": "mandatory"}})
        violations = pack.judge(self.BROKEN)
        assert [level for _, level, _ in violations] == ["mandatory"] * 4
        assert violations[-1][2] == f"3 in all, more than are tolerated ({tolerate})"
        pack.configure({"no-bad-credentials": {"tolerate": 2, "waivers": [self.waiver()]}})
        assert [level for _, level, _ in pack.judge(self.BROKEN)] == ["advisory"] * 3


class TestWholeStack:
    """Rules over everything that a stack reads."""

    ONE, TWO, OTHER = (sent(name, providerWorkspaceRef="same") for name in ("a", "b", "c"))
    REQUIRED: Mapping[str, Any] = {"required-connections": {"require": [{"provider": "salesforce", "min": 2}]}}
    TOO_FEW = (
        "provider salesforce: 1 healthy connection, at least 2 needed. "
        "Have the customer connect, or authorise again (pulumi-ampersand reauth <connection>)"
    )

    @pytest.mark.parametrize("new", [True, False], ids=["new", "as-it-was"])
    def test_all_data_sources_are_judged_at_once(self, pack: Pack, new: bool) -> None:
        """Nothing is said of each by itself, and at the end what they hold together counts, at its own level."""
        pack.configure({**self.REQUIRED, "unique-connections": "mandatory"})
        first, second = (documents(inventory(one)) for one in (self.ONE, self.TWO))
        alike = "its customer has others for the same workspace"
        remedy = "Keep the one that the integration uses, and delete the others in Ampersand"
        assert pack.deploy(first, second, new=new) == [
            ("unique-connections", "mandatory", f"a (salesforce, Acme Ltd): {alike}: b. {remedy}"),
            ("unique-connections", "mandatory", f"b (salesforce, Acme Ltd): {alike}: a. {remedy}"),
        ]
        assert pack.answers[1:3] == [proto.AnalyzeResponse()] * 2
        assert pack.deploy(second, new=new) == [("required-connections", "mandatory", self.TOO_FEW)]

    def test_unhealthy_ones_are_named(self, pack: Pack) -> None:
        """A requirement that is broken says what there is, and in what state."""
        pack.configure({**self.REQUIRED, "no-bad-credentials": "disabled"})
        sick = documents(inventory(self.ONE, {**self.TWO, "status": "bad_credentials", "providerWorkspaceRef": "b"}))
        ((_, _, text),) = pack.deploy(sick)
        assert "1 healthy connection, at least 2 needed; unhealthy: b (bad_credentials). " in text

    def test_within_one_data_source(self, pack: Pack) -> None:
        """Two that are alike in one data source are told once each, at the end."""
        assert [rule for rule, _, _ in pack.deploy(documents(inventory(self.ONE, self.TWO)))] == [
            "unique-connections"
        ] * 2

    def test_a_connection_read_twice_is_one(self, pack: Pack) -> None:
        """Two data sources that read the same connection don't double it, though it was seen in another state."""
        pack.configure(self.REQUIRED)
        earlier = {**self.ONE, "status": "created", "updateTime": at(hours=-2)}
        assert pack.deploy(*(documents(inventory(one)) for one in (self.ONE, earlier))) == [
            ("required-connections", "mandatory", self.TOO_FEW)
        ]

    @pytest.mark.parametrize(
        ("open_one", "note"),
        [
            pytest.param({"connections": UNKNOWN, "observations": UNKNOWN}, "isn't known until the update", id="later"),
            pytest.param({"connections": secret(UNKNOWN)}, "isn't known until the update", id="half"),
            pytest.param({}, "isn't targeted", id="untargeted"),
            pytest.param({"connections": "x", "observations": "x"}, "can't be read", id="broken"),
        ],
    )
    @pytest.mark.parametrize("content", [{}, EVERY_RULE], ids=["by-default", "every-rule"])
    def test_one_that_is_not_known_leaves_them_open(
        self, pack: Pack, content: dict[str, Any], open_one: dict[str, Any], note: str
    ) -> None:
        """Nothing is called missing then. One note says so, of the data source, however many rules there are."""
        pack.configure({**content, **self.REQUIRED, "verifiable-connections": "advisory"})
        ((rule, level, text),) = pack.deploy(documents(inventory(self.ONE)), open_one)
        assert (rule, level) == ("verifiable-connections", "advisory")
        assert text.startswith("its connections were not evaluated: ")
        assert note in text

    def test_what_they_can_not_judge_is_told_once(self, pack: Pack) -> None:
        """A gap of theirs stands at the end; what was said of a data source isn't said again."""
        nobody = sent(group=None, consumer=None, status="suspended")
        before, after = pack.deploy(documents(inventory(nobody)))
        assert before[2].startswith('conn_1 (salesforce): its status "suspended" is unknown. Unjudged is not passed')
        assert after[:2] == ("verifiable-connections", "advisory")
        assert after[2].startswith(
            "conn_1 (salesforce): unique-connections was not evaluated: whose it is is unknown: the API didn't send "
            "group.groupRef; the API didn't send consumer.consumerRef. Unjudged is not passed"
        )

    def test_disabled(self, pack: Pack) -> None:
        """Without them nothing is judged at the end."""
        pack.configure({"unique-connections": "disabled", "required-connections": "disabled"})
        assert pack.deploy(documents(inventory(self.ONE, self.TWO))) == []

    def test_secret_documents(self, pack: Pack) -> None:
        """Documents that are secret are judged at the end, too."""
        plain = documents(inventory(self.ONE, self.TWO))
        wrapped = {name: secret(value) for name, value in plain.items()}
        assert pack.deploy(wrapped) == pack.deploy(plain) != []

    def test_a_gate_judges_them_at_the_root(self, here: Pack, server: Sandbox) -> None:
        """What the gate reads counts then, and data sources, which it may have left out, aren't judged by them."""
        server.connections = [self.ONE, self.TWO, {**self.OTHER, "provider": "gong"}]
        here.configure_stack({"ampersand:gate": '{"provider":"gong"}'})
        here.configure(self.REQUIRED)
        twins = documents(inventory(self.ONE, self.TWO))
        assert here.deploy(twins) == [
            (
                "required-connections",
                "mandatory",
                self.TOO_FEW.replace("1 healthy", "0 healthy").replace("connection,", "connections,"),
            )
        ]
        assert server.counts["list"] == 1

    def test_a_gate_finds_those_that_are_alike(self, here: Pack, server: Sandbox) -> None:
        """Once, though the stack's data source reads them, too."""
        server.connections = [self.ONE, self.TWO]
        here.configure_stack({"ampersand:gate": "true"})
        here.configure({})
        found = here.deploy(documents(inventory(self.ONE, self.TWO)))
        assert [(rule, level) for rule, level, _ in found] == [("unique-connections", "advisory")] * 2

    def test_policy_analyze(self, here: Pack) -> None:
        """What a state holds is judged without the stack's configuration, a gate of which nobody can see."""
        here.configure(self.REQUIRED)
        found = here.deploy(documents(inventory(self.ONE)))
        assert [rule for rule, _, _ in found] == ["verifiable-connections", "required-connections"]
        assert found[0][2].startswith("a gate in the stack's configuration")
        assert found[1][2] == self.TOO_FEW

    @pytest.mark.parametrize("verifiable", [True, False])
    def test_a_crash_is_seen(self, verifiable: bool) -> None:
        """A rule that fails over the whole stack is no pass, whether or not somebody asked for what is open."""

        def check(found: Inventory, _options: Options, _now: Any) -> Iterator[Breach | Unverified]:
            raise ValueError(f"s3cret {len(found)}")

        rule = Rule("made-up", "True", Severity.LOW, Enforcement.ADVISORY, "Mend it", check, Options, whole=True)
        rules: list[Rule[Any]] = [rule, verifiable_connections.RULE] if verifiable else [rule]
        pack = Pack(Direct(Servicer(rules, environ={}, now=lambda: NOW)))
        pack.configure_stack({})
        ((_, level, text),) = pack.deploy(documents(inventory(sent())))
        assert level == ("advisory" if verifiable else "mandatory")
        assert text.startswith("made-up was not evaluated: the rule crashed with ValueError at test_pack.py:")
        assert "s3cret" not in text


class TestQuiet:
    """Where there is nothing to judge."""

    @pytest.mark.parametrize("content", [{}, {"all": "mandatory"}, EVERY_RULE], ids=["default", "all", "every-rule"])
    def test_a_stack_without_connections(self, here: Pack, server: Sandbox, content: dict[str, Any]) -> None:
        """No message, no remark, no request, even with every rule turned on."""
        here.configure_stack({"ampersand:project": server.project})
        here.configure(content)
        assert here.root() == []
        for kind in ("aws:s3:Bucket", "pulumi:providers:pulumi-python"):
            here.show(kind, {"connections": UNKNOWN, "observations": UNKNOWN})
        assert here.end("aws:s3:Bucket", "pulumi:providers:pulumi-python") == []
        assert here.answers == [proto.AnalyzeResponse()] * 4
        assert not server.requests

    def test_healthy_connections(self, pack: Pack) -> None:
        """Connections that keep every rule are no message either."""
        pack.configure(EVERY_RULE)
        assert pack.deploy(documents(inventory(sent("a"))), documents(inventory(sent("b")))) == []


class TestMissing:
    """Connections that a gate names."""

    GATE: Mapping[str, str] = {"ampersand:gate": '{"connectionIds":["conn_koyo_slack","gone"]}'}
    SENTENCE = 'the gate names connection "gone", which doesn\'t exist, or which its filters exclude'

    def test_one_that_does_not_exist(self, here: Pack) -> None:
        """It is missing, and nothing was unreadable."""
        here.configure_stack(self.GATE)
        here.configure({})
        ((rule, level, text),) = here.root()
        assert (rule, level) == ("required-connections", "mandatory")
        assert text.startswith(f"{self.SENTENCE}. ")

    def test_can_not_be_hidden(self, here: Pack) -> None:
        """With the rule disabled it is a matter of ``verifiable-connections``."""
        here.configure_stack(self.GATE)
        here.configure({"required-connections": "disabled"})
        ((rule, level, text),) = here.root()
        assert (rule, level) == ("verifiable-connections", "advisory")
        assert text.startswith(self.SENTENCE)

    def test_nothing_is_missing_of_what_could_not_be_read(self, here: Pack, server: Sandbox) -> None:
        """One cause is one finding; what is required is left open instead."""
        server.faults = ["401"]
        here.configure_stack(self.GATE)
        here.configure({"required-connections": {"require": [{"provider": "gong"}]}})
        unread, left_open = here.root()
        assert unread[:2] == ("readable-connections", "mandatory")
        assert left_open[:2] == ("verifiable-connections", "advisory")
        assert left_open[2].startswith(
            "required-connections was not evaluated: provider gong: not all connections could be read"
        )


class TestTrust:
    """Who says how a gate is read."""

    @pytest.fixture
    def elsewhere(self) -> Iterator[Sandbox]:
        """Another server, where all is well, with a key of its own."""
        with Sandbox("healthy", api_key="another-key") as running:
            yield running

    @staticmethod
    def astray(elsewhere: Sandbox) -> dict[str, str]:
        """A stack's configuration that leads elsewhere."""
        return {
            "ampersand:apiUrl": elsewhere.url,
            "ampersand:apiKey": elsewhere.api_key,
            "ampersand:details": "always",
        }

    def test_the_packs_gate_is_not_led_astray(self, here: Pack, server: Sandbox, elsewhere: Sandbox) -> None:
        """With a key in the environment, a pull request to the stack can't have it read by another server or proxy."""
        config = self.astray(elsewhere)
        config |= {"ampersand:proxy": elsewhere.url, "ampersand:caFile": "/nowhere.pem"}
        here.configure_stack({**config, "ampersand:project": server.project})
        here.configure({"readable-connections": {"gate": True}})
        assert any("conn_tidewell_salesforce" in text for _, _, text in here.root())
        assert not elsewhere.requests
        assert server.counts == {"list": 1, "one": 3}

    def test_the_project_is_the_stacks(self, here: Pack, server: Sandbox, elsewhere: Sandbox) -> None:
        """Only the project of the stack's configuration counts."""
        here.configure_stack({**self.astray(elsewhere), "ampersand:project": "another"})
        here.configure({"readable-connections": {"gate": True}})
        (unread,) = here.root()
        assert unread[0] == "readable-connections"
        assert f'reading connections of project "another" at {server.url}' in unread[2]
        assert not elsewhere.requests

    @pytest.mark.parametrize(
        ("gate", "content", "left_out"),
        [
            pytest.param({"ampersand:gate": "true"}, {}, "", id="the-stacks-gate"),
            pytest.param({}, {"readable-connections": {"gate": True}}, "AMP_API_KEY", id="no-key-in-the-environment"),
        ],
    )
    def test_else_the_stacks_configuration_counts(
        self, server: Sandbox, elsewhere: Sandbox, gate: dict[str, str], content: dict[str, Any], left_out: str
    ) -> None:
        """A stack's own gate, or a gate without another key, is read as the stack says."""
        environ = {name: value for name, value in server.environment.items() if name != left_out}
        pack = Pack(Direct(Servicer(environ=environ, now=lambda: NOW)))
        pack.configure_stack({**gate, **self.astray(elsewhere)})
        pack.configure(content)
        assert not any("conn_tidewell_salesforce" in text for _, _, text in pack.root())
        assert not server.requests
        assert elsewhere.counts == {"list": 1, "one": len(elsewhere.connections)}


class TestRoot:
    """Judging the stack as a whole, when its root is shown."""

    def test_without_a_gate(self, start_pack: StartPack, server: Sandbox) -> None:
        """A stack without a gate is passed without a request, even with everything else configured."""
        pack = start_pack()
        pack.configure_stack({"ampersand:apiKey": server.api_key, "ampersand:project": "quickstart"})
        pack.configure({})
        assert pack.root() == []
        assert not server.requests

    @pytest.mark.parametrize("threads", [1, 4])
    def test_a_gate_reads_once(self, start_pack: StartPack, server: Sandbox, threads: int) -> None:
        """However often and from how many threads the root is shown, the API is read once; the answer is the same."""
        pack = start_pack()
        pack.configure_stack({"ampersand:gate": "true"})
        pack.configure(CONFIGURATION)
        with ThreadPoolExecutor(threads) as pool:
            answers = list(pool.map(lambda _: pack.root(), range(8)))
        assert all(answer == answers[0] for answer in answers)
        # Details are asked for where the scenario leaves out refresh tokens.
        assert server.counts == {"list": 1, "one": 3}
        assert ("no-bad-credentials", "mandatory") in [(rule, level) for rule, level, _ in answers[0]]

    @pytest.mark.parametrize("details", ["auto", "always", "never"])
    def test_a_gate_judges_what_a_data_source_would(self, here: Pack, server: Sandbox, details: Details) -> None:
        """Gate and data source say the same of the same connections, read in the same way."""
        here.configure_stack({"ampersand:gate": json.dumps({"details": details})})
        here.configure(CONFIGURATION)
        with Client(Settings().resolve({}, server.environment)) as client:
            found = Inventory(client.list_connections(server.project, details=details))
        assert here.root() == here.judge(documents(found))
        if details == "never":
            assert documents(found) == documents(inventory(*server.connections, complete=False))

    @pytest.mark.parametrize(
        ("gate", "asked"),
        [("true", 0), ('{"details":"always"}', 12), ('{"details":"auto"}', 3), ('{"details":"never"}', 0)],
    )
    def test_a_gate_reads_details_as_the_stack_does(self, here: Pack, server: Sandbox, gate: str, asked: int) -> None:
        """The stack's ``ampersand:details`` holds for its gate, too, unless the gate says otherwise."""
        here.configure_stack({"ampersand:gate": gate, "ampersand:details": "never"})
        here.configure({})
        here.root()
        assert (server.counts["list"], server.counts["one"]) == (1, asked)

    def test_settings_come_from_the_stack(self, start_pack: StartPack, server: Sandbox) -> None:
        """Key, root and project of the stack's configuration lead to the API; the key is shown nowhere."""
        pack = start_pack(LANG="C")
        pack.configure_stack(
            {
                "ampersand:gate": '{"provider":"salesforce"}',
                "ampersand:apiKey": server.api_key,
                "ampersand:apiUrl": server.url,
                "ampersand:project": server.project,
            }
        )
        pack.configure({})
        assert any("conn_tidewell_salesforce" in text for _, _, text in pack.root())
        assert server.requests[0].query == {"provider": "salesforce"}

    @pytest.mark.parametrize(
        ("gate", "query"),
        [({"provider": "hubspot"}, {"provider": "hubspot"}), ({"groupRef": 5.0}, {"groupRef": "5"}), (True, {})],
    )
    def test_the_gate_of_the_pack_wins(self, here: Pack, server: Sandbox, gate: Any, query: dict[str, str]) -> None:
        """A pull request to the stack can't change the gate of the pack's configuration."""
        here.configure_stack({"ampersand:gate": '{"provider":"nothing"}'})
        here.configure({"readable-connections": {"gate": gate}})
        here.root()
        assert [request.query for request in server.requests if request.kind == "list"] == [query]

    def test_the_pack_can_switch_the_gate_off(self, here: Pack, server: Sandbox) -> None:
        """``false`` in the pack's configuration is no gate, whatever the stack says."""
        here.configure_stack({"ampersand:gate": "true"})
        here.configure({"readable-connections": {"gate": False}})
        assert here.root() == []
        assert not server.requests

    @pytest.mark.parametrize("level", ["mandatory", "advisory"])
    def test_a_gate_that_cannot_be_read(self, here: Pack, server: Sandbox, level: str) -> None:
        """A refused key fails closed, or open where that was asked for, and isn't shown."""
        server.faults = ["key-echo"]
        here.configure_stack({"ampersand:gate": "true"})
        here.configure({"readable-connections": level})
        ((rule, found, text),) = here.root()
        assert (rule, found) == ("readable-connections", level)
        assert "the gate could not be read" in text
        assert "401" in text

    def test_an_unreadable_gate_cannot_be_hidden(self, here: Pack, server: Sandbox) -> None:
        """With ``readable-connections`` disabled, it is a matter of ``verifiable-connections``."""
        server.faults = ["401"]
        here.configure_stack({"ampersand:gate": "true"})
        here.configure({"readable-connections": "disabled"})
        assert [rule for rule, _, _ in here.root()] == ["verifiable-connections"]

    def test_hostile_names_and_many_findings(self, start_pack: StartPack, server: Sandbox) -> None:
        """Gates, too, show harmless lines and a capped number of them."""
        server.connections = [
            sent(f"{n:02}{HOSTILE}", **TIMELESS, status="bad_credentials", group={"groupName": HOSTILE})
            for n in range(25)
        ]
        pack = start_pack()
        pack.configure_stack({"ampersand:gate": "true"})
        pack.configure({})
        violations = pack.root()
        assert all(text == one_line(text) for _, _, text in violations)
        counts = Counter(rule for rule, _, _ in violations)
        # That a group has a name alone leaves open whose it is, in which project.
        assert counts == {"no-bad-credentials": 21, "verifiable-connections": 21}

    def test_a_malformed_gate_is_a_violation(self, here: Pack, server: Sandbox) -> None:
        """It stops the deployment with one line; nothing is read."""
        here.configure_stack({"ampersand:gate": '{"provder":"salesforce"}'})
        here.configure({"readable-connections": {"require": True}})
        ((rule, level, text),) = here.root()
        assert (rule, level) == ("configuration", "mandatory")
        assert text.startswith('ampersand:gate: unknown key "provder" (did you mean "provider"?)')
        assert here.judge(documents(inventory(sent(status="bad_credentials")))) == []
        assert here.end() == []
        assert not server.requests

    def test_unknown_settings_are_a_violation(self, here: Pack, server: Sandbox) -> None:
        """Every key under ``ampersand:`` that means nothing is a line with the nearest valid one."""
        here.configure_stack({"ampersand:gaet": "true", f"ampersand:{HOSTILE}": "x", "aws:region": "eu"})
        here.configure({})
        ((rule, level, text),) = here.root()
        assert (rule, level) == ("configuration", "mandatory")
        assert len(text.split("\n")) == 2
        assert '"ampersand:gaet" is no setting (did you mean "gate"?)' in text
        assert "aws:region" not in text
        assert all(line == one_line(line) for line in text.split("\n"))
        assert not server.requests

    def test_a_project_called_ampersand_may_have_keys_of_its_own(self, here: Pack) -> None:
        """A Pulumi project of that name keeps its own configuration in the namespace."""
        here.configure_stack({"ampersand:instanceCount": "3"}, project="ampersand")
        here.configure({})
        assert here.root() == []


class TestBrokenConfiguration:
    """A configuration that can't be used."""

    def test_it_is_one_violation_and_nothing_else(self, start_pack: StartPack, server: Sandbox) -> None:
        """All mistakes stand in one mandatory violation on the root, a line each; nothing is judged by them."""
        pack = start_pack()
        pack.configure_stack({"ampersand:gate": "true", "ampersand:proyect": "a"})
        pack.configure(
            {
                "required-scopes": "mandatory",
                "tokn-expiry": "advisory",
                "token-expiry": {"minDays": -1, "maxReported": 0},
                "readable-connections": {"require": True, "gate": {"provder": "salesforce"}},
            }
        )
        diagnostics = pack.show(STACK)
        ((rule, level, text),) = said(diagnostics)
        assert (rule, level) == ("configuration", "mandatory")
        assert diagnostics[0].severity == proto.POLICY_SEVERITY_CRITICAL
        expected = [
            'policy pack configuration: unknown rule "tokn-expiry" (did you mean "token-expiry"?)',
            'policy pack configuration: required-scopes is configured but lacks "scopes"',
            'policy pack configuration: token-expiry: "minDays": -1',
            'policy pack configuration: token-expiry: "maxReported": 0',
            'policy pack configuration: readable-connections: unknown key "gate.provder"',
            '"ampersand:proyect" is no setting (did you mean "project"?)',
        ]
        lines = text.split("\n")
        assert all(any(line.startswith(start) for line in lines) for start in expected)
        assert len(lines) == len(expected)
        assert pack.judge(documents(inventory(sent(status="bad_credentials")))) == []
        assert pack.judge({}) == []
        assert pack.end() == []
        assert not server.requests

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            pytest.param({"required-scopes": "advisory"}, "required-scopes is configured but", id="level"),
            pytest.param({"required-scopes": {"maxReported": 3}}, "required-scopes is configured but", id="options"),
            pytest.param(
                {"all": "advisory", "required-scopes": "mandatory"},
                "required-scopes is configured but",
                id="all-and-own",
            ),
            pytest.param(
                {"allowed-providers": "mandatory"},
                'allowed-providers is configured but lacks "allow" or "deny"',
                id="or",
            ),
            pytest.param(
                {"access-token-expiry": {"minMinutes": 5}},
                "access-token-expiry is configured but disabled by default: give it an enforcementLevel",
                id="off",
            ),
            pytest.param({"waivers": "advisory"}, '"waivers" can only be "disabled"', id="waivers"),
            pytest.param({"all": "advisory", "waivers": "advisory"}, '"waivers" can only be', id="waivers-and-all"),
            pytest.param({"waivers": "remediate"}, '"waivers" can only be "disabled"', id="waivers-remediate"),
            pytest.param(
                {"token-expiry": {"tolerate": "many"}}, "token-expiry: \"tolerate\": 'many' does", id="tolerate"
            ),
            pytest.param(
                {"required-connections": {"require": [{"provder": "slack", "groupRef": "acme"}]}},
                'required-connections: unknown key "require.0.provder" (did you mean "provider"?)',
                id="require",
            ),
            pytest.param({"token-expiry": "remediate"}, 'token-expiry: level "remediate"', id="remediate"),
            pytest.param({"all": "remediate"}, 'all: level "remediate"', id="remediate-all"),
            pytest.param(
                {"all": {"enforcementLevel": "advisory", "minDays": 3}}, '"all" is a level only', id="all-with-options"
            ),
            pytest.param({"nonsense": "advisory"}, 'unknown rule "nonsense"', id="unknown"),
            pytest.param({"all": "disabled", "nonsense": "advisory"}, 'unknown rule "nonsense"', id="unknown-yet"),
            pytest.param(
                {"token-expiry": {"enforcementLevel": "disabled", "minDay": 3}},
                'token-expiry: unknown key "minDay"',
                id="disabled",
            ),
            pytest.param(
                {"required-scopes": {"scopes": {"salesforce": "api"}}},
                'required-scopes: "scopes.salesforce": "api" is not allowed, only array',
                id="nested",
            ),
        ],
    )
    def test_mistakes_survive_the_engines_merging(self, here: Pack, content: dict[str, Any], problem: str) -> None:
        """Each mistake that the engine lets through is exactly one line."""
        here.configure_stack({})
        here.configure(content)
        ((rule, level, text),) = here.root()
        assert (rule, level) == ("configuration", "mandatory")
        assert text.startswith(f"policy pack configuration: {problem}")
        assert "\n" not in text

    @pytest.mark.parametrize(
        "content",
        [
            {},
            {"all": "advisory"},
            {"all": "mandatory"},
            {"all": "disabled"},
            {"required-scopes": "disabled"},
            {"required-scopes": {"scopes": {"*": ["api", ["a", "b"]]}}},
            {"required-scopes": {"enforcementLevel": "advisory", "scopes": {"*": []}}},
            {"all": "advisory", "token-expiry": {"minDays": 3, "maxReported": 5}},
            {"readable-connections": {"gate": False, "require": True}},
            pytest.param(EVERY_RULE, id="every-rule"),
            {"waivers": "disabled"},
            {"all": "disabled", "waivers": "disabled"},
            {"all": "advisory", "waivers": {"enforcementLevel": "disabled"}},
            {"access-token-expiry": "advisory"},
            {"all": "mandatory", "access-token-expiry": {"minMinutes": 5}},
            {"all": "advisory", "allowed-providers": {"deny": ["gong"]}},
            {"token-expiry": {"tolerate": "2.5%"}, "same-project": {"tolerate": 5}},
            {"connection-schema": {"schema": {"minProperties": 3}}},
        ],
        ids=json.dumps,
    )
    def test_valid_configurations_survive_the_engines_merging(self, here: Pack, content: dict[str, Any]) -> None:
        """What is right is no violation."""
        here.configure_stack({})
        here.configure(content)
        assert here.root() == []


class TestPolicyAnalyze:
    """``pulumi policy analyze``, which tells packs no stack and no configuration of one."""

    @pytest.mark.parametrize("told", [True, False])
    def test_a_gate_of_the_stack_is_not_evaluated(self, start_pack: StartPack, server: Sandbox, told: bool) -> None:
        """That there may be a gate which couldn't be seen is a note, once."""
        pack = start_pack()
        if told:
            pack.configure_stack({}, stack="", project="")
        pack.configure({})
        ((rule, level, text),) = pack.root()
        assert (rule, level) == ("verifiable-connections", "advisory")
        assert text.startswith("a gate in the stack's configuration, if there is one, was not evaluated")
        assert pack.root() == [(rule, level, text)]
        assert not server.requests

    def test_a_gate_of_the_pack_is_evaluated(self, here: Pack, server: Sandbox) -> None:
        """The gate of the pack's configuration needs no stack."""
        here.configure({"readable-connections": {"gate": {"connectionIds": ["conn_tidewell_salesforce"]}}})
        assert [rule for rule, _, _ in here.root()] == ["no-bad-credentials"]
        assert server.counts == {"list": 1}

    def test_without_the_rule_there_is_no_note(self, here: Pack) -> None:
        """Disabled, ``verifiable-connections`` says nothing."""
        here.configure({"verifiable-connections": "disabled"})
        assert here.root() == []

    def test_data_sources_are_judged(self, here: Pack) -> None:
        """A stack's state holds what its data sources read."""
        here.configure({})
        assert len(here.judge(documents(inventory(sent(status="bad_credentials"))))) == 1


class TestRequire:
    """A stack that must have a data source or a gate."""

    @pytest.mark.parametrize("level", ["mandatory", "advisory"])
    def test_a_stack_with_neither_is_a_violation(self, start_pack: StartPack, level: str) -> None:
        """It says what is missing and how to add it."""
        pack = start_pack()
        pack.configure_stack({"ampersand:project": "quickstart"})
        pack.configure({"readable-connections": {"require": True, "enforcementLevel": level}})
        assert pack.root() == []
        ((rule, found, text),) = pack.end("aws:s3:Bucket", "pulumi:providers:pulumi-python")
        assert (rule, found) == ("readable-connections", level)
        assert "neither an Ampersand data source nor a gate" in text
        assert "pulumi config set --path ampersand:gate.provider" in text

    def test_a_data_source_is_enough(self, here: Pack) -> None:
        """A data source among the resources keeps it."""
        here.configure_stack({})
        here.configure({"readable-connections": {"require": True}})
        here.root()
        assert here.end(DATA_SOURCE) == []

    def test_a_gate_is_enough(self, here: Pack) -> None:
        """A gate keeps it."""
        here.configure_stack({"ampersand:gate": '{"provider":"gong"}'})
        here.configure({"readable-connections": {"require": True}})
        assert here.root() == []
        assert here.end() == []

    def test_a_gate_that_is_switched_off_is_none(self, here: Pack) -> None:
        """``false`` is no gate."""
        here.configure_stack({"ampersand:gate": "false"})
        here.configure({"readable-connections": {"require": True}})
        assert here.root() == []
        assert len(here.end()) == 1

    def test_nobody_knows_without_the_stacks_configuration(self, here: Pack) -> None:
        """``pulumi policy analyze`` doesn't tell whether there is a gate: not evaluated, rather than broken."""
        here.configure({"readable-connections": {"require": True}})
        assert [rule for rule, _, _ in here.root()] == ["verifiable-connections"]
        assert here.end() == []

    def test_nothing_is_required_by_default(self, pack: Pack) -> None:
        """Stacks without connections are left alone."""
        assert pack.end() == []


class TestProcess:
    """The pack's process."""

    def test_it_ends_quietly_as_soon_as_it_has_started(self) -> None:
        """An interrupt that arrives at once ends it without a word and leaves nothing behind."""
        for _ in range(3):
            assert Plugin("pulumi.policy", "127.0.0.1:1", str(PACK), folder=PACK).stop() == ""

    def test_it_takes_no_settings_that_the_engine_does_not_tell(self, start_pack: StartPack, server: Sandbox) -> None:
        """The stack's configuration is what the engine tells, not what a variable of the user's says."""
        pack = start_pack(PULUMI_CONFIG='{"ampersand:gate": "true"}', **server.environment)
        pack.configure_stack({})
        pack.configure({})
        assert pack.root() == []
        assert not server.requests


def test_a_crash_is_seen_even_where_nobody_asked() -> None:
    """A rule that fails is a mandatory violation where ``verifiable-connections`` is disabled, without its text."""

    def check(found: Inventory, _options: Options, _now: Any) -> Iterator[Breach | Unverified]:
        raise ValueError(f"s3cret {len(found)}")

    rule = Rule("made-up", "True", Severity.LOW, Enforcement.ADVISORY, "Mend it", check, Options)
    servicer: Any = Servicer([rule], environ={})
    properties = struct(documents(inventory(sent())))
    diagnostics = servicer.Analyze(proto.AnalyzeRequest(type=DATA_SOURCE, properties=properties), None).diagnostics
    ((_, level, text),) = said(diagnostics)
    assert level == "mandatory"
    assert text.startswith("made-up was not evaluated: the rule crashed with ValueError at test_pack.py:")
    assert "s3cret" not in text


class TestAhead:
    """What the engine asks to be remediated is judged by the time it is to be analysed."""

    @staticmethod
    def remediate(servicer: Servicer, properties: dict[str, Any]) -> proto.RemediateResponse:
        """Ask as the engine does, before it shows the data source."""
        urn = f"urn:pulumi:dev::test::{DATA_SOURCE}::one-0"
        request = proto.AnalyzeRequest(type=DATA_SOURCE, urn=urn, name="one-0", properties=struct(properties))
        return Direct(servicer).Remediate(request)  # type: ignore[no-any-return]

    def asked(self) -> tuple[Servicer, Pack, list[int]]:
        """A pack, and a list that grows with each judgement."""
        judged: list[int] = []

        def now() -> Any:
            judged.append(1)
            return NOW

        servicer = Servicer(environ={}, now=now)
        pack = Pack(Direct(servicer))
        pack.configure_stack({})
        pack.configure({})
        return servicer, pack, judged

    def test_it_is_judged_once(self) -> None:
        """The same documents give the same answer, without being judged again; nothing is remediated."""
        servicer, pack, judged = self.asked()
        broken = documents(inventory(sent(status="bad_credentials")))
        assert self.remediate(servicer, broken) == proto.RemediateResponse()
        assert [item[:2] for item in pack.judge(broken)] == [("no-bad-credentials", "mandatory")]
        assert len(judged) == 1
        assert [item[:2] for item in pack.judge(broken)] == [("no-bad-credentials", "mandatory")]
        assert len(judged) == 2

    def test_what_was_changed_meanwhile_is_judged_as_it_is(self) -> None:
        """Another pack's remediation counts."""
        servicer, pack, _ = self.asked()
        self.remediate(servicer, documents(inventory(sent("a"))))
        (finding,) = pack.judge(documents(inventory(sent("b", status="bad_credentials"))))
        assert finding[2].startswith("b (salesforce")
        self.remediate(servicer, {"connections": UNKNOWN, "observations": UNKNOWN})
        assert pack.judge(documents(inventory(sent("c")))) == []
