"""The configuration file: what holds under it, and what is wrong with one that can't be used."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.configuration import Configuration, ConfigurationError, Given, default, parse, resolve
from pulumi_ampersand_policies.gate import Gate
from pulumi_ampersand_policies.rules import RULES, token_expiry
from pulumi_ampersand_policies.rules.readable_connections import ReadableConnections
from pulumi_ampersand_policies.rules.required_scopes import RequiredScopes
from pulumi_ampersand_policies.rules.token_expiry import TokenExpiry

SCOPES = {"scopes": {"*": ["api"]}}
DEFAULTS = {
    "no-bad-credentials": "mandatory",
    "token-expiry": "mandatory",
    "refreshable": "advisory",
    "credential-age": "advisory",
    "provider-app-scopes": "advisory",
    "allowed-auth-schemes": "mandatory",
    "same-project": "mandatory",
    "unique-connections": "advisory",
    "idle-connections": "advisory",
    "required-connections": "mandatory",
    "verifiable-connections": "advisory",
    "readable-connections": "mandatory",
}
NEEDS = {
    "required-scopes": '"scopes"',
    "forbidden-scopes": '"scopes"',
    "allowed-scopes": '"scopes"',
    "allowed-providers": '"allow" or "deny"',
    "allowed-workspaces": '"workspaces"',
    "connection-schema": '"schema"',
}
OFF = "access-token-expiry"
APPROVED = {"reason": "moving", "approvedBy": "Jo", "expires": "2026-12-31"}
WAIVER = {"connection": "c*", **APPROVED}


def problems(content: Any) -> list[str]:
    """What is wrong with a configuration, without the name of its file, which each problem starts with."""
    with pytest.raises(ConfigurationError) as caught:
        parse(content if isinstance(content, str) else json.dumps(content), "policy.json")
    for problem in caught.value.problems:
        assert problem.startswith("policy.json")
        assert problem == one_line(problem)
    assert str(caught.value) == "; ".join(caught.value.problems)
    return [problem.removeprefix("policy.json").lstrip(": ") for problem in caught.value.problems]


def levels(configuration: Configuration) -> dict[str, str]:
    """The level of each rule that is evaluated."""
    return {active.rule.id: active.enforcement.value for active in configuration.rules}


def options(content: Any, rule: str) -> Any:
    """The options that a configuration gives a rule."""
    active = parse(json.dumps(content), "policy.json").active(rule)
    assert active is not None
    return active.options


@pytest.mark.parametrize("text", ["", " \n", "{}", '{"all": {}}'])
def test_nothing_given_is_the_default(text: str) -> None:
    """An empty file, like none, leaves every rule at its default; a rule that lacks options is inactive."""
    configuration = parse(text, "policy.json")
    assert configuration == default()
    assert levels(configuration) == DEFAULTS
    reasons = {rule: f"it needs {options}" for rule, options in NEEDS.items()}
    assert {inactive.rule.id: inactive.reason for inactive in configuration.inactive} == {
        **reasons,
        OFF: "it is disabled by default",
    }
    assert configuration.waivers


def test_every_rule_is_either_active_or_not() -> None:
    """No rule is lost between the two lists."""
    configuration = parse('{"token-expiry": "disabled"}', "policy.json")
    active, inactive = ([part.rule.id for part in parts] for parts in (configuration.rules, configuration.inactive))
    assert sorted(active + inactive) == sorted(rule.id for rule in RULES)
    assert configuration.active("token-expiry") is None
    assert configuration.active("nonsense") is None


@pytest.mark.parametrize("level", ["advisory", "mandatory"])
@pytest.mark.parametrize("written", ["text", "object"])
@pytest.mark.parametrize("rule", [rule for rule in RULES if not rule.needed], ids=lambda rule: rule.id)
def test_a_level_is_text_or_part_of_an_object(rule: Any, written: str, level: str) -> None:
    """The two ways to write a level mean the same, for every rule."""
    entry = level if written == "text" else {"enforcementLevel": level}
    assert levels(parse(json.dumps({rule.id: entry}), "policy.json")) == {**DEFAULTS, rule.id: level}


def test_the_defaults_are_the_rules_own() -> None:
    """The table here is what the rules say; one that is off by default is turned on by a level of its own."""
    assert {rule.id: rule.enforcement.value for rule in RULES if rule.id in DEFAULTS} == DEFAULTS
    assert {rule.id for rule in RULES} == {*DEFAULTS, *NEEDS, OFF}


@pytest.mark.parametrize("entry", ["disabled", {"enforcementLevel": "disabled"}])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_any_rule_can_be_disabled(rule: Any, entry: Any) -> None:
    """A disabled rule isn't evaluated and needs no options."""
    configuration = parse(json.dumps({rule.id: entry}), "policy.json")
    assert configuration.active(rule.id) is None
    assert [inactive.reason for inactive in configuration.inactive if inactive.rule is rule] == ["it is disabled"]


