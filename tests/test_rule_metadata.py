"""What all rules have in common: their files, texts, options, controls and defaults."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import jsonschema
import pytest

from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies import compliance, configuration, rules
from pulumi_ampersand_policies.compliance import ISO_27001, NIST_800_53, SOC_2, Control
from pulumi_ampersand_policies.pack import announced_properties
from pulumi_ampersand_policies.rule import Enforcement, Options, ReportOptions, Rule, Severity, TolerableOptions
from pulumi_ampersand_policies.rules import RULES
from rule_cases import HOSTILE
from test_rules import TABLE

CONTROLS: Final = {
    SOC_2: re.compile(r"(CC|A|C|PI|P)\d\.\d"),
    ISO_27001: re.compile(r"A\.[5-8]\.\d{1,2}"),
    NIST_800_53: re.compile(r"[A-Z]{2}-\d{1,2}(\(\d{1,2}\))?"),
}
"""The frameworks, and what their references look like."""

STANDARD: Final = frozenset(
    ("__future__", "collections.abc", "collections", "datetime", "heapq", "itertools", "re", "typing", "warnings")
)
"""What a rule may use of Python: nothing of it can see the world."""

LIBRARIES: Final = {("pydantic", None), ("pydantic.alias_generators", "to_camel"), ("msgspec", "UNSET")}
"""What a rule may use of libraries; None for all of a module."""

OURS: Final = {
    "pulumi_ampersand.inventory",
    "pulumi_ampersand.model",
    "pulumi_ampersand.terminal",
    "pulumi_ampersand_policies.compliance",
    "pulumi_ampersand_policies.glob",
    "pulumi_ampersand_policies.grant",
    "pulumi_ampersand_policies.rule",
    "pulumi_ampersand_policies.schema",
    "pulumi_ampersand_policies.waiver",
}
"""What a rule may use of ours: nothing that reads the API, a file or the environment."""


def module_of(rule: Rule[Any]) -> ModuleType:
    """The module of a rule."""
    return importlib.import_module(f"{rules.__name__}.{rule.id.replace('-', '_')}")


def documentation(rule: Rule[Any]) -> str:
    """A rule's documentation, which is its module's docstring."""
    return module_of(rule).__doc__ or ""


def own_options(rule: Rule[Any]) -> set[str]:
    """The options that only this rule has."""
    common = {part.alias or name for name, part in Options.model_fields.items()}
    return {part.alias or name for name, part in rule.options.model_fields.items()} - common


def with_options(rule: Rule[Any], **more: Any) -> Any:
    """A rule's options from a configuration file."""
    content = {"enforcementLevel": "mandatory", **TABLE[rule.id].options, **more}
    active = configuration.parse(json.dumps({rule.id: content}), "policy.json").active(rule.id)
    assert active is not None
    return active.options


