"""The table rule x case: what keeps each rule, breaks it, can't be judged, is waived, is tolerated or is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import pytest

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.configuration import ActiveRule, Configuration, ConfigurationError
from pulumi_ampersand_policies.evaluation import Evaluation, describe, evaluate
from pulumi_ampersand_policies.rule import Enforcement, Rule
from pulumi_ampersand_policies.rules import RULES
from pulumi_ampersand_policies.testing import NOW, UNKNOWN, assert_rule, at, connection, grant, inventory, judge
from rule_cases import HOSTILE, Case, Cases, Wrong, unobserved
from rule_cases_boundaries import BOUNDARIES
from rule_cases_credentials import CREDENTIALS
from rule_cases_inventory import INVENTORY
from rule_cases_scopes import SCOPES

TABLE: Final[Mapping[str, Cases]] = {**CREDENTIALS, **SCOPES, **BOUNDARIES, **INVENTORY}
BY_ID: Final = {rule.id: rule for rule in RULES}
WAIVER: Final = {"provider": "*", "reason": "a pilot", "approvedBy": "Kim", "expires": "2026-11-24"}
"""Waives every finding of any rule, on its last day."""


def rows(*columns: str, unless: str = "") -> pytest.MarkDecorator:
    """The cases of the columns as parameters, but for rules that can't have the column ``unless``."""
    return pytest.mark.parametrize(
        ("rule", "case"),
        [
            pytest.param(BY_ID[rule_id], case, id=f"{rule_id}-{case.name}")
            for rule_id, row in TABLE.items()
            if unless not in row.without
            for column in columns
            for case in getattr(row, column)
        ],
    )


def options(rule: Rule[Any], case: Case, **more: Any) -> dict[str, Any]:
    """The options under which a case is judged."""
    return {**(TABLE[rule.id].options if case.options is None else case.options), **more}