def test_pulumis_own_key_is_left_alone() -> None:
    """The CLI takes ``environments`` out of the file before packs see the rest, so one file serves pack and audit."""
    assert levels(parse('{"environments": ["org/prod"]}', "policy.json")) == DEFAULTS
    with pytest.raises(ConfigurationError):
        parse('{"environments": "org/prod"}', "policy.json")


@pytest.mark.parametrize("level", ["advisory", "mandatory", "disabled"])
def test_all_beats_the_defaults(level: str) -> None:
    """``all`` is a level for every rule that can be evaluated."""
    expected = {} if level == "disabled" else dict.fromkeys([*DEFAULTS, OFF], level)
    assert levels(parse(json.dumps({"all": level}), "policy.json")) == expected
    assert levels(parse(json.dumps({"all": {"enforcementLevel": level}}), "policy.json")) == expected


@pytest.mark.parametrize("first", ["all", "token-expiry"])
def test_an_own_entry_beats_all(first: str) -> None:
    """A rule's own level beats ``all``, whichever is written first."""
    entries = {"all": "disabled", "token-expiry": "mandatory"}
    ordered = {first: entries[first], **entries}
    assert levels(parse(json.dumps(ordered), "policy.json")) == {"token-expiry": "mandatory"}


def test_all_beats_the_default_of_a_rule_with_options_only() -> None:
    """Options without a level leave the level to ``all``."""
    configuration = parse(json.dumps({"all": "advisory", "token-expiry": {"minDays": 3}}), "policy.json")
    assert levels(configuration)["token-expiry"] == "advisory"


def test_all_does_not_name_a_rule() -> None:
    """``all`` gives levels, so a rule that lacks options stays inactive under it instead of being an error."""
    configuration = parse('{"all": "mandatory"}', "policy.json")
    assert "required-scopes" not in levels(configuration)


@pytest.mark.parametrize(
    "entry", ["mandatory", "advisory", {"enforcementLevel": "advisory"}, {"maxReported": 3}, {}], ids=json.dumps
)
@pytest.mark.parametrize("rule", NEEDS)
def test_a_named_rule_without_its_options_is_an_error(rule: str, entry: Any) -> None:
    """A rule that a configuration names but that could check nothing is no silent pass."""
    assert problems({rule: entry}) == [f"{rule} is configured but lacks {NEEDS[rule]}, without which it checks nothing"]


@pytest.mark.parametrize("given", [{"allow": ["slack"]}, {"deny": ["slack"]}, {"allow": ["slack"], "deny": ["gong"]}])
def test_one_option_of_several_is_enough(given: dict[str, Any]) -> None:
    """A rule that needs one option or the other is evaluated with either."""
    assert levels(parse(json.dumps({"allowed-providers": given}), "policy.json")) == {
        **DEFAULTS,
        "allowed-providers": "mandatory",
    }


