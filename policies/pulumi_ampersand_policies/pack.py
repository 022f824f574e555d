"""The policy pack as the engine runs it: a small server of the rules on the engine's own protocol.

The policy SDK's ``PolicyPack`` isn't used because it lets mistakes in the configuration pass in silence and
deserialises every resource once for every policy. This server checks the configuration as it arrives, looks at a
resource's type before anything else of it, and answers for all other types at once.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_origin

import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime import proto
from pulumi.runtime.proto import analyzer_pb2_grpc

from pulumi_ampersand._version import __version__
from pulumi_ampersand.engine import MESSAGE_LIMIT
from pulumi_ampersand.errors import AmpersandError
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.settings import Access, unknown_keys
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies import configuration as policy_configuration
from pulumi_ampersand_policies.configuration import ALL, WAIVERS, Configuration, ConfigurationError, Given
from pulumi_ampersand_policies.data_source import (
    DATA_SOURCE_TYPES,
    NOT_TARGETED,
    SECRET,
    SIGNATURE,
    UNKNOWN,
    UNKNOWN_UNTIL_UPDATE,
)
from pulumi_ampersand_policies.evaluation import Evaluation, crashes, evaluate, lines, of_all_sources, of_one_source
from pulumi_ampersand_policies.gate import Gate, GateError, chosen, read, trusted
from pulumi_ampersand_policies.rule import Enforcement, Rule, Severity
from pulumi_ampersand_policies.rules import RULES, readable_connections, verifiable_connections

if TYPE_CHECKING:
    from pulumi_ampersand.client import Client

# Looking for plugins of pydantic takes a part of the start of every preview, and none has a part in this process.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

NAME: Final = "ampersand"
STACK_TYPE: Final = "pulumi:pulumi:Stack"
_LEVELS: Final = {
    Enforcement.ADVISORY: proto.ADVISORY,
    Enforcement.MANDATORY: proto.MANDATORY,
    Enforcement.DISABLED: proto.DISABLED,
}
_UNSET: Final = proto.REMEDIATE
"""Stands for "no level given" where the engine merges what we announce with the user's configuration.