def imports(tree: ast.AST) -> set[tuple[str, str]]:
    """The modules that a module imports, each with the name that it takes of it, if any."""
    found: set[tuple[str, str]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(str(node.module), alias.name) for alias in node.names}
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
class TestEveryRule:
    """What is true of each rule in the list."""

    def test_its_file_is_named_after_it(self, rule: Rule[Any]) -> None:
        """An ID in a report leads straight to the code."""
        assert Path(rule.check.__code__.co_filename).stem == rule.id.replace("-", "_")
        assert module_of(rule).RULE is rule

    def test_its_title_says_what_is_true(self, rule: Rule[Any]) -> None:
        """A title is one short sentence without a full stop."""
        assert rule.title == one_line(rule.title, 80)
        assert rule.title[0].isupper()
        assert "." not in rule.title

    def test_its_documentation_says_the_same(self, rule: Rule[Any]) -> None:
        """The docstring starts with the rule's ID and its title, a sentence."""
        first = documentation(rule).partition("\n")[0]
        assert first == f"``{rule.id}``: {rule.title[0].lower()}{rule.title[1:]}."

    def test_its_documentation_names_its_own_options(self, rule: Rule[Any]) -> None:
        """Every option of the rule's own stands in its docstring."""
        assert [name for name in own_options(rule) if f"``{name}``" not in documentation(rule)] == []

    def test_its_documentation_says_the_defaults(self, rule: Rule[Any]) -> None:
        """A number that holds by default stands behind the option's name."""
        numbers = {
            part.alias or name: part.default
            for name, part in rule.options.model_fields.items()
            if isinstance(part.default, int | float) and not isinstance(part.default, bool)
        }
        for name in own_options(rule) & numbers.keys():
            assert f"``{name}`` ({numbers[name]:g})" in " ".join(documentation(rule).split())

    def test_examples_in_its_documentation_are_valid(self, rule: Rule[Any]) -> None:
        """An example can be copied into a configuration file as it is."""
        for example in re.findall(r"::\n\n((?:    .*\n)+)", documentation(rule)):
            assert configuration.parse(example, "policy.json").active(rule.id) is not None

    def test_a_rule_that_needs_options_shows_an_example(self, rule: Rule[Any]) -> None:
        """Whoever has to write something sees how."""
        needing = [name for group in rule.needed for name in group]
        assert not needing or "::\n\n" in documentation(rule) or rule.id == "allowed-providers"

    def test_its_remediation_is_one_sentence(self, rule: Rule[Any]) -> None:
        """There is always something to do about it."""
        assert rule.remediation == one_line(rule.remediation)
        assert rule.remediation[0].isupper()
        assert not rule.remediation.endswith(".")
        assert set(re.findall(r"{.*?}", rule.remediation)) <= {"{connection}"}

    def test_it_has_a_level_a_severity_and_tags(self, rule: Rule[Any]) -> None:
        """Level and severity are those of the design, not just text; tags are single words, each once."""
        assert isinstance(rule.severity, Severity)
        assert isinstance(rule.enforcement, Enforcement)
        assert rule.tags
        assert rule.tags == tuple(dict.fromkeys(rule.tags))
        assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", tag) for tag in rule.tags)

    def test_its_controls_are_of_known_frameworks(self, rule: Rule[Any]) -> None:
        """A control is of one of three frameworks, looks like one of it, and says what it is about."""
        assert all(isinstance(control, Control) for control in rule.controls)
        for control in rule.controls:
            assert CONTROLS[control.framework].fullmatch(control.reference)
            assert control.subject == one_line(control.subject, 80)
            assert str(control) == f"{control.framework.name} {control.reference}"

    def test_its_controls_name_no_framework_twice(self, rule: Rule[Any]) -> None:
        """One control of each framework: the one that plainly asks for what the rule checks."""
        frameworks = [control.framework for control in rule.controls]
        assert len(frameworks) == len(set(frameworks))

    def test_its_options_are_a_valid_schema(self, rule: Rule[Any]) -> None:
        """The options' schema is one, refuses unknown keys and lists what is needed in any case."""
        jsonschema.Draft202012Validator.check_schema(rule.schema)
        assert rule.schema["additionalProperties"] is False
        required = {name for group in rule.needed if len(group) == 1 for name in group}
        assert required == set(rule.schema.get("required", ()))

    def test_its_needs_are_options(self, rule: Rule[Any]) -> None:
        """What a rule needs at least one of are options that it has, none of them with a value by default."""
        for name in rule.needs:
            assert rule.schema["properties"][name]["default"] in (None, [])

    def test_what_is_announced_agrees_with_the_schema(self, rule: Rule[Any]) -> None:
        """The engine is told each option's type, where that is one, and what it means, as the schema has it."""
        announced, schema = announced_properties(rule), rule.schema["properties"]
        assert list(announced) == list(schema)
        for name, option in schema.items():
            assert announced[name]["description"] == option["description"]
            told = announced[name].get("type")
            assert told is None if "anyOf" in option or "enum" in option else told == option["type"], name
            assert set(announced[name]) <= {"type", "description"}

    def test_every_option_is_described(self, rule: Rule[Any]) -> None:
        """Every option, nested ones included, says in a sentence what it is."""
        objects = [rule.schema, *rule.schema.get("$defs", {}).values()]
        for name, option in [pair for part in objects for pair in part["properties"].items()]:
            assert option.get("description", "").endswith("."), name

    def test_what_the_schema_allows_is_allowed(self, rule: Rule[Any]) -> None:
        """The options of the table's row are valid by the schema, too, which editors use."""
        jsonschema.validate(dict(TABLE[rule.id].options), rule.schema)

    def test_whole_numbers_may_arrive_as_floats(self, rule: Rule[Any]) -> None:
        """A whole number that travelled as a float is a whole number."""
        limit = with_options(rule, maxReported=3.0).max_reported
        assert (limit, type(limit)) == (3, int)

    def test_its_options_cannot_be_changed(self, rule: Rule[Any]) -> None:
        """What was checked stays as it was checked."""
        assert rule.options.model_config["frozen"]
        assert rule.options.model_config["extra"] == "forbid"

    def test_it_knows_no_clock_network_or_environment(self, rule: Rule[Any]) -> None:
        """A rule is a pure function: what it judges by is handed to it."""
        tree = ast.parse(Path(str(module_of(rule).__file__)).read_text("utf-8"))
        # A gate is an option of this rule, and nothing that it judges with.
        ours = OURS | ({"pulumi_ampersand_policies.gate"} if rule.id == "readable-connections" else set())
        for module, name in imports(tree):
            known = module in STANDARD | ours or (module, None) in LIBRARIES or (module, name) in LIBRARIES
            assert known, f"{module}: {name}"
            assert (module, name) != ("pulumi_ampersand_policies.gate", "read")
        attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert attributes.isdisjoint({"now", "today", "utcnow", "environ", "getenv"})
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert names.isdisjoint({"open", "print", "input", "eval", "exec", "__import__"})

    def test_its_remedy_quotes_the_connection(self, rule: Rule[Any]) -> None:
        """A command in a remedy can be pasted into a shell, whatever the connection is called."""
        remedy = rule.remedy(HOSTILE)
        assert remedy == one_line(remedy)
        if "{connection}" in rule.remediation:
            command = remedy[remedy.index("pulumi-ampersand ") :]
            assert shlex.split(command) == ["pulumi-ampersand", "reauth", one_line(HOSTILE)]
        else:
            assert remedy == rule.remediation

    @pytest.mark.parametrize("name", ["<connection>", "", "{connection}", "conn_1"])
    def test_its_remedy_takes_any_name_for_a_name(self, rule: Rule[Any], name: str) -> None:
        """No name of a connection is taken for the placeholder or left bare where a shell would act on it."""
        if "{connection}" in rule.remediation:
            assert shlex.split(rule.remedy(name))[-1] == name
            assert rule.remedy(name).endswith(shlex.quote(name))
            assert rule.remedy().endswith("reauth <connection>")