class TestDisabledByDefault:
    """A rule that is off unless it is turned on."""

    @pytest.mark.parametrize("entry", [{"minMinutes": 5}, {"maxReported": 5}, {"waivers": [WAIVER]}], ids=json.dumps)
    def test_options_alone_are_an_error(self, entry: dict[str, Any]) -> None:
        """Options of a rule that stays off would have no effect."""
        assert problems({OFF: entry}) == [
            f"{OFF} is configured but disabled by default: give it an enforcementLevel, advisory, mandatory or disabled"
        ]

    @pytest.mark.parametrize(
        ("content", "level"),
        [
            pytest.param({OFF: "advisory"}, "advisory", id="level"),
            pytest.param({OFF: {"minMinutes": 5, "enforcementLevel": "mandatory"}}, "mandatory", id="options"),
            pytest.param({"all": "mandatory"}, "mandatory", id="all"),
            pytest.param({"all": "mandatory", OFF: {"minMinutes": 5}}, "mandatory", id="all-with-options"),
            pytest.param({OFF: {}}, None, id="empty"),
            pytest.param({"all": "disabled", OFF: {"minMinutes": 5}}, None, id="all-disabled"),
            pytest.param({"all": "mandatory", OFF: {"enforcementLevel": "disabled", "minMinutes": 5}}, None, id="own"),
        ],
    )
    def test_a_level_turns_it_on(self, content: dict[str, Any], level: str | None) -> None:
        """Its own level or ``all`` decides."""
        assert levels(parse(json.dumps(content), "policy.json")).get(OFF) == level


class TestWaivers:
    """Waivers as a whole, and those of a rule."""

    @pytest.mark.parametrize("all_rules", [{}, {"all": "mandatory"}, {"all": "disabled"}], ids=json.dumps)
    @pytest.mark.parametrize("entry", ["disabled", {"enforcementLevel": "disabled"}], ids=json.dumps)
    def test_they_can_be_disabled(self, entry: Any, all_rules: dict[str, Any]) -> None:
        """The key is no rule: it only has waivers ignored, and changes no level."""
        configuration = parse(json.dumps({**all_rules, "waivers": entry}), "policy.json")
        assert not configuration.waivers
        assert levels(configuration) == levels(parse(json.dumps(all_rules), "policy.json"))

    @pytest.mark.parametrize(
        "entry",
        [
            *("advisory", "mandatory", "remediate", "enabled", ""),
            *({}, {"enforcementLevel": "advisory"}, {"enforcementLevel": "disabled", "until": 5}, {"connection": "c*"}),
        ],
        ids=json.dumps,
    )
    def test_they_can_be_nothing_else(self, entry: Any) -> None:
        """There is no other level and no option for all waivers."""
        assert problems({"waivers": entry}) == ['"waivers" can only be "disabled", which has every waiver ignored']

    @pytest.mark.parametrize("entry", [False, 0, [WAIVER]], ids=json.dumps)
    def test_they_are_no_list(self, entry: Any) -> None:
        """Waivers stand in a rule's entry; what is said instead is what may stand here."""
        assert problems({"waivers": entry}) == ['"waivers" can only be "disabled", which has every waiver ignored']

    def test_null_is_no_level(self) -> None:
        """Nothing is not "disabled"."""
        assert 'waivers: level "null" is not allowed' in problems({"waivers": {"enforcementLevel": None}})[0]

    @pytest.mark.parametrize("rule", ["readable-connections", "verifiable-connections"])
    def test_some_rules_take_none(self, rule: str) -> None:
        """What wasn't checked can't be waived."""
        (problem,) = problems({rule: {"waivers": [WAIVER]}})
        assert problem.startswith(f'{rule}: unknown key "waivers"; it takes maxReported, ')


def test_options_are_read() -> None:
    """A rule's options arrive under their names, the others at their defaults."""
    content = {
        "required-scopes": {"scopes": {"salesforce": ["api", ["refresh_token", "offline_access"]], "*": []}},
        "token-expiry": {"minDays": 1.5, "maxReported": 3},
    }
    scopes = options(content, "required-scopes")
    assert isinstance(scopes, RequiredScopes)
    assert scopes.scopes == {"salesforce": ["api", ["refresh_token", "offline_access"]], "*": []}
    assert scopes.max_reported == 20
    expiry = options(content, "token-expiry")
    assert isinstance(expiry, TokenExpiry)
    assert (expiry.min_days, expiry.max_reported) == (1.5, 3)