Announced for the rules that need options or are off by default: only so can one of them that its user names, which is a
mistake without the options or a level, be told from one that nobody mentions. In return, "remediate" is seen to be a
mistake for the others only; here it gives the rule's default level.
"""
_SEVERITIES: Final = {
    Severity.LOW: proto.POLICY_SEVERITY_LOW,
    Severity.MEDIUM: proto.POLICY_SEVERITY_MEDIUM,
    Severity.HIGH: proto.POLICY_SEVERITY_HIGH,
    Severity.CRITICAL: proto.POLICY_SEVERITY_CRITICAL,
}


class Servicer(proto.AnalyzerServicer):
    """Answers the engine.

    Args:
        rules: The rules to serve.
        environ: The environment, for an API key, root and project that the stack's configuration doesn't give.
        now: The time to judge expiry by.
        connect: Makes the client that a gate reads with; by default one that uses the network.
        name: The pack's name.
        version: The pack's version, a semantic one.
        pages: Where the rules' pages are published, with a slash at the end; links are left out if it is empty.
    """

    def __init__(  # noqa: PLR0913 - what a test or a pack of one's own replaces
        self,
        rules: Sequence[Rule[Any]] = RULES,
        *,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        connect: Callable[[Access], Client] | None = None,
        name: str = NAME,
        version: str = __version__,
        pages: str = "",
    ) -> None:
        self._rules = rules
        self._name = name
        self._version = version
        self._pages = pages
        self._environ = environ
        self._now = now
        self._connect = connect
        self._problems: tuple[str, ...] = ()
        self._configuration = policy_configuration.default(rules)
        self._config: Mapping[str, str] = {}
        self._has_stack = False
        self._project = ""
        self._gate: Gate | None = None
        self._lock = threading.Lock()
        self._stack_answer: list[proto.AnalyzeDiagnostic] | None = None
        self._found: dict[str, Inventory | str] = {}
        self._ahead: dict[str, tuple[_Documents | str, futures.Future[list[proto.AnalyzeDiagnostic]]]] = {}
        self._worker = futures.ThreadPoolExecutor(max_workers=1)

    def Handshake(
        self, _request: proto.AnalyzerHandshakeRequest, _context: grpc.ServicerContext
    ) -> proto.AnalyzerHandshakeResponse:
        """Nothing to agree on."""
        return proto.AnalyzerHandshakeResponse()

    def Cancel(self, _request: empty_pb2.Empty, _context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Nothing to stop: the engine ends this process next."""
        return empty_pb2.Empty()

    def GetPluginInfo(self, _request: empty_pb2.Empty, _context: grpc.ServicerContext) -> proto.PluginInfo:
        """The pack's version."""
        return proto.PluginInfo(version=self._version)

    def GetAnalyzerInfo(self, _request: empty_pb2.Empty, _context: grpc.ServicerContext) -> proto.AnalyzerInfo:
        """The rules and what they can be given."""
        return proto.AnalyzerInfo(
            name=self._name,
            displayName="Ampersand connections" if self._name == NAME else self._name,
            version=self._version,
            supportsConfig=True,
            policies=[_announce(rule, self._pages) for rule in self._rules],
            initialConfig={
                rule_id: proto.PolicyConfig(enforcementLevel=_UNSET) for rule_id in _unset_by_default(self._rules)
            },
        )

    def ConfigureStack(
        self, request: proto.AnalyzerStackConfigureRequest, _context: grpc.ServicerContext
    ) -> proto.AnalyzerStackConfigureResponse:
        """Take the stack's configuration, secrets decrypted. ``pulumi policy analyze`` has none to give."""
        self._config = dict(request.config)
        self._has_stack = bool(request.stack)
        self._project = request.project
        return proto.AnalyzerStackConfigureResponse()

    def Configure(self, request: proto.ConfigureAnalyzerRequest, _context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Check the pack's configuration. What is wrong becomes a violation: raising would print a traceback.

        The engine takes its time until it shows the stack, in which the gate reads the API already.
        """
        try:
            self._configuration = configured(request.policyConfig, self._rules)
        except ConfigurationError as error:
            self._problems = error.problems
        if self._has_stack:
            self._worker.submit(self._stack)
        return empty_pb2.Empty()

    def Analyze(self, request: proto.AnalyzeRequest, _context: grpc.ServicerContext) -> proto.AnalyzeResponse:
        """Judge a data source, or the stack by its gate when its root is shown; nothing else concerns these rules."""
        if request.type == STACK_TYPE:
            return proto.AnalyzeResponse(diagnostics=self._stack())
        if request.type in DATA_SOURCE_TYPES and not self._problems:
            return proto.AnalyzeResponse(diagnostics=self._data_source(request))
        return proto.AnalyzeResponse()

    def AnalyzeStack(self, request: proto.AnalyzeStackRequest, _context: grpc.ServicerContext) -> proto.AnalyzeResponse:
        """Judge all data sources at once, and report a stack without any, where one is required."""
        # Without the stack's configuration nobody knows whether it has a gate: the stack's note says so.
        if self._problems or self._gate is not None:
            return proto.AnalyzeResponse()
        sources = [resource for resource in request.resources if resource.type in DATA_SOURCE_TYPES]
        if sources:
            return proto.AnalyzeResponse(diagnostics=self._data_sources(source.urn for source in sources))
        active, options = self._configuration.active(readable_connections.RULE.id), self._readable()
        if active is None or options is None or not options.require or not self._has_stack:
            return proto.AnalyzeResponse()
        return proto.AnalyzeResponse(
            diagnostics=[self._diagnostic(active.rule, active.enforcement, readable_connections.UNGATED)]
        )

    def Remediate(self, request: proto.AnalyzeRequest, _context: grpc.ServicerContext) -> proto.RemediateResponse:
        """Nothing is remediated. The engine asks before `Analyze`, and takes its time in between: judge meanwhile."""
        if request.type in DATA_SOURCE_TYPES and not self._problems:
            documents = _documents(request.properties)
            self._ahead[request.urn] = (documents, self._worker.submit(self._judge_source, request.urn, documents))
        return proto.RemediateResponse()

    def _stack(self) -> list[proto.AnalyzeDiagnostic]:
        """What there is to say of the stack as a whole; worked out once, for the gate reads the API."""
        with self._lock:
            if self._stack_answer is None:
                self._stack_answer = self._judge_stack()
            return self._stack_answer

    def _judge_stack(self) -> list[proto.AnalyzeDiagnostic]:
        problems = [*self._problems, *unknown_keys(self._config, self._project)]
        options = self._readable()
        own = None if options is None else options.gate
        try:
            self._gate = chosen(own, self._config)
        except GateError as error:
            problems.append(str(error))
        if problems:
            self._problems = tuple(problems)
            return [self._broken_configuration(problems)]
        if self._gate is not None:
            config = trusted(own, self._config, self._environ)
            return self._report(read(self._gate, config, self._environ, self._connect), self._configuration)
        if self._has_stack or own is False:
            return []
        return self._not_evaluated(
            "a gate in the stack's configuration, if there is one, was not evaluated: "
            "pulumi policy analyze doesn't tell it to policy packs; "
            "configure the gate in readable-connections to have it judged here, too"
        )

    def _readable(self) -> readable_connections.ReadableConnections | None:
        """The options of ``readable-connections``; None if it is disabled."""
        active = self._configuration.active(readable_connections.RULE.id)
        return (
            active.options if active and isinstance(active.options, readable_connections.ReadableConnections) else None
        )

    def _data_source(self, request: proto.AnalyzeRequest) -> list[proto.AnalyzeDiagnostic]:
        """What there is to say of a data source."""
        documents = _documents(request.properties)
        # Another pack's remediation may have changed what was judged ahead.
        judged, answer = self._ahead.pop(request.urn, (None, None))
        if answer is not None and judged == documents:
            return answer.result()
        return self._judge_source(request.urn, documents)

    def _judge_source(self, urn: str, documents: _Documents | str) -> list[proto.AnalyzeDiagnostic]:
        """Judge what a data source read, but for what is judged of all of them at once."""
        # At the end the engine shows outputs, which hold no observations.
        found = self._found[urn] = _read_documents(documents)
        if isinstance(found, str):
            return self._not_evaluated(found)
        return self._report(found, of_one_source(self._configuration))

    def _data_sources(self, urns: Iterable[str]) -> list[proto.AnalyzeDiagnostic]:
        """Judge what all data sources read. Where one isn't known, its own note says so."""
        configuration = of_all_sources(self._configuration)
        found = [self._found.get(urn, NOT_TARGETED) for urn in (urns if configuration.rules else ())]
        parts = [part for part in found if isinstance(part, Inventory)]
        if len(parts) < len(found):
            return []
        return self._report(parts[0] if len(parts) == 1 else Inventory.merge(parts), configuration)

    def _report(self, inventory: Inventory, configuration: Configuration) -> list[proto.AnalyzeDiagnostic]:
        return self._diagnostics(evaluate(inventory, configuration, self._now()), configuration)

    def _not_evaluated(self, reason: str) -> list[proto.AnalyzeDiagnostic]:
        """One note for all rules together."""
        verifiable = self._configuration.active(verifiable_connections.RULE.id)
        return [self._diagnostic(verifiable.rule, verifiable.enforcement, one_line(reason))] if verifiable else []

    def _diagnostics(self, evaluation: Evaluation, configuration: Configuration) -> list[proto.AnalyzeDiagnostic]:
        """Findings as violations, severest first, each rule's capped."""
        made: list[proto.AnalyzeDiagnostic] = []
        for active in sorted(configuration.rules, key=lambda active: (-active.rule.severity.rank, active.rule.id)):
            made += [self._diagnostic(active.rule, level, line) for line, level in lines(evaluation, active)]
        if configuration.active(verifiable_connections.RULE.id) is None:
            rule = verifiable_connections.RULE
            made += [self._diagnostic(rule, Enforcement.MANDATORY, line) for line in crashes(evaluation)]
        return made

    def _diagnostic(self, rule: Rule[Any], enforcement: Enforcement, message: str) -> proto.AnalyzeDiagnostic:
        return proto.AnalyzeDiagnostic(
            policyName=rule.id,
            policyPackName=self._name,
            policyPackVersion=self._version,
            description=rule.title,
            message=message,
            enforcementLevel=_LEVELS[enforcement],
            severity=_SEVERITIES[rule.severity],
        )

    def _broken_configuration(self, problems: Iterable[str]) -> proto.AnalyzeDiagnostic:
        """One violation for all that is wrong with the configuration, a line each. Nothing is judged by a wrong one."""
        return proto.AnalyzeDiagnostic(
            policyName="configuration",
            policyPackName=self._name,
            policyPackVersion=self._version,
            description="The configuration is valid",
            message="\n".join(one_line(problem) for problem in problems),
            enforcementLevel=proto.MANDATORY,
            severity=proto.POLICY_SEVERITY_CRITICAL,
        )


class _Documents(NamedTuple):
    """What a data source hands over."""

    connections: str
    observations: str
    project: str


def inventory_of(properties: Any) -> Inventory | str:
    """What a data source read, or a sentence that says why its connections can't be judged."""
    return _read_documents(_documents(properties))


def _documents(properties: Any) -> _Documents | str:
    texts: list[str] = []
    for name in ("connections", "observations"):
        value = _text(properties.fields.get(name))
        if value is None:
            return NOT_TARGETED
        if value == UNKNOWN:
            return UNKNOWN_UNTIL_UPDATE
        texts.append(value)
    return _Documents(texts[0], texts[1], _text(properties.fields.get("project")) or "")


def _read_documents(documents: _Documents | str) -> Inventory | str:
    if isinstance(documents, str):
        return documents
    try:
        return Inventory.from_documents(*documents)
    except AmpersandError as error:
        return f"its connections were not evaluated: {error}"


def _text(value: Any) -> str | None:
    """A string property, taken out of its secret wrapping, or what else it is as JSON text; None if it isn't there."""
    kind = value.WhichOneof("kind") if value is not None else "null_value"
    if kind == "struct_value":
        fields = value.struct_value.fields
        if SIGNATURE in fields and fields[SIGNATURE].string_value == SECRET:
            return _text(fields.get("value"))
    if kind == "null_value":
        return None
    return value.string_value if kind == "string_value" else json_format.MessageToJson(value)


def configured(sent: Mapping[str, proto.PolicyConfig], rules: Sequence[Rule[Any]]) -> Configuration:
    """The configuration that the engine hands over.

    Raises:
        ConfigurationError: Something in it isn't allowed.
    """
    return policy_configuration.resolve(_given(sent, _unset_by_default(rules)), "policy pack configuration", rules)


def _unset_by_default(rules: Sequence[Rule[Any]]) -> list[str]:
    return [rule.id for rule in rules if rule.needed or rule.enforcement is Enforcement.DISABLED]


def _given(sent: Mapping[str, proto.PolicyConfig], needing: Sequence[str]) -> dict[str, Given]:
    """The user's configuration, as far as the engine's merging with what we announced lets it be seen."""
    common = sent[ALL].enforcementLevel if ALL in sent else None
    given = {}
    for name, entry in sent.items():
        # The engine gives the level of "all" to every rule; a wrong one is reported once, of "all" itself.
        unset = name not in {ALL, WAIVERS} and (
            entry.enforcementLevel == common or (entry.enforcementLevel == _UNSET and name in needing)
        )
        level = None if unset else proto.EnforcementLevel.Name(entry.enforcementLevel).lower()
        options = json_format.MessageToDict(entry.properties)
        given[name] = Given(level, options, named=level is not None or bool(options))
    return given


def announced_properties(rule: Rule[Any]) -> dict[str, dict[str, Any]]:
    """A rule's options as the engine is told them: of what type they are, where that is one, and what they mean.

    Kept plain, for the fine check, with better errors, is ours; and not taken from the rule's whole schema, which takes
    as long to make as all rules take to import.
    """
    return {
        part.alias or name: {
            **({"type": kind} if (kind := _TYPES.get(get_origin(part.annotation) or part.annotation)) else {}),
            **({"description": part.description} if part.description else {}),
        }
        for name, part in rule.options.model_fields.items()
    }


_TYPES: Final[dict[Any, str]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    dict: "object",
    list: "array",
    tuple: "array",
}


def tags(rule: Rule[Any]) -> list[str]:
    """Words to find a rule by, with the controls that ask for it: Pulumi has a field for one framework only."""
    return [*rule.tags, *map(str, rule.controls)]


def _announce(rule: Rule[Any], pages: str) -> proto.PolicyInfo:
    schema = proto.PolicyConfigSchema()
    schema.properties.update(announced_properties(rule))
    info = proto.PolicyInfo(
        name=rule.id,
        displayName=rule.title,
        description=rule.title,
        enforcementLevel=_LEVELS[rule.enforcement],
        severity=_SEVERITIES[rule.severity],
        policy_type=proto.POLICY_TYPE_STACK if rule.whole else proto.POLICY_TYPE_RESOURCE,
        configSchema=schema,
        remediation_steps=rule.remedy(),
        tags=tags(rule),
        url=f"{pages}{rule.id}.md" if pages else "",
    )
    for control in rule.controls[:1]:
        info.framework.CopyFrom(
            proto.PolicyComplianceFramework(**control.framework._asdict(), reference=control.reference)
        )
    return info


def serve(rules: Sequence[Rule[Any]] = RULES, *, name: str = NAME, version: str = __version__, pages: str = "") -> None:
    """Run the pack: print a port, answer the engine until it ends this process.

    Args:
        rules: The rules to serve: ours, and any that follow the same interface.
        name: The pack's name; choose your own for a pack that you publish.
        version: Its version, a semantic one; each publication needs a new one.
        pages: Where the rules' pages (``docs/`` of this package) are published, with a slash at the end: each policy
            then links to its page.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=4),
        options=[("grpc.max_receive_message_length", MESSAGE_LIMIT)],
    )
    analyzer_pb2_grpc.add_AnalyzerServicer_to_server(Servicer(rules, name=name, version=version, pages=pages), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(0)
