"""The evaluation: findings from an inventory and a configuration, and what could not be evaluated."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from mixed_expectations import BREAKS, CONFIGURATION, EVERY_RULE, LIST_LEAVES_OPEN, NOT_EVALUATED
from pulumi_ampersand.answers import read_connections
from pulumi_ampersand.inventory import Entry, Inventory
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand.sandbox.large import large_connections
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.configuration import Configuration, default, parse
from pulumi_ampersand_policies.evaluation import (
    Evaluation,
    Finding,
    Judged,
    NotEvaluated,
    State,
    WaiverState,
    conclude,
    describe,
    evaluate,
    judge,
    lines,
    of_all_sources,
    of_one_source,
)
from pulumi_ampersand_policies.rule import Breach, Check, Enforcement, Options, Requirement, Rule, Severity, Unverified
from pulumi_ampersand_policies.rules import (
    RULES,
    no_bad_credentials,
    refreshable,
    required_connections,
    verifiable_connections,
)
from pulumi_ampersand_policies.testing import NOW, at, grant, inventory
from pulumi_ampersand_policies.testing import connection as sent

SECRET = "s3cret-in-an-exception"


def configured(content: Mapping[str, Any]) -> Configuration:
    """The configuration that a file with this content makes."""
    return parse(json.dumps(content), "policy.json")


def breaks(evaluation: Evaluation) -> dict[str, set[str]]:
    """Which rules each connection breaks."""
    found: dict[str, set[str]] = {}
    for finding in evaluation.findings:
        found.setdefault(finding.connection, set()).add(finding.rule)
    return found


def made_up(check: Check[Options], name: str = "made-up") -> Rule[Options]:
    """A rule that judges by the given function."""
    return Rule(
        id=name,
        title="Something is true",
        severity=Severity.HIGH,
        enforcement=Enforcement.MANDATORY,
        remediation="Mend {connection}",
        check=check,
        options=Options,
    )


def with_rules(*rules: Rule[Any], verifiable: bool = True) -> Configuration:
    """The configuration under which these rules and perhaps ``verifiable-connections`` are evaluated."""
    return default([*rules, *([verifiable_connections.RULE] if verifiable else [])])


def test_nothing_wrong_gives_nothing() -> None:
    """Healthy connections have no findings, and everything about them was evaluated."""
    every = configured(EVERY_RULE)
    assert [active.rule for active in every.rules] == list(RULES)
    for configuration in (default(), every):
        assert evaluate(inventory(sent("a"), sent("b")), configuration, NOW) == Evaluation((), ())


def test_a_finding_says_everything() -> None:
    """A finding names rule, level, connection and customer, what is wrong and how to mend it."""
    evaluation = evaluate(inventory(sent(status="bad_credentials")), default(), NOW)
    assert evaluation.findings == (
        Finding(
            rule="no-bad-credentials",
            severity=Severity.CRITICAL,
            enforcement=Enforcement.MANDATORY,
            project="proj_1",
            connection="conn_1",
            provider="salesforce",
            group="acme",
            consumer="acme-jo",
            message="conn_1 (salesforce, Acme Ltd): the provider refuses its credentials (status bad_credentials)",
            remediation="Have the customer authorise again: pulumi-ampersand reauth conn_1",
        ),
    )


@pytest.mark.parametrize(
    ("changes", "described"),
    [
        pytest.param({}, "conn_1 (salesforce, Acme Ltd)", id="name"),
        pytest.param({"group": {"groupRef": "acme"}}, "conn_1 (salesforce, acme)", id="ref"),
        pytest.param({"group": None}, "conn_1 (salesforce, Jo)", id="consumer"),
        pytest.param({"group": None, "consumer": {"consumerRef": "jo"}}, "conn_1 (salesforce, jo)", id="consumer-ref"),
        pytest.param({"group": None, "consumer": None}, "conn_1 (salesforce)", id="nobody"),
        pytest.param({"group": {"groupRef": "a\nb\x1b"}}, "conn_1 (salesforce, a b)", id="hostile"),
        pytest.param(
            {"id": "i" * 120, "provider": "p" * 60, "group": {"groupRef": "g" * 80}},
            f"{'i' * 120} ({'p' * 60}, {'g' * 80})",
            id="whole",
        ),
        pytest.param(
            {"id": "i" * 121, "provider": "p" * 61, "group": {"groupRef": "g" * 81}},
            f"{'i' * 119}… ({'p' * 59}…, {'g' * 79}…)",
            id="cut",
        ),
    ],
)
def test_a_connection_is_described_for_people(changes: dict[str, Any], described: str) -> None:
    """A message starts with the connection's ID, its provider and the best name of its customer."""
    (entry,) = inventory(sent(**changes))
    assert describe(entry) == described


def test_findings_without_group_or_consumer() -> None:
    """A finding about a connection without customer has empty refs, no None."""
    connection = sent(group=None, consumer={}, status="bad_credentials", projectId=None)
    finding = evaluate(inventory(connection, project="asked-for"), default(), NOW).findings[0]
    assert finding.rule == "no-bad-credentials"
    assert (finding.group, finding.consumer, finding.project) == ("", "", "asked-for")