def test_numbers_may_be_floats() -> None:
    """The engine hands numbers on as floats: 3.0 means the same as 3."""
    whole, floating = ({"token-expiry": {"minDays": days, "maxReported": most}} for days, most in ((3, 5), (3.0, 5.0)))
    assert options(whole, "token-expiry") == options(floating, "token-expiry")
    assert repr(options(floating, "token-expiry").max_reported) == "5"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            {"tokenexpiry": "mandatory"},
            'unknown rule "tokenexpiry" (did you mean "token-expiry"?); the rules are ',
            id="rule-nearest",
        ),
        pytest.param({"xyzzy": {"minDays": 3}}, 'unknown rule "xyzzy"; the rules are ', id="rule"),
        pytest.param({"gate": {}}, 'unknown rule "gate"; the rules are ', id="gate-outside-its-rule"),
        pytest.param(
            {"token-expiry": "mandatroy"},
            'token-expiry: level "mandatroy" is not allowed, only advisory, mandatory or disabled '
            '(did you mean "mandatory"?)',
            id="level-nearest",
        ),
        pytest.param({"token-expiry": "Mandatory"}, 'token-expiry: level "Mandatory" is not allowed, only', id="case"),
        pytest.param({"token-expiry": ""}, 'token-expiry: level "" is not allowed, only advisory', id="empty-level"),
        pytest.param(
            {"token-expiry": {"enforcementLevel": 5}}, 'token-expiry: level "5" is not allowed', id="level-number"
        ),
        pytest.param(
            {"token-expiry": {"enforcementLevel": None}}, 'token-expiry: level "null" is not allowed', id="level-null"
        ),
        pytest.param(
            {"token-expiry": {"enforcementLevel": ["mandatory"]}}, "token-expiry: level ", id="level-in-a-list"
        ),
        pytest.param(
            {"token-expiry": "remediate"},
            'token-expiry: level "remediate" is not allowed, only advisory, mandatory or disabled; '
            "these rules can't remediate, they only report",
            id="remediate",
        ),
        pytest.param({"all": "remediate"}, 'all: level "remediate" is not allowed', id="remediate-all"),
        pytest.param({"all": 5}, '"all" must be a level (advisory, mandatory or disabled)', id="all-number"),
        pytest.param(
            {"all": {"enforcementLevel": "advisory", "minDays": 3, "scopes": {}}},
            '"all" is a level only, it takes no options: move "minDays", "scopes" to a rule',
            id="all-with-options",
        ),
        pytest.param(
            {"token-expiry": 5},
            '"token-expiry" must be a level (advisory, mandatory or disabled) or an object of options',
            id="entry-number",
        ),
        pytest.param({"token-expiry": None}, '"token-expiry" must be a level', id="entry-null"),
        pytest.param({"token-expiry": []}, '"token-expiry" must be a level', id="entry-list"),
        pytest.param(
            {"token-expiry": {"minDay": 3}},
            'token-expiry: unknown key "minDay" (did you mean "minDays"?); '
            "it takes maxReported, tolerate, waivers, minDays",
            id="key-nearest",
        ),
        pytest.param({"token-expiry": {"level": "advisory"}}, 'token-expiry: unknown key "level"; it takes', id="key"),
        pytest.param(
            {"token-expiry": {"minDays": "3"}}, 'token-expiry: "minDays": "3" is not allowed, only number', id="text"
        ),
        pytest.param(
            {"token-expiry": {"minDays": True}}, 'token-expiry: "minDays": true is not allowed, only number', id="true"
        ),
        pytest.param(
            {"token-expiry": {"minDays": None}}, 'token-expiry: "minDays": null is not allowed, only number', id="null"
        ),
        pytest.param(
            {"token-expiry": {"minDays": -1}},
            'token-expiry: "minDays": -1 is less than the minimum of 0',
            id="negative",
        ),
        pytest.param(
            {"token-expiry": {"minDays": 36501}}, 'token-expiry: "minDays": 36501 is greater than the', id="huge"
        ),
        pytest.param('{"token-expiry": {"minDays": NaN}}', "is no JSON: NaN is no number", id="nan"),
        pytest.param('{"token-expiry": {"minDays": 1e999}}', 'token-expiry: "minDays": ', id="infinite"),
        pytest.param(
            {"token-expiry": {"maxReported": 0}},
            'token-expiry: "maxReported": 0 is less than the minimum of 1',
            id="none-reported",
        ),
        pytest.param(
            {"token-expiry": {"maxReported": 2.5}},
            'token-expiry: "maxReported": 2.5 is not allowed, only integer',
            id="fraction",
        ),
        pytest.param(
            {"required-scopes": {"scopes": ["api"]}},
            'required-scopes: "scopes": ["api"] is not allowed, only object',
            id="scopes-list",
        ),
        pytest.param({"required-scopes": {"scopes": {}}}, 'required-scopes: "scopes": {} should be', id="no-scopes"),
        pytest.param(
            {"required-scopes": {"scopes": {"salesforce": "api"}}},
            'required-scopes: "scopes.salesforce": "api" is not allowed, only array',
            id="nested-text",
        ),
        pytest.param(
            {"required-scopes": {"scopes": {"salesforce": ["api", 5]}}},
            'required-scopes: "scopes.salesforce.1": 5 is not allowed, only array or string',
            id="nested-number",
        ),
        pytest.param(
            {"required-scopes": {"scopes": {"salesforce": [["api", 5]]}}},
            'required-scopes: "scopes.salesforce.0.1": 5 is not allowed, only string',
            id="doubly-nested-number",
        ),
        pytest.param(
            {"required-scopes": {"scopes": {"salesforce": [[]]}}},
            'required-scopes: "scopes.salesforce.0": [] should be non-empty',
            id="any-of-none",
        ),
        pytest.param(
            {"required-scopes": {"scopes": {"salesforce": [""]}}},
            "required-scopes: \"scopes.salesforce.0\": '' should be non-empty",
            id="empty-scope",
        ),
        pytest.param(
            {"required-scopes": {"enforcementLevel": "disabled", "scopes": 5}},
            'required-scopes: "scopes": 5 is not allowed, only object',
            id="disabled-with-a-bad-option",
        ),
        pytest.param(
            {"token-expiry": {"enforcementLevel": "disabled", "minDay": 5}},
            'token-expiry: unknown key "minDay"',
            id="disabled-with-an-unknown-key",
        ),
        pytest.param(
            {"readable-connections": {"require": "yes"}},
            'readable-connections: "require": "yes" is not allowed, only boolean',
            id="require",
        ),
        pytest.param(
            {"readable-connections": {"gate": "salesforce"}},
            'readable-connections: "gate": "salesforce" is not allowed, only boolean, null or object',
            id="gate-text",
        ),
        pytest.param({"readable-connections": {"gate": []}}, 'readable-connections: "gate": [] is not', id="gate-list"),
        pytest.param(
            {"readable-connections": {"gate": {"provder": "salesforce"}}},
            'readable-connections: unknown key "gate.provder" (did you mean "provider"?); '
            "it takes projects, provider, groupRef, consumerRef, connectionIds",
            id="gate-key-nearest",
        ),
        pytest.param(
            {"readable-connections": {"gate": {"provider": ["salesforce"]}}},
            'readable-connections: "gate.provider": ["salesforce"] is not allowed, only boolean, null, number or',
            id="gate-list-for-text",
        ),
        pytest.param(
            {"readable-connections": {"gate": {"provider": ""}}},
            "readable-connections: \"gate.provider\": '' should be non-empty",
            id="gate-empty",
        ),
        pytest.param(
            {"readable-connections": {"gate": {"connectionIds": []}}},
            'readable-connections: "gate.connectionIds": [] should be non-empty',
            id="gate-no-ids",
        ),
        pytest.param(
            {"readable-connections": {"gate": {"projects": ["a", {"id": 1}]}}},
            'readable-connections: "gate.projects.1": {"id": 1} is not allowed, only boolean, number or string',
            id="gate-object-for-text",
        ),
        pytest.param(
            {"token-expiry": {"waivers": [APPROVED]}},
            'token-expiry: "waivers.0": give at least one of connection, provider, group, consumer',
            id="waiver-of-nothing",
        ),
        pytest.param(
            {"token-expiry": {"waivers": [{"connection": "c", "reason": "r", "approvedBy": "a"}]}},
            "token-expiry: \"waivers.0\": 'expires' is a required property",
            id="waiver-without-end",
        ),
        pytest.param(
            {"token-expiry": {"waivers": [{**WAIVER, "grup": "acme"}]}},
            'token-expiry: unknown key "waivers.0.grup" (did you mean "group"?); it takes reason, approvedBy, expires, '
            "connection, provider, group, consumer",
            id="waiver-key-nearest",
        ),
        pytest.param(
            {"token-expiry": {"waivers": [{**WAIVER, "expires": 1798675200}]}},
            'token-expiry: "waivers.0.expires": 1798675200 is not allowed, only string',
            id="waiver-seconds",
        ),
        pytest.param(
            {"token-expiry": {"waivers": [{**WAIVER, "reason": ""}]}},
            "token-expiry: \"waivers.0.reason\": '' should be non-empty",
            id="waiver-without-reason",
        ),
        pytest.param(
            {"token-expiry": {"waivers": [{**WAIVER, "connection": ""}]}},
            "token-expiry: \"waivers.0.connection\": '' should be non-empty",
            id="waiver-of-an-empty-glob",
        ),
        pytest.param(
            {"token-expiry": {"waivers": WAIVER}},
            'token-expiry: "waivers": {"connection": "c*", "reason": "moving"',
            id="waiver-without-list",
        ),
        pytest.param(
            {"required-connections": {"waivers": [{"connection": "c", **APPROVED}]}},
            'required-connections: unknown key "waivers.0.connection"; it takes reason, approvedBy, expires, provider, '
            "group",
            id="waiver-of-a-requirement",
        ),
        pytest.param({"token-expiry": {"tolerate": -1}}, 'token-expiry: "tolerate": -1 is less than', id="tolerate"),
        *(
            pytest.param(
                f'{{"token-expiry": {{"tolerate": {given}}}}}',
                f'token-expiry: "tolerate": {given} is not allowed, only integer or string',
                id=f"tolerate-{given}",
            )
            for given in ("2.5", "true", "null", "[]")
        ),
        *(
            pytest.param(
                {"token-expiry": {"tolerate": given}},
                f"token-expiry: \"tolerate\": '{given}' does not match ",
                id=f"tolerate-{given}",
            )
            for given in ("2", "101%", "100.5%", "-1%", "2 %", "few")
        ),
        pytest.param(
            {"allowed-workspaces": {"workspaces": {"salesforce": "("}}},
            "allowed-workspaces: \"workspaces.salesforce\": '(' is no regular expression: missing ), unterminated",
            id="regex",
        ),
        pytest.param(
            {"allowed-workspaces": {"workspaces": {"salesforce": ""}}},
            "allowed-workspaces: \"workspaces.salesforce\": '' should be non-empty",
            id="regex-empty",
        ),
        pytest.param(
            {"allowed-workspaces": {"workspaces": {}}}, 'allowed-workspaces: "workspaces": {} should be', id="no-regex"
        ),
        pytest.param(
            {"connection-schema": {"schema": {"type": "objekt"}}},
            "connection-schema: \"schema\": is no JSON Schema: 'objekt' is not valid under any of the given schemas "
            "at $.type",
            id="schema",
        ),
        pytest.param(
            {"connection-schema": {"schema": {"$ref": "https://example.com/schema.json"}}},
            'connection-schema: "schema": refers to "https://example.com/schema.json", which isn\'t in the schema',
            id="schema-elsewhere",
        ),
        pytest.param(
            {"connection-schema": {"schema": "id"}},
            'connection-schema: "schema": "id" is not allowed, only object',
            id="schema-text",
        ),
        pytest.param(
            {"required-connections": {"require": [{"provider": "slack"}, {"min": 2}]}},
            'required-connections: "require.1": give at least one of provider, groupRef',
            id="requirement-of-nothing",
        ),
        pytest.param(
            {"required-connections": {"require": [{"provder": "slack"}]}},
            'required-connections: unknown key "require.0.provder" (did you mean "provider"?); '
            "it takes provider, groupRef, min",
            id="requirement-key-nearest",
        ),
        pytest.param(
            {"required-connections": {"require": [{"provider": "slack", "min": 0}]}},
            'required-connections: "require.0.min": 0 is less than the minimum of 1',
            id="requirement-of-none",
        ),
        pytest.param(
            {"required-connections": {"require": {"provider": "slack"}}},
            'required-connections: "require": {"provider": "slack"} is not allowed, only array',
            id="requirement-without-list",
        ),
        pytest.param(
            {"allowed-providers": {"allow": []}}, 'allowed-providers: "allow": [] should be non-empty', id="allow-none"
        ),
        pytest.param(
            {"allowed-providers": {"deny": "slack"}},
            'allowed-providers: "deny": "slack" is not allowed, only array',
            id="deny-text",
        ),
        pytest.param(
            {"credential-age": {"assume": "created"}},
            "credential-age: \"assume\": 'created' is not one of ['createTime', 'updateTime']",
            id="assume",
        ),
        pytest.param(
            {"allowed-auth-schemes": {"schemes": {"slack": "apiKey"}}},
            'allowed-auth-schemes: "schemes.slack": "apiKey" is not allowed, only array',
            id="schemes-text",
        ),
        pytest.param("nonsense", "is no JSON: ", id="no-json"),
        pytest.param('{"all": "advisory"', "is no JSON: ", id="half-json"),
        pytest.param("[" * 100_000, "is no JSON: ", id="bottomless"),
        pytest.param([], "must be a JSON object", id="list"),
        pytest.param("5", "must be a JSON object", id="number"),
        pytest.param("null", "must be a JSON object", id="null-for-all"),
        pytest.param('"advisory"', "must be a JSON object", id="a-level-alone"),
    ],
)
def test_what_is_wrong_is_said(content: Any, expected: str) -> None:
    """Each mistake is one line that names the file, the rule, the key, what was given and what is allowed."""
    (problem,) = problems(content)
    assert problem.startswith(expected)