def test_list_and_folder_hold_the_same_rules() -> None:
    """Every module in the folder is in the list, once, and the other way round."""
    folder = sorted(module.name for module in pkgutil.iter_modules(rules.__path__))
    assert folder == sorted(rule.id.replace("-", "_") for rule in RULES)


def test_defaults_are_those_of_the_design() -> None:
    """A rule's level and severity by default are a promise: changing one changes what deployments do."""
    assert {rule.id: (rule.enforcement.value, rule.severity.value) for rule in RULES} == {
        "no-bad-credentials": ("mandatory", "critical"),
        "required-scopes": ("mandatory", "high"),
        "token-expiry": ("mandatory", "high"),
        "access-token-expiry": ("disabled", "medium"),
        "refreshable": ("advisory", "medium"),
        "credential-age": ("advisory", "medium"),
        "provider-app-scopes": ("advisory", "medium"),
        "forbidden-scopes": ("mandatory", "high"),
        "allowed-scopes": ("advisory", "low"),
        "allowed-auth-schemes": ("mandatory", "high"),
        "allowed-providers": ("mandatory", "medium"),
        "allowed-workspaces": ("mandatory", "high"),
        "same-project": ("mandatory", "high"),
        "unique-connections": ("advisory", "low"),
        "idle-connections": ("advisory", "low"),
        "required-connections": ("mandatory", "high"),
        "connection-schema": ("mandatory", "medium"),
        "verifiable-connections": ("advisory", "medium"),
        "readable-connections": ("mandatory", "critical"),
    }