def texts(said: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What was said, by connection, several things joined."""
    found: dict[str, list[str]] = {}
    for name, text in said:
        found.setdefault(name, []).append(text)
    return {name: "; ".join(parts) for name, parts in found.items()}


def messages(case: Case) -> dict[str, str]:
    """What the findings of a case say, which starts with whom they are about."""
    about = {entry.connection.id: f"{describe(entry)}: " for entry in case.connections}
    return {name: about.get(name, "") + cause for name, cause in case.breaks.items()}


def assert_case(rule: Rule[Any], case: Case) -> None:
    """Assert that a rule says of a case what the table says, to the letter."""
    given = options(rule, case)
    assert_rule(rule, case.connections, given, breaks=messages(case), not_evaluated=case.not_evaluated)
    evaluation = judge(rule, case.connections, given)
    assert texts((finding.connection, finding.message) for finding in evaluation.findings) == messages(case)
    assert texts((item.connection, item.reason) for item in evaluation.not_evaluated) == case.not_evaluated


@rows("keeps")
def test_keeps(rule: Rule[Any], case: Case) -> None:
    """Connections that keep the rule, or that it isn't about: nothing is said of them."""
    assert case.breaks == case.not_evaluated == {}
    assert_case(rule, case)


@rows("breaks")
def test_breaks(rule: Rule[Any], case: Case) -> None:
    """Connections that break the rule: the message says what is wrong, with the figures."""
    assert case.breaks
    assert not case.not_evaluated
    assert_case(rule, case)


@rows("edges")
def test_edges(rule: Rule[Any], case: Case) -> None:
    """Where keeping ends and breaking begins, as the rule's documentation decides it."""
    assert_case(rule, case)


@rows("not_evaluated")
def test_not_evaluated(rule: Rule[Any], case: Case) -> None:
    """Connections that can't be judged are neither kept nor broken, and the reason says what is missing."""
    assert case.not_evaluated
    assert not case.breaks
    assert_case(rule, case)


@rows("breaks", unless="waived")
def test_waived(rule: Rule[Any], case: Case) -> None:
    """What breaks the rule can be waived, and is still said; an expired waiver waives nothing, and says so."""
    given = options(rule, case, waivers=[WAIVER])
    assert_rule(rule, case.connections, given, waived=messages(case))
    expired = options(rule, case, waivers=[{**WAIVER, "expires": "2026-11-23"}])
    reason = "its waiver expired after 2026-11-23, approved by Kim: a pilot"
    assert_rule(rule, case.connections, expired, breaks=dict.fromkeys(case.breaks, reason))


@rows("breaks", unless="tolerated")
def test_tolerated(rule: Rule[Any], case: Case) -> None:
    """As many findings as are tolerated stop nothing and are still said; with one more, all of them break."""
    count = len(judge(rule, case.connections, options(rule, case)).findings)
    assert_rule(rule, case.connections, options(rule, case, tolerate=count), tolerated=messages(case))
    assert_rule(rule, case.connections, options(rule, case, tolerate=count - 1), breaks=messages(case))


@rows("wrong")
def test_wrong_configuration(rule: Rule[Any], case: Wrong) -> None:
    """Options that mean nothing are an error that names the rule and the key; nothing is judged by them."""
    with pytest.raises(ConfigurationError) as caught:
        judge(rule, inventory(), case.options)
    (problem,) = caught.value.problems
    about = f"policy pack configuration: {rule.id}"
    assert problem in {f"{about}: {case.problem}", f"{about} {case.problem}"}


@rows("keeps", "breaks", "edges", "not_evaluated")
def test_a_stack_changes_nothing(rule: Rule[Any], case: Case) -> None:
    """What a gate or an audit reads is judged like what travelled through a stack's documents."""
    given = options(rule, case)
    travelled = judge(rule, case.connections, given)
    wanted = Configuration((ActiveRule(rule, Enforcement.MANDATORY, rule.options.model_validate(given)),), inactive=())
    assert evaluate(case.connections, wanted, NOW) == travelled


@rows("breaks", "edges", "not_evaluated")
def test_messages_are_one_harmless_line(rule: Rule[Any], case: Case) -> None:
    """Whatever is said stays on one line and holds no credential."""
    evaluation = judge(rule, case.connections, options(rule, case))
    for text in said(evaluation):
        assert text == one_line(text)
        assert "CANARY" not in text


def said(evaluation: Evaluation) -> list[str]:
    """All texts of an evaluation."""
    return [
        *(text for finding in evaluation.findings for text in (finding.message, finding.remediation)),
        *(item.reason for item in evaluation.not_evaluated),
    ]


COLUMNS: Final = ("keeps", "breaks", "edges", "not_evaluated", "wrong", "waived", "tolerated")


def test_every_rule_is_in_the_table() -> None:
    """No rule is left out, and none is there that doesn't exist."""
    assert sorted(TABLE) == sorted(BY_ID)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
class TestEveryRow:
    """What is true of every rule's row."""

    def test_it_has_every_column(self, rule: Rule[Any]) -> None:
        """Every rule has a case in every column, or a reason why there can't be any."""
        row = TABLE[rule.id]
        assert set(row.without) <= set(COLUMNS)
        assert all(row.without.values())
        filled = {column for column in COLUMNS[:5] if getattr(row, column)} | {"waived", "tolerated"}
        for column in COLUMNS:
            assert (column in row.without) is (column not in filled or column in row.without), column
            assert column in filled or column in row.without, column

    def test_names_are_unique_in_a_column(self, rule: Rule[Any]) -> None:
        """A case is found by its name."""
        for column in COLUMNS[:5]:
            names = [case.name for case in getattr(TABLE[rule.id], column)]
            assert sorted(names) == sorted(set(names)), column

    def test_a_rule_that_is_always_judged(self, rule: Rule[Any]) -> None:
        """A rule without a case that can't be judged judges whatever is known of a connection."""
        least = {"id": "conn_1", "provider": "salesforce", "status": "working"}
        found = inventory(least), unobserved(inventory(least)), unobserved(inventory(connection()))
        judged = all(not judge(rule, connections, TABLE[rule.id].options).not_evaluated for connections in found)
        if "not_evaluated" in TABLE[rule.id].without:
            assert judged

    def test_what_is_refused_is_refused(self, rule: Rule[Any]) -> None:
        """A rule that can't be waived or tolerated refuses to be told so."""
        for column, key in (("waived", "waivers"), ("tolerated", "tolerate")):
            takes = key in {part.alias or name for name, part in rule.options.model_fields.items()}
            assert takes is (column not in TABLE[rule.id].without)

    def test_a_flawless_connection_keeps_it(self, rule: Rule[Any]) -> None:
        """The kit's connection keeps every rule, and every rule can judge it."""
        assert_rule(rule, inventory(connection()), TABLE[rule.id].options)

    def test_unknown_connections_are_not_evaluated(self, rule: Rule[Any]) -> None:
        """Connections that a preview doesn't know are neither kept nor broken."""
        assert_rule(rule, UNKNOWN, TABLE[rule.id].options, not_evaluated={"": "until the update"})

    def test_common_options(self, rule: Rule[Any]) -> None:
        """What every rule takes is checked in every rule."""
        with pytest.raises(ConfigurationError, match='unknown key "nonsense"'):
            judge(rule, inventory(), {**TABLE[rule.id].options, "nonsense": 1})
        with pytest.raises(ConfigurationError, match='"maxReported": 0 is less than the minimum of 1'):
            judge(rule, inventory(), {**TABLE[rule.id].options, "maxReported": 0})

    def test_hostile_text_stays_on_one_line(self, rule: Rule[Any]) -> None:
        """Whatever the API sends as a name, messages and remedies are one line without control characters."""
        evaluation = judge(rule, hostile(), HOSTILE_OPTIONS.get(rule.id, TABLE[rule.id].options))
        assert not any(item.crashed for item in evaluation.not_evaluated)
        for finding in evaluation.findings:
            for text in (finding.connection, finding.provider, finding.group, finding.consumer, finding.project):
                assert text == one_line(text)
        for text in said(evaluation):
            assert text == one_line(text)
            text.encode()

    def test_hostile_text_is_spoken_of(self, rule: Rule[Any]) -> None:
        """The connections above break every rule, or the test above would prove nothing."""
        assert judge(rule, hostile(), HOSTILE_OPTIONS.get(rule.id, TABLE[rule.id].options)).findings


def hostile() -> Inventory:
    """Connections that break every rule and are called the worst."""
    parts = [
        inventory(
            connection(
                f"{number} {HOSTILE}",
                provider=f"p {HOSTILE}",
                status=status,
                projectId=f"project {HOSTILE}",
                authScheme=f"scheme {HOSTILE}",
                createTime=at(days=-400),
                updateTime=at(days=-400),
                providerWorkspaceRef=f"w {HOSTILE}",
                group={"groupRef": HOSTILE, "groupName": f"g {HOSTILE}", "projectId": f"other {HOSTILE}"},
                consumer={"consumerRef": HOSTILE, "consumerName": HOSTILE},
                providerApp={"scopes": [f"app{HOSTILE}"]},
                providerMetadata={HOSTILE: {"value": HOSTILE}},
                oauth2AuthorizationCode=grant(
                    refresh=refresh, access=at(days=-1), scopes=[f"s{HOSTILE}"], issued=at(days=-400)
                ),
            )
        )
        for number, (status, refresh) in enumerate(
            (("bad_credentials", at(days=-1)), ("created", at(days=-1)), (f"s {HOSTILE}", False))
        )
    ]
    return Inventory.merge([*parts, Inventory(unread=[f"unread {HOSTILE}"], missing=[f"missing {HOSTILE}"])])


HOSTILE_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "required-scopes": {"scopes": {"*": ["a<{%b"]}},
    "forbidden-scopes": {"scopes": {"*": ["*"]}},
    "allowed-auth-schemes": {"schemes": {"*": ["a\x1b[31m\nb"]}},
    "allowed-providers": {"allow": ["a\x1b[31m\nb"]},
    "allowed-workspaces": {"workspaces": {"*": "a\x1b\n[b]"}},
    "required-connections": {"require": [{"provider": "a\x1b[31m\nb", "groupRef": "<{%fg 1%}>"}]},
    "connection-schema": {
        "schema": {"properties": {"providerMetadata": {"additionalProperties": {"const": "a\x1b[31m\nb"}}}}
    },
}