@pytest.mark.parametrize("given", ["2026-02-30", "next week", "2026-1-1", "31.12.2026", "2026-12-31T00:00:00Z", ""])
def test_a_date_is_a_day(given: str) -> None:
    """A waiver ends on a day, written in the one form that is allowed; what was given is named."""
    (problem,) = problems({"token-expiry": {"waivers": [WAIVER, {**WAIVER, "expires": given}]}})
    assert problem.startswith('token-expiry: "waivers.1.expires": ')
    assert "YYYY-MM-DD" in problem
    assert given in problem


def test_all_mistakes_are_reported_at_once() -> None:
    """Nobody has to mend a configuration one error after the other."""
    found = problems(
        {
            "all": {"enforcementLevel": "remediate", "minDays": 1},
            "tokenexpiry": "mandatory",
            "token-expiry": {"enforcementLevel": "mandatroy", "minDays": -1, "maxReported": 0, "minDay": 5, "x": 1},
            "required-scopes": "advisory",
            "no-bad-credentials": 5,
            "readable-connections": {"gate": {"provder": "x", "groupRef": [], "connectionIds": []}, "requir": True},
        }
    )
    expected = [
        '"all" is a level only',
        'all: level "remediate"',
        'unknown rule "tokenexpiry"',
        'token-expiry: level "mandatroy"',
        'token-expiry: "minDays"',
        'token-expiry: "maxReported"',
        'token-expiry: unknown key "minDay"',
        'token-expiry: unknown key "x"',
        "required-scopes is configured but lacks",
        '"no-bad-credentials" must be a level',
        'readable-connections: unknown key "gate.provder"',
        'readable-connections: "gate.groupRef"',
        'readable-connections: "gate.connectionIds"',
        'readable-connections: unknown key "requir"',
    ]
    assert len(found) == len(expected)
    assert all(any(problem.startswith(start) for problem in found) for start in expected)