def test_options_have_the_designs_defaults() -> None:
    """What holds when nothing is written is a promise, too."""
    defaults = {
        (rule.id, part.alias or name): part.default
        for rule in RULES
        for name, part in rule.options.model_fields.items()
        if (part.alias or name) in own_options(rule) and not part.is_required()
    }
    assert defaults == {
        ("token-expiry", "minDays"): 7,
        ("access-token-expiry", "minMinutes"): 10,
        ("credential-age", "maxDays"): 365,
        ("credential-age", "assume"): None,
        ("allowed-auth-schemes", "deny"): ("none", "basic", "oauth2/password"),
        ("allowed-auth-schemes", "schemes"): {},
        ("allowed-providers", "allow"): (),
        ("allowed-providers", "deny"): (),
        ("idle-connections", "maxDays"): 30,
        ("required-connections", "require"): (),
        ("readable-connections", "gate"): None,
        ("readable-connections", "require"): False,
    }
    for rule in RULES:
        assert rule.options.model_fields["max_reported"].default == 20
        assert issubclass(rule.options, ReportOptions)
        if issubclass(rule.options, TolerableOptions):
            assert rule.options.model_fields["tolerate"].default == 0


def test_rules_without_options_are_those_that_need_some() -> None:
    """Which rules are inactive until somebody configures them."""
    assert {rule.id: rule.needed for rule in RULES if rule.needed} == {
        "required-scopes": (("scopes",),),
        "forbidden-scopes": (("scopes",),),
        "allowed-scopes": (("scopes",),),
        "allowed-providers": (("allow", "deny"),),
        "allowed-workspaces": (("workspaces",),),
        "connection-schema": (("schema",),),
    }


def test_rules_that_judge_everything_at_once() -> None:
    """What is counted over all data sources can't be judged for each of them."""
    assert {rule.id for rule in RULES if rule.whole} == {"unique-connections", "required-connections"}


def test_every_control_is_named_by_a_rule() -> None:
    """There is no control that nobody's rule answers."""
    listed = {
        control
        for value in vars(compliance).values()
        if isinstance(value, tuple) and not isinstance(value, Control)
        for control in value
        if isinstance(control, Control)
    }
    assert listed == {control for rule in RULES for control in rule.controls}


def test_controls_stand_where_they_are_asked_for() -> None:
    """Which rule is evidence for which control is a promise to auditors."""
    assert {rule.id: [str(control) for control in rule.controls] for rule in RULES if rule.controls} == {
        "credential-age": ["NIST SP 800-53 IA-5"],
        "forbidden-scopes": ["SOC 2 CC6.3", "ISO/IEC 27001 A.8.3", "NIST SP 800-53 AC-6"],
        "allowed-scopes": ["SOC 2 CC6.3", "ISO/IEC 27001 A.8.3", "NIST SP 800-53 AC-6"],
        "allowed-auth-schemes": ["SOC 2 CC6.1", "ISO/IEC 27001 A.8.5", "NIST SP 800-53 IA-9"],
        "allowed-providers": ["ISO/IEC 27001 A.5.23", "NIST SP 800-53 AC-20"],
        "allowed-workspaces": ["ISO/IEC 27001 A.8.31"],
        "idle-connections": ["ISO/IEC 27001 A.5.18", "NIST SP 800-53 AC-2"],
    }


def test_importing_the_rules_imports_no_engine_and_no_network() -> None:
    """An audit loads rules without Pulumi, and a pack without what only mistakes and users' own schemas need."""
    unwanted = ("pulumi", "pulumi_policy", "grpc", "httpx", "jsonschema", "referencing", "tenacity")
    program = (
        f"import sys, pulumi_ampersand_policies.rules\nprint(*[name for name in {unwanted!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_severities_are_ordered() -> None:
    """Severities rank from low to critical."""
    assert sorted(Severity, key=lambda severity: severity.rank) == [
        Severity.LOW,
        Severity.MEDIUM,
        Severity.HIGH,
        Severity.CRITICAL,
    ]