def test_sorted_by_severity_rule_and_connection() -> None:
    """The severest findings come first; the same input gives the same order."""
    connections = [
        sent("c", status="bad_credentials", oauth2AuthorizationCode=grant(refresh=at(days=1))),
        sent("b", status="suspended", oauth2AuthorizationCode=grant(refresh=at(days=1), scopes=[])),
        sent("a", status="bad_credentials", oauth2AuthorizationCode=grant(scopes=[]), authScheme="basic"),
        sent("d", providerWorkspaceRef="workspace-c"),
    ]
    expected = [
        ("no-bad-credentials", "a"),
        ("no-bad-credentials", "c"),
        ("allowed-auth-schemes", "a"),
        ("required-scopes", "a"),
        ("required-scopes", "b"),
        ("token-expiry", "b"),
        ("token-expiry", "c"),
        ("provider-app-scopes", "a"),
        ("provider-app-scopes", "b"),
        ("verifiable-connections", "b"),
        ("unique-connections", "c"),
        ("unique-connections", "d"),
    ]
    wanted = configured({"required-scopes": {"scopes": {"*": ["api"]}}})
    for order in (connections, connections[::-1]):
        evaluation = evaluate(inventory(*order), wanted, NOW)
        assert [(finding.rule, finding.connection) for finding in evaluation.findings] == expected