def test_hostile_names_stay_on_one_harmless_line() -> None:
    """Rules, keys, values and levels that carry control characters or markup are shown without them."""
    hostile = "a\n\x1b[31mb\u202e<{%fg 1%}>"
    found = problems(
        {hostile: "advisory", "token-expiry": {hostile: 1, "minDays": hostile, "enforcementLevel": hostile}}
    )
    assert len(found) == 4


def test_long_values_are_cut() -> None:
    """A large value of a wrong type doesn't fill the terminal."""
    (problem,) = problems({"token-expiry": {"minDays": "x" * 10_000}})
    assert len(problem) < 200


@pytest.mark.parametrize(
    ("given", "gate"),
    [
        pytest.param(True, True, id="true"),
        pytest.param(False, False, id="false"),
        pytest.param(None, None, id="null"),
        pytest.param({}, Gate(), id="empty"),
        pytest.param({"provider": "salesforce"}, Gate(provider="salesforce"), id="provider"),
        pytest.param({"groupRef": 123}, Gate(groupRef="123"), id="number"),
        pytest.param({"groupRef": 123.0}, Gate(groupRef="123"), id="float"),
        pytest.param({"groupRef": 1.5}, Gate(groupRef="1.5"), id="fraction"),
        pytest.param({"consumerRef": True}, Gate(consumerRef="true"), id="true-as-text"),
        pytest.param({"consumerRef": False}, Gate(consumerRef="false"), id="false-as-text"),
        pytest.param({"projects": "a"}, Gate(projects=["a"]), id="one-project"),
        pytest.param({"projects": 7}, Gate(projects=["7"]), id="one-numbered-project"),
        pytest.param({"projects": True}, Gate(projects=["true"]), id="one-project-called-true"),
        pytest.param({"projects": ["a", 7, True]}, Gate(projects=["a", "7", "true"]), id="projects"),
        pytest.param({"connectionIds": [1, "b"]}, Gate(connectionIds=["1", "b"]), id="ids"),
        pytest.param({"provider": None}, Gate(), id="null-field"),
    ],
)
def test_a_gate_is_read(given: Any, gate: Any) -> None:
    """A gate is on, off or an object of names, which are text even where a tool made a number of them."""
    found = options({"readable-connections": {"gate": given}}, "readable-connections")
    assert isinstance(found, ReadableConnections)
    assert found.gate == gate


def test_entries_that_come_from_elsewhere_are_checked_alike() -> None:
    """What the engine hands over meets the same checks as a file, under its own name."""
    with pytest.raises(ConfigurationError) as caught:
        resolve({"token-expiry": Given(options={"minDay": 3}), "tokn-expiry": Given("advisory")}, "pack configuration")
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == ["pack configuration"] * 2


def test_rules_can_be_others_than_ours() -> None:
    """A configuration is checked against the rules that are given, not against a list of its own."""
    rules = [token_expiry.RULE]
    configuration = parse('{"token-expiry": "advisory"}', "policy.json", rules)
    assert levels(configuration) == {"token-expiry": "advisory"}
    with pytest.raises(ConfigurationError, match="unknown rule"):
        parse('{"no-bad-credentials": "advisory"}', "policy.json", rules)
