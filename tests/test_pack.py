"""The policy pack as the engine runs it: a process that is told configurations and shown resources."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import pytest
from google.protobuf import empty_pb2, json_format
from pulumi.runtime import proto
from pulumi.runtime.proto import analyzer_pb2_grpc

from mixed_expectations import BREAKS, CONFIGURATION
from plugin import UNKNOWN, Plugin, secret, struct
from pulumi_ampersand import __version__
from pulumi_ampersand.client import Client
from pulumi_ampersand.inventory import DOCUMENT_LIMIT, Inventory
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand.settings import Details, Settings
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.pack import MESSAGE_LIMIT, Servicer
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified
from pulumi_ampersand_policies.rules import RULES
from pulumi_ampersand_policies.testing import at, grant, inventory
from pulumi_ampersand_policies.testing import connection as sent
from stack import PACK

STACK = "pulumi:pulumi:Stack"
DATA_SOURCE = "pulumi-python:dynamic/ampersand:Connections"
SEVERITIES = [proto.POLICY_SEVERITY_LOW, proto.POLICY_SEVERITY_MEDIUM, proto.POLICY_SEVERITY_HIGH]
HOSTILE = "x\n\x1b[31m\u202e<{%fg 1%}>"

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

    def show(self, kind: str, properties: dict[str, Any] | None = None) -> list[Any]:
        """Show it a resource; return its diagnostics."""
        request = proto.AnalyzeRequest(
            type=kind, urn=f"urn:pulumi:dev::test::{kind}::name", name="name", properties=struct(properties or {})
        )
        answer = self.engine.Analyze(request)
        self.answers.append(answer)
        return list(answer.diagnostics)

    def root(self) -> Said:
        """Show it the stack's root."""
        return said(self.show(STACK))

    def judge(self, properties: dict[str, Any]) -> Said:
        """Show it a data source."""
        return said(self.show(DATA_SOURCE, properties))

    def end(self, *kinds: str) -> Said:
        """Show it the whole stack, which has resources of these kinds."""
        resources = [proto.AnalyzerResource(type=kind) for kind in (STACK, *kinds)]
        answer = self.engine.AnalyzeStack(proto.AnalyzeStackRequest(resources=resources))
        self.answers.append(answer)
        return said(answer.diagnostics)


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
        jsonschema.validate(entries[policy.name][1], schema)
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
    """The API, with the scenario ``mixed``."""
    with Sandbox("mixed") as running:
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
    """A pack inside this process that can reach the API; in the end it must have told no credential."""
    pack = Pack(Direct(Servicer(environ=server.environment)))
    yield pack
    tells_no_credential([pack], server)


def tells_no_credential(packs: list[Pack], server: Sandbox) -> None:
    """Check that nothing that these packs said holds a credential."""
    told = repr([pack.answers for pack in packs])
    assert not [credential for credential in server.secrets if credential in told]


@pytest.fixture(scope="module")
def shared_pack() -> Iterator[Pack]:
    """One process for what leaves no trace in it."""
    plugin, pack = start_process()
    yield pack
    assert plugin.stop() == ""


@pytest.fixture
def pack(shared_pack: Pack) -> Pack:
    """A running pack without any configuration, to show data sources to."""
    shared_pack.configure_stack({})
    shared_pack.configure({})
    return shared_pack


class TestAnnouncement:
    """What the engine is told of the pack."""

    def test_versions(self, pack: Pack) -> None:
        """The plugin has the version of the distribution."""
        assert pack.engine.GetPluginInfo(empty_pb2.Empty()).version == __version__

    def test_rules(self, pack: Pack) -> None:
        """All rules are announced with title, level, severity, remedy and tags."""
        info = pack.engine.GetAnalyzerInfo(empty_pb2.Empty())
        assert (info.name, info.version, info.supportsConfig) == ("ampersand", __version__, True)
        assert [policy.name for policy in info.policies] == [rule.id for rule in RULES]
        severity, level = proto.PolicySeverity.Name, proto.EnforcementLevel.Name
        for policy, rule in zip(info.policies, RULES, strict=True):
            assert policy.description == rule.title
            assert severity(policy.severity) == f"POLICY_SEVERITY_{rule.severity.name}"
            assert level(policy.enforcementLevel) == rule.enforcement.name
            assert policy.policy_type == proto.POLICY_TYPE_RESOURCE
            assert policy.remediation_steps == rule.remedy()
            assert tuple(policy.tags) == rule.tags

    def test_schemas_are_plain(self, pack: Pack) -> None:
        """The engine gets each option's description and simple type, and nothing that it mangles or fills in."""
        info = pack.engine.GetAnalyzerInfo(empty_pb2.Empty())
        for policy, rule in zip(info.policies, RULES, strict=True):
            options = json_format.MessageToDict(policy.configSchema.properties)
            assert set(options) == set(rule.schema["properties"])
            for option in options.values():
                assert option["description"]
                assert set(option) <= {"description", "type"}
                assert isinstance(option.get("type", ""), str)
            assert not policy.configSchema.required

    def test_a_rule_that_needs_options_has_a_level_that_nobody_chose(self, pack: Pack) -> None:
        """Only so can a rule that is named be told from one that isn't: the engine merges the two."""
        info = pack.engine.GetAnalyzerInfo(empty_pb2.Empty())
        levels = {name: entry.enforcementLevel for name, entry in info.initialConfig.items()}
        assert levels == {rule.id: proto.REMEDIATE for rule in RULES if rule.needed}

    def test_nothing_is_remediated(self, pack: Pack) -> None:
        """The pack changes no resource."""
        answer = pack.engine.Remediate(proto.AnalyzeRequest(type=DATA_SOURCE, properties=struct({"connections": "x"})))
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

    def test_mixed(self, pack: Pack) -> None:
        """The sandbox's scenario breaks what its table says."""
        pack.configure(CONFIGURATION)
        violations = pack.judge(documents(inventory(*Sandbox("mixed").connections)))
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
            assert violations[-1][2] == f"and {30 - shown} more; set maxReported of no-bad-credentials to see them"
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

    def test_large_documents(self, pack: Pack) -> None:
        """Documents beyond gRPC's usual 4 MiB are judged."""
        metadata = {"big": {"value": "x" * 8 * 1024 * 1024, "source": "input"}}
        found = inventory(sent(status="bad_credentials", providerMetadata=metadata))
        assert len(pack.judge(documents(found))) == 1

    def test_four_at_once(self, pack: Pack) -> None:
        """The engine shows several resources at the same time."""
        properties = [documents(inventory(sent(str(n), status="bad_credentials"))) for n in range(8)]
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(pack.judge, properties))
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
            sent(f"{n:02}{HOSTILE}", status="bad_credentials", group={"groupName": HOSTILE}) for n in range(25)
        ]
        pack = start_pack()
        pack.configure_stack({"ampersand:gate": "true"})
        pack.configure({})
        violations = pack.root()
        assert len(violations) == 21
        assert all(text == one_line(text) for _, _, text in violations)

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