def test_severity_comes_before_the_rules_name() -> None:
    """A rule's name doesn't decide what is read first, nor does its place in the list."""

    def check(found: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
        for entry in found:
            yield Breach("broken", entry)

    severities = {"a": Severity.LOW, "b": Severity.CRITICAL, "c": Severity.MEDIUM, "d": Severity.HIGH}
    rules = [replace(made_up(check, name), severity=severity) for name, severity in severities.items()]
    evaluation = evaluate(inventory(sent()), with_rules(*rules), NOW)
    assert [finding.rule for finding in evaluation.findings] == ["b", "d", "c", "a"]


def test_what_was_not_evaluated_is_sorted() -> None:
    """What could not be evaluated is listed by rule and connection."""
    connections = [sent(name, oauth2AuthorizationCode=None) for name in "cab"]
    evaluation = evaluate(
        inventory(*connections, complete=False), configured({"required-scopes": {"scopes": {"*": ["api"]}}}), NOW
    )
    assert [(item.rule, item.connection) for item in evaluation.not_evaluated] == [
        (rule, name)
        for rule in ("credential-age", "provider-app-scopes", "refreshable", "required-scopes", "token-expiry")
        for name in "abc"
    ]


def test_one_finding_for_each_rule_and_connection() -> None:
    """All causes stand in one finding, in the order in which the rule found them."""

    def check(found: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
        for number in range(3):
            for entry in found:
                yield Breach(f"cause {number}", entry)

    evaluation = evaluate(inventory(sent("a"), sent("b")), with_rules(made_up(check)), NOW)
    assert [finding.message for finding in evaluation.findings] == [
        f"{name} (salesforce, Acme Ltd): cause 0; cause 1; cause 2" for name in "ab"
    ]


def test_causes_about_no_connection_stay_apart() -> None:
    """Two things that could not be read are two findings."""
    evaluation = evaluate(Inventory(unread=["one", "two"]), default(), NOW)
    assert [(finding.message, finding.connection) for finding in evaluation.findings] == [("one", ""), ("two", "")]
    assert {finding.enforcement for finding in evaluation.findings} == {Enforcement.MANDATORY}


def test_causes_are_joined_by_what_they_are_about() -> None:
    """What is said of one requirement is one finding; what is about nothing stays apart, the same words too."""
    acme = Requirement(group="acme")

    def check(_found: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
        yield from (Breach("one", acme), Breach("here"), Breach("two", acme), Breach("there"))
        yield from (Unverified("who knows", acme), Unverified("no idea"), Unverified("no idea"))

    evaluation = evaluate(inventory(), with_rules(made_up(check), made_up(check, "another")), NOW)
    said = [(finding.rule, finding.group, finding.message) for finding in evaluation.findings]
    assert [item for item in said if item[0] != "verifiable-connections"] == [
        (rule, group, message)
        for rule in ("another", "made-up")
        for group, message in (("", "here"), ("", "there"), ("acme", "one; two"))
    ]
    assert [item[1:] for item in said if item[0] == "verifiable-connections"] == [
        *(("", f"{rule} was not evaluated: no idea") for rule in ("made-up", "made-up", "another", "another")),
        ("acme", "made-up, another were not evaluated: who knows"),
    ]


@pytest.mark.parametrize(("length", "said"), [(800, "x" * 800), (801, f"{'x' * 799}…")], ids=["whole", "cut"])
def test_causes_are_cut(length: int, said: str) -> None:
    """What is wrong with a connection is told in 800 characters at most."""

    def check(found: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
        for entry in found:
            yield Breach("x" * length, entry)

    (finding,) = evaluate(inventory(sent()), with_rules(made_up(check)), NOW).findings
    assert finding.message == f"conn_1 (salesforce, Acme Ltd): {said}"


def test_levels_come_from_the_configuration() -> None:
    """A finding does what the configuration says that its rule does."""
    found = inventory(sent(status="bad_credentials"))
    advisory = evaluate(found, configured({"all": "advisory"}), NOW)
    assert [finding.enforcement for finding in advisory.findings] == [Enforcement.ADVISORY]
    assert evaluate(found, configured({"no-bad-credentials": "disabled"}), NOW).findings == ()


def test_fingerprints_identify_rule_project_and_connection() -> None:
    """A fingerprint is a digest that differs by rule, project and connection."""
    prints = set()
    connections = [
        sent("a", status="bad_credentials", oauth2AuthorizationCode=grant(refresh=at(days=1))),
        sent("b", status="bad_credentials"),
        sent("b", status="bad_credentials", projectId="proj_2"),
    ]
    wanted = configured({"same-project": "disabled"})
    for connection in connections:
        for finding in evaluate(inventory(connection), wanted, NOW).findings:
            assert len(finding.fingerprint) == 64
            prints.add(finding.fingerprint)
    assert len(prints) == 4


@pytest.mark.parametrize("other", ["a  b", " a b", "a\nb"], ids=ascii)
def test_fingerprints_of_ids_that_look_alike(other: str) -> None:
    """An ID is the one that was sent, whatever is shown of it: what is known of one says nothing of another."""
    found = [sent("a b", status="bad_credentials"), sent(other, status="bad_credentials")]
    findings = evaluate(inventory(*found), default(), NOW).findings
    assert {finding.connection for finding in findings} == {"a b"}
    assert len({finding.fingerprint for finding in findings}) == 2


def test_fingerprints_of_requirements() -> None:
    """What is missing is identified by what is required: provider and group, or the ID that a gate names."""
    required = [{"provider": "gong"}, {"groupRef": "gong"}, {"provider": "gong", "groupRef": "gong"}]
    found = Inventory(missing=["gong", "slack"])
    evaluation = evaluate(found, configured({"required-connections": {"require": required}}), NOW)
    assert {finding.rule for finding in evaluation.findings} == {"required-connections"}
    assert len({finding.fingerprint for finding in evaluation.findings}) == 5
    more = configured({"required-connections": {"require": [{**item, "min": 3} for item in required]}})
    again = evaluate(Inventory.merge([found, inventory(sent())]), more, NOW)
    assert [finding.fingerprint for finding in again.findings] == [
        finding.fingerprint for finding in evaluation.findings
    ]


def test_fingerprints_without_a_project() -> None:
    """Of a connection whose project isn't known, other fields don't count either."""
    prints: set[str] = set()
    for name in ("acme", "acme-ltd"):
        connection = sent(projectId=None, status="bad_credentials", group={"groupRef": name})
        prints.add(evaluate(inventory(connection, project=""), default(), NOW).findings[0].fingerprint)
    assert len(prints) == 1


def test_fingerprints_do_not_depend_on_the_message() -> None:
    """The same finding has the same fingerprint tomorrow, with other figures, names, levels and options."""
    prints = set()
    for days, name, level in ((1, "Acme", "advisory"), (2, "Acme Ltd", "mandatory")):
        connection = sent(
            group={"groupRef": name, "projectId": "proj_1"},
            oauth2AuthorizationCode=grant(refresh=at(days=days)),
            provider=name.lower(),
        )
        content = {"token-expiry": {"enforcementLevel": level, "minDays": 5 + days}}
        (finding,) = evaluate(inventory(connection), configured(content), NOW).findings
        prints.add(finding.fingerprint)
    # Pinned: baselines and reports of earlier versions hold it.
    assert prints == {"ce0f53dd05120293d852e35c7c5801d103e7d5a00c08fe2ca4a54ddbac28ab21"}


class TestVerifiableConnections:
    """What could not be evaluated becomes a finding of ``verifiable-connections``."""

    def test_gaps_of_other_rules_are_its_findings(self) -> None:
        """One finding for each connection, with its own causes and those of all other rules."""
        connection = sent(status="suspended", oauth2AuthorizationCode=None)
        wanted = configured({"required-scopes": {"scopes": {"*": ["api"]}}})
        evaluation = evaluate(inventory(connection, complete=False), wanted, NOW)
        (finding,) = evaluation.findings
        assert (finding.rule, finding.enforcement) == ("verifiable-connections", Enforcement.ADVISORY)
        assert finding.message == (
            'conn_1 (salesforce, Acme Ltd): its status "suspended" is unknown; '
            "required-scopes, provider-app-scopes were not evaluated: "
            "its granted scopes are unknown: the API didn't send them; "
            "token-expiry, refreshable, credential-age were not evaluated: "
            "its token times are unknown: the API didn't send them"
        )
        times, scopes = (
            f"its {what} are unknown: the API didn't send them" for what in ("token times", "granted scopes")
        )
        assert evaluation.not_evaluated == (
            NotEvaluated("credential-age", "conn_1", times, project="proj_1"),
            NotEvaluated("provider-app-scopes", "conn_1", scopes, project="proj_1"),
            NotEvaluated("refreshable", "conn_1", times, project="proj_1"),
            NotEvaluated("required-scopes", "conn_1", scopes, project="proj_1"),
            NotEvaluated("token-expiry", "conn_1", times, project="proj_1"),
        )

    @pytest.mark.parametrize("level", ["advisory", "mandatory"])
    def test_it_can_fail_closed(self, level: str) -> None:
        """Set to mandatory, what could not be evaluated stops a deployment."""
        evaluation = evaluate(
            inventory(sent(oauth2AuthorizationCode=None), complete=False),
            configured({"verifiable-connections": level}),
            NOW,
        )
        assert [finding.enforcement.value for finding in evaluation.findings] == [level]

    def test_a_percentage_of_it_is_of_all_connections(self) -> None:
        """What it reports is tolerated by the number of connections, for it judges each."""
        found = inventory(sent("a", status="suspended"), sent("b"))
        tolerated = evaluate(found, configured({"verifiable-connections": {"tolerate": "50%"}}), NOW)
        assert [(finding.connection, finding.state) for finding in tolerated.findings] == [("a", State.TOLERATED)]
        broken = evaluate(found, configured({"verifiable-connections": {"tolerate": "49%"}}), NOW)
        assert [(finding.connection, finding.state) for finding in broken.findings] == [("a", State.OPEN)]

    def test_disabled_it_reports_nothing_and_loses_nothing(self) -> None:
        """Without the rule there is no finding, but what wasn't evaluated is still told."""
        evaluation = evaluate(
            inventory(sent(oauth2AuthorizationCode=None), complete=False),
            configured({"verifiable-connections": "disabled"}),
            NOW,
        )
        assert not evaluation.findings
        assert [item.rule for item in evaluation.not_evaluated] == [
            "credential-age",
            "provider-app-scopes",
            "refreshable",
            "token-expiry",
        ]

    @pytest.mark.parametrize("position", [0, 1])
    def test_its_place_in_the_list_does_not_matter(self, position: int) -> None:
        """It judges last, wherever it stands among the rules."""

        def check(found: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
            for entry in found:
                yield Unverified("who knows", entry)

        rules: list[Rule[Any]] = [made_up(check)]
        rules.insert(position, verifiable_connections.RULE)
        evaluation = evaluate(inventory(sent()), default(rules), NOW)
        assert [finding.message for finding in evaluation.findings] == [
            "conn_1 (salesforce, Acme Ltd): made-up was not evaluated: who knows"
        ]

    def test_a_gap_about_no_connection_is_a_finding_of_its_own(self) -> None:
        """What concerns the whole inventory isn't pinned on a connection."""

        def check(_found: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
            yield Unverified("no idea")

        evaluation = evaluate(inventory(sent()), with_rules(made_up(check)), NOW)
        assert [(finding.connection, finding.message) for finding in evaluation.findings] == [
            ("", "made-up was not evaluated: no idea")
        ]


class TestRequirements:
    """What is said of a requirement that no connection fulfils."""

    REQUIRED = ({"provider": "gong"}, {"groupRef": "acme"}, {"provider": "gong", "groupRef": "acme"})
    WANTED = configured({"required-connections": {"require": REQUIRED}, "readable-connections": "advisory"})
    ABOUT = (("", "acme"), ("gong", ""), ("gong", "acme"))

    @pytest.mark.parametrize(
        ("unread", "rule"),
        [([], "required-connections"), (["no answer"], "verifiable-connections")],
        ids=["broken", "not-evaluated"],
    )
    def test_it_is_about_what_is_required(self, unread: list[str], rule: str) -> None:
        """A finding names the provider and the group that are required, and nothing where any will do."""
        findings = evaluate(Inventory(unread=unread), self.WANTED, NOW).findings
        about = [(finding.provider, finding.group) for finding in findings if finding.rule == rule]
        assert about == [*self.ABOUT]
        assert {(finding.connection, finding.consumer) for finding in findings} == {("", "")}

    def test_its_schema_asks_for_one_of_both(self) -> None:
        """Editors that know the JSON Schema say what the check of a configuration says."""
        schema = required_connections.RULE.schema["$defs"]["Required"]
        assert schema["anyOf"] == [{"required": ["provider"]}, {"required": ["groupRef"]}]

    def test_what_is_required_can_not_be_changed(self) -> None:
        """Rules share it, so nothing that one of them does changes what the others judge by."""
        wanted = required_connections.Required.model_validate({"provider": "gong"})
        with pytest.raises(ValidationError, match="frozen"):
            wanted.min = 2  # type: ignore[misc]


class TestCrashes:
    """A rule that crashes is not evaluated, and never looks like a pass."""

    @staticmethod
    def crashing(found: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
        """Breaks for the first connection, leaves the second open, and crashes."""
        first, second = found
        yield Breach("broken before", first)
        yield Unverified("open before", second)
        raise ValueError(SECRET)

    def test_what_was_said_before_stays(self) -> None:
        """Breaches and gaps found before the crash are reported."""
        evaluation = evaluate(inventory(sent("a"), sent("b")), with_rules(made_up(self.crashing)), NOW)
        assert "a (salesforce, Acme Ltd): broken before" in [finding.message for finding in evaluation.findings]
        assert NotEvaluated("made-up", "b", "open before", project="proj_1") in evaluation.not_evaluated

    def test_the_crash_is_not_evaluated(self) -> None:
        """The crash is told with its kind and its place, and marked as a defect."""
        evaluation = evaluate(inventory(sent("a"), sent("b")), with_rules(made_up(self.crashing)), NOW)
        (crash,) = [item for item in evaluation.not_evaluated if item.crashed]
        line = self.crashing.__code__.co_firstlineno + 6
        assert crash == NotEvaluated(
            "made-up", "", f"the rule crashed with ValueError at test_evaluation.py:{line}; report this defect", True
        )
        assert any(crash.reason in finding.message for finding in evaluation.findings)

    def test_what_was_judged_knows_of_it(self) -> None:
        """Whether a rule crashed is known before all is judged, whatever others left open."""
        found = inventory(sent("a"), sent("b", oauth2AuthorizationCode=None), complete=False)
        assert judge(found, with_rules(refreshable.RULE, made_up(self.crashing)), NOW).crashed
        left_open = judge(found, with_rules(refreshable.RULE), NOW)
        assert (len(left_open.not_evaluated), left_open.crashed) == (1, False)

    def test_the_text_of_the_exception_is_not_shown(self) -> None:
        """An exception may hold anything, so none of its text is in a message."""
        assert SECRET not in repr(evaluate(inventory(sent("a"), sent("b")), with_rules(made_up(self.crashing)), NOW))

    def test_other_rules_are_evaluated(self) -> None:
        """One rule's defect doesn't hide what the others find."""
        rules = with_rules(made_up(self.crashing), no_bad_credentials.RULE)
        evaluation = evaluate(inventory(sent("a", status="bad_credentials"), sent("b")), rules, NOW)
        assert "no-bad-credentials" in breaks(evaluation)["a"]

    def test_a_rule_that_crashes_at_once(self) -> None:
        """A check that is no generator may crash when it is called."""

        def check(_found: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
            raise KeyError(SECRET)

        evaluation = evaluate(inventory(), with_rules(made_up(check), verifiable=False), NOW)
        assert [(item.rule, item.crashed) for item in evaluation.not_evaluated] == [("made-up", True)]

    def test_a_rule_that_crashes_before_it_looks(self) -> None:
        """What decides which connections a rule is about may crash as well."""

        def applies(_entry: Entry, _options: Options) -> bool:
            raise KeyError(SECRET)

        rule = replace(made_up(self.crashing), applies=applies)
        evaluation = evaluate(inventory(sent()), with_rules(rule, verifiable=False), NOW)
        assert [(item.rule, item.crashed) for item in evaluation.not_evaluated] == [("made-up", True)]
        assert evaluation.findings == ()

    def test_endless_recursion_is_a_crash_too(self) -> None:
        """Whatever goes wrong in a rule stays in that rule."""

        def check(found: Inventory, options: Options, now: datetime) -> Iterator[Breach | Unverified]:
            yield from check(found, options, now)

        evaluation = evaluate(inventory(), with_rules(made_up(check)), NOW)
        assert [item.crashed for item in evaluation.not_evaluated] == [True]

    def test_verifiable_connections_itself(self) -> None:
        """The rule that reports crashes reports its own."""

        class Broken(Inventory):
            def __iter__(self) -> Iterator[Any]:
                raise ValueError(SECRET)

        evaluation = evaluate(Broken(), default([verifiable_connections.RULE]), NOW)
        (crash,) = evaluation.not_evaluated
        assert (crash.rule, crash.connection, crash.crashed) == ("verifiable-connections", "", True)
        (finding,) = evaluation.findings
        assert finding.message.startswith("verifiable-connections was not evaluated: the rule crashed with ValueError")
        tolerant = configured({"verifiable-connections": {"tolerate": 9}})
        only = replace(
            tolerant, rules=tuple(item for item in tolerant.rules if item.rule is verifiable_connections.RULE)
        )
        assert [finding.state for finding in evaluate(Broken(), only, NOW).findings] == [State.OPEN]


class TestUnread:
    """What could not be read."""

    UNREAD = Inventory.merge([inventory(sent(status="bad_credentials")), Inventory(unread=["no key\nset one"])])

    def test_it_is_a_finding_beside_the_others(self) -> None:
        """What was read is judged, and what wasn't is a finding of ``readable-connections``."""
        evaluation = evaluate(self.UNREAD, default(), NOW)
        assert [(finding.rule, finding.connection) for finding in evaluation.findings] == [
            ("no-bad-credentials", "conn_1"),
            ("readable-connections", ""),
        ]
        assert evaluation.findings[1].message == "no key set one"
        assert not evaluation.not_evaluated

    def test_the_finding_names_the_project(self) -> None:
        """Of several projects, the finding is about the one that could not be read."""
        found = Inventory.merge([inventory(sent()), Inventory(project="crm", unread=["no answer"])])
        (finding,) = evaluate(found, default(), NOW).findings
        assert (finding.project, finding.message) == ("crm", "no answer")

    def test_with_the_rule_disabled_it_is_not_evaluated(self) -> None:
        """Nobody can switch off that something wasn't looked at: it moves on to ``verifiable-connections``."""
        evaluation = evaluate(self.UNREAD, configured({"readable-connections": "disabled"}), NOW)
        assert evaluation.not_evaluated == (NotEvaluated("readable-connections", "", "no key set one"),)
        assert [(finding.rule, finding.message) for finding in evaluation.findings][1:] == [
            ("verifiable-connections", "no key set one")
        ]

    def test_with_both_rules_disabled_it_is_still_told(self) -> None:
        """Even then the evaluation says so."""
        both = {"readable-connections": "disabled", "verifiable-connections": "disabled"}
        evaluation = evaluate(self.UNREAD, configured(both), NOW)
        assert [item.reason for item in evaluation.not_evaluated] == ["no key set one"]


class TestMissing:
    """Connections that a gate names and that don't exist."""

    MISSING = Inventory.merge([inventory(sent()), Inventory(missing=["gone"])])
    SENTENCE = 'the gate names connection "gone", which doesn\'t exist, or which its filters exclude'

    def test_it_is_a_finding_of_required_connections(self) -> None:
        """It is about the ID that was asked for, in no project."""
        (finding,) = evaluate(self.MISSING, default(), NOW).findings
        assert (finding.rule, finding.enforcement) == ("required-connections", Enforcement.MANDATORY)
        assert (finding.connection, finding.project, finding.message) == ("gone", "", self.SENTENCE)

    def test_with_the_rule_disabled_it_is_not_evaluated(self) -> None:
        """Nobody can switch off that something wasn't there to be looked at."""
        evaluation = evaluate(self.MISSING, configured({"required-connections": "disabled"}), NOW)
        assert evaluation.not_evaluated == (NotEvaluated("required-connections", "", self.SENTENCE),)
        assert [(finding.rule, finding.message) for finding in evaluation.findings] == [
            ("verifiable-connections", self.SENTENCE)
        ]
        both = {"required-connections": "disabled", "verifiable-connections": "disabled"}
        evaluation = evaluate(self.MISSING, configured(both), NOW)
        assert evaluation.findings == ()
        assert [item.reason for item in evaluation.not_evaluated] == [self.SENTENCE]


def test_what_is_unread_and_what_is_missing_are_both_told() -> None:
    """With both rules disabled neither takes the other's place."""
    found = Inventory.merge([TestUnread.UNREAD, TestMissing.MISSING])
    neither = configured({"readable-connections": "disabled", "required-connections": "disabled"})
    evaluation = evaluate(found, neither, NOW)
    told = {"readable-connections": "no key set one", "required-connections": TestMissing.SENTENCE}
    assert {item.rule: item.reason for item in evaluation.not_evaluated} == told
    said = [finding.message for finding in evaluation.findings if finding.rule == "verifiable-connections"]
    assert said == [*told.values()]


@pytest.mark.parametrize("whole", [False, True], ids=["each", "all"])
def test_a_rule_is_told_the_time(*, whole: bool) -> None:
    """A rule that judges all connections at once is told the same time as the others."""

    def check(_found: Inventory, _options: Options, now: datetime) -> Iterator[Breach | Unverified]:
        yield Breach(f"it is {now:%H:%M}")

    (finding,) = evaluate(inventory(sent()), with_rules(replace(made_up(check), whole=whole)), NOW).findings
    assert finding.message == "it is 08:00"


class TestParts:
    """The rules that judge each data source, and those that judge all at once."""

    def test_every_rule_is_in_one_part(self) -> None:
        """No rule judges twice, but for the one that collects what others could not judge, and none is lost."""
        every = configured({**EVERY_RULE, "waivers": "disabled"})
        one, everything = of_one_source(every), of_all_sources(every)
        whole = [rule.id for rule in RULES if rule.whole]
        assert [active.rule.id for active in one.rules] == [rule.id for rule in RULES if not rule.whole]
        assert [active.rule.id for active in everything.rules] == [*whole, "verifiable-connections"]
        assert (one.waivers, everything.waivers) == (False, False)

    def test_without_rules_over_everything_nothing_is_collected(self) -> None:
        """Where none of them is active there is nothing to judge all sources by."""
        configuration = configured({"required-connections": "disabled", "unique-connections": "disabled"})
        assert of_all_sources(configuration).rules == ()

    def test_what_a_source_was_told_is_not_told_again(self) -> None:
        """Over all sources ``verifiable-connections`` collects what the rules there can't judge, and nothing else."""
        nobody = sent(status="suspended", group=None, consumer=None)
        everything = of_all_sources(default())
        assert [finding.message for finding in evaluate(inventory(nobody), everything, NOW).findings] == [
            (
                "conn_1 (salesforce): unique-connections was not evaluated: whose it is is unknown: "
                "the API didn't send group.groupRef; the API didn't send consumer.consumerRef"
            )
        ]
        assert evaluate(inventory(sent(status="suspended")), everything, NOW) == Evaluation((), ())


WAIVED = {"connection": "w*", "reason": "moving", "approvedBy": "Jo", "expires": "2026-12-31"}


def test_judged_in_pieces_it_is_the_same() -> None:
    """Connections that are judged a few at a time come to what all of them do at once."""
    pieces = [
        inventory(
            sent(f"{name}-broken", status="bad_credentials"),
            sent(f"{name}-open", status="suspended", oauth2AuthorizationCode=None),
            sent(f"{name}-fine"),
            complete=False,
        )
        for name in "abcd"
    ]
    whole = Inventory.merge(pieces)
    wanted = configured({**EVERY_RULE, "no-bad-credentials": {"tolerate": "34%"}})
    judged = Judged()
    for piece in pieces:
        judged.extend(judge(piece, wanted, NOW))
    judged.extend(judge(whole, wanted, NOW, whole=True))
    together = conclude(judged, whole, wanted, NOW)
    assert together == evaluate(whole, wanted, NOW)
    broken = {
        finding.connection: finding.state for finding in together.findings if finding.rule == "no-bad-credentials"
    }
    assert broken == {f"{name}-broken": State.TOLERATED for name in "abcd"}
    open_ones = {finding.connection for finding in together.findings if finding.rule == "verifiable-connections"}
    assert open_ones >= {f"{name}-open" for name in "abcd"}


class TestLines:
    """What a preview shows of a rule."""

    @staticmethod
    def shown(options: Mapping[str, Any], *broken: str) -> list[tuple[str, str]]:
        """The lines about connections with bad credentials, the remedy and what is said of each left out."""
        configuration = configured({"no-bad-credentials": options})
        found = inventory(*(sent(name, status="bad_credentials") for name in broken))
        active = configuration.active("no-bad-credentials")
        assert active is not None
        told = lines(evaluate(found, configuration, NOW), active)
        assert all(text == one_line(text) for text, _ in told)
        said = " (salesforce, Acme Ltd): the provider refuses its credentials (status bad_credentials)."
        remedy = " Have the customer authorise again: pulumi-ampersand reauth "
        return [(text.replace(said, "").partition(remedy)[0], level.value) for text, level in told]

    def test_open_findings_come_first(self) -> None:
        """What is waived follows as advice, with the day until which it is, and by whom and why."""
        waived = "Waived until 2026-12-31, approved by Jo: moving"
        assert self.shown({"waivers": [WAIVED]}, "a", "w1", "x", "w2") == [
            ("a", "mandatory"),
            ("x", "mandatory"),
            (f"w1 {waived}", "advisory"),
            (f"w2 {waived}", "advisory"),
        ]

    def test_tolerated_findings_are_advice(self) -> None:
        """As many as are tolerated don't stop a deployment; one more, and none is tolerated."""
        options = {"tolerate": 2, "waivers": [WAIVED]}
        assert self.shown(options, "a", "b", "w") == [
            ("a Tolerated.", "advisory"),
            ("b Tolerated.", "advisory"),
            ("w Waived until 2026-12-31, approved by Jo: moving", "advisory"),
        ]
        assert self.shown(options, "a", "b", "c") == [
            ("a", "mandatory"),
            ("b", "mandatory"),
            ("c", "mandatory"),
            ("3 in all, more than are tolerated (2)", "mandatory"),
        ]

    def test_the_tolerance_is_shown_as_it_is_written(self) -> None:
        """A percentage stays one; half a connection isn't tolerated."""
        assert self.shown({"tolerate": "50%"}, "a")[-1] == ("1 in all, more than are tolerated (50%)", "mandatory")
        assert self.shown({"tolerate": "100%"}, "a") == [("a Tolerated.", "advisory")]

    @pytest.mark.parametrize(
        ("options", "broken", "level"),
        [
            pytest.param({}, "abc", "mandatory", id="open"),
            pytest.param({"enforcementLevel": "advisory"}, "abc", "advisory", id="advisory"),
            pytest.param({"waivers": [WAIVED]}, ["a", "b", "w"], "mandatory", id="one-open"),
            pytest.param({"waivers": [WAIVED]}, ["a", "w1", "w2"], "advisory", id="all-waived"),
            pytest.param({"tolerate": 3}, "abc", "advisory", id="all-tolerated"),
        ],
    )
    def test_what_is_left_out_is_counted(self, options: dict[str, Any], broken: list[str], level: str) -> None:
        """Past the cap one line says how many more there are, at the worst level of those that it stands for."""
        more = "and {} more: run pulumi-ampersand audit, or set maxReported of no-bad-credentials"
        assert self.shown({"maxReported": 1, **options}, *broken)[1:] == [(more.format(2), level)]

    def test_what_just_fits_leaves_nothing_out(self) -> None:
        """As many findings as are shown are followed by no line about more."""
        assert self.shown({"maxReported": 2}, "a", "b") == [("a", "mandatory"), ("b", "mandatory")]

    def test_of_what_can_not_be_tolerated_no_tolerance_is_spoken(self) -> None:
        """A rule without the option has a line for each finding, and none that sums them up."""
        configuration = default()
        active = configuration.active("readable-connections")
        assert active is not None
        told = lines(evaluate(Inventory(unread=["no answer"]), configuration, NOW), active)
        assert [(text.partition(".")[0], level.value) for text, level in told] == [("no answer", "mandatory")]

    def test_the_tolerance_counts_what_is_left_out(self) -> None:
        """The last line counts all open findings, shown or not, and no waived one."""
        options = {"maxReported": 1, "tolerate": 1, "waivers": [WAIVED]}
        assert self.shown(options, "a", "b", "w")[1:] == [
            ("and 2 more: run pulumi-ampersand audit, or set maxReported of no-bad-credentials", "mandatory"),
            ("2 in all, more than are tolerated (1)", "mandatory"),
        ]

    def test_other_rules_are_not_shown(self) -> None:
        """Only the rule's own findings are lines of it."""
        configuration = default()
        evaluation = evaluate(inventory(sent(status="bad_credentials")), configuration, NOW)
        counts = {active.rule.id: len(lines(evaluation, active)) for active in configuration.rules}
        assert {name for name, count in counts.items() if count} == {"no-bad-credentials"}


@pytest.mark.parametrize("zone", ["UTC", "XXX-14", "XXX+12"], ids=["utc", "east", "west"])
def test_the_zone_of_the_machine_changes_nothing(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """Times are told, and days of waivers counted, in UTC, wherever the machine believes to be."""
    expired, valid = (
        {**WAIVED, "connection": name, "expires": f"2026-11-{day}"} for name, day in (("a", 23), ("b", 24))
    )
    found = inventory(*(sent(name, oauth2AuthorizationCode=grant(refresh=at(days=1))) for name in "ab"))
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        evaluation = evaluate(found, configured({"token-expiry": {"waivers": [expired, valid]}}), NOW)
    finally:
        monkeypatch.undo()
        time.tzset()
    said = "(salesforce, Acme Ltd): refresh token expires in 1 day, 2026-11-25T08:00:00Z; minimum 7 days"
    assert [(finding.message, finding.state) for finding in evaluation.findings] == [
        (f"a {said}; its waiver expired after 2026-11-23, approved by Jo: moving", State.OPEN),
        (f"b {said}", State.WAIVED),
    ]


def test_waivers_can_be_disabled() -> None:
    """``"waivers": "disabled"`` has every finding bite, in every rule, and no waiver is counted."""
    entry = {"no-bad-credentials": {"waivers": [{**WAIVED, "connection": "*"}]}}
    found = inventory(sent(status="bad_credentials"))
    heeded = evaluate(found, configured(entry), NOW)
    assert [finding.state for finding in heeded.findings] == [State.WAIVED]
    assert [use.state for use in heeded.waivers] == [WaiverState.USED]
    for more in ({}, {"all": "mandatory"}, {"all": "advisory"}):
        ignored = evaluate(found, configured({**entry, **more, "waivers": "disabled"}), NOW)
        assert [(finding.rule, finding.state) for finding in ignored.findings] == [("no-bad-credentials", State.OPEN)]
        assert "aiver" not in ignored.findings[0].message
        assert ignored.waivers == ()


@pytest.fixture
def connections() -> list[Any]:
    """The connections of the scenario ``mixed``, at `NOW`."""
    return Sandbox("mixed", now=NOW).connections


class TestMixed:
    """The sandbox's scenario ``mixed``, as the quickstart configures it."""

    WANTED = configured(CONFIGURATION)

    def test_a_saved_answer_breaks_what_is_expected(self, connections: list[Any]) -> None:
        """Each connection breaks the rules that the scenario's table says, and no others."""
        evaluation = evaluate(inventory(*connections), self.WANTED, NOW)
        found = breaks(evaluation)
        assert set(found) <= set(BREAKS)
        assert {name: found.get(name, set()) for name in BREAKS} == BREAKS
        missed: dict[str, set[str]] = {}
        for item in evaluation.not_evaluated:
            missed.setdefault(item.connection, set()).add(item.rule)
        assert missed == NOT_EVALUATED

    def test_a_list_leaves_refresh_tokens_open(self, connections: list[Any]) -> None:
        """A list that shows no refresh token doesn't say that there is none: not evaluated instead of broken."""
        evaluation = evaluate(inventory(*connections, complete=False), self.WANTED, NOW)
        found = breaks(evaluation)
        expected = {
            name: (rules - LIST_LEAVES_OPEN[name]) | {"verifiable-connections"} if name in LIST_LEAVES_OPEN else rules
            for name, rules in BREAKS.items()
        }
        assert {name: found.get(name, set()) for name in BREAKS} == expected
        missed: dict[str, set[str]] = {}
        for item in evaluation.not_evaluated:
            missed.setdefault(item.connection, set()).add(item.rule)
        assert missed == {
            name: rules | NOT_EVALUATED.get(name, frozenset()) for name, rules in LIST_LEAVES_OPEN.items()
        }

    def test_documents_say_the_same(self, connections: list[Any]) -> None:
        """What travels through a stack is judged like what was read."""
        for read in (inventory(*connections), inventory(*connections, complete=False)):
            travelled = Inventory.from_documents(*read.documents())
            assert evaluate(travelled, self.WANTED, NOW) == evaluate(read, self.WANTED, NOW)

    def test_messages_are_lines_without_credentials(self, connections: list[Any]) -> None:
        """No finding of the scenario holds a credential or more than one line."""
        evaluation = evaluate(inventory(*connections), self.WANTED, NOW)
        for text in [text for finding in evaluation.findings for text in (finding.message, finding.remediation)]:
            assert text == one_line(text)
            assert "CANARY" not in text

    @pytest.mark.parametrize("scenario", ["healthy", "sample"])
    def test_other_scenarios(self, scenario: str) -> None:
        """The healthy ones keep every rule; the reference's sample answer is at least judged without a crash."""
        evaluation = evaluate(inventory(*Sandbox(scenario, now=NOW).connections), self.WANTED, NOW)
        assert scenario == "sample" or evaluation == Evaluation((), ())
        assert not any(item.crashed for item in evaluation.not_evaluated)


class TestMany:
    """Ten thousand connections."""

    def test_each_is_judged(self) -> None:
        """As many findings as there are broken connections, sorted."""
        found = inventory(*large_connections(10_000, NOW, broken=5_000))
        evaluation = evaluate(found, default(), NOW)
        assert len(evaluation.findings) == 5_000
        names = [finding.connection for finding in evaluation.findings]
        assert names == sorted(names)
        assert len({finding.fingerprint for finding in evaluation.findings}) == 5_000

    def test_the_work_grows_as_the_number(self) -> None:
        """Ten times the connections take ten times the calls, findings and gaps included."""

        def calls(count: int) -> int:
            found = Inventory(read_connections(json.dumps(large_connections(count, NOW, broken=count // 2)).encode()))
            wanted = configured({**EVERY_RULE, "required-scopes": {"scopes": {"*": ["nobody-has-it"]}}})
            made = 0

            def count_calls(_frame: Any, _event: str, _argument: Any) -> None:
                nonlocal made
                made += 1

            sys.setprofile(count_calls)
            try:
                evaluate(found, wanted, NOW)
            finally:
                sys.setprofile(None)
            return made

        few, many = calls(200), calls(2_000)
        assert 9 * few < many < 11 * few

    def test_each_rule_looks_once(self) -> None:
        """Rules go through the inventory once each."""

        class Counted(Inventory):
            passes = 0

            def __iter__(self) -> Iterator[Any]:
                Counted.passes += 1
                return super().__iter__()

        connections = read_connections(json.dumps([sent()]).encode())
        evaluate(Counted(connections), configured(EVERY_RULE), NOW)
        assert Counted.passes <= len(RULES)
